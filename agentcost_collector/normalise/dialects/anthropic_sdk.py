"""Spans that the Anthropic Python SDK makes by itself, and those of the platform behind it."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="anthropic_sdk",
    title="Anthropic SDK, native spans",
    scopes=("com.anthropic.sdk", "com.anthropic.claude-platform"),
    signature=("anthropic.request.id",),
    fields={
        "cache_write_short": ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",),
        "cache_write_long": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
        "extra_input": ("anthropic.usage.compaction.input_tokens",),
        "extra_output": ("anthropic.usage.compaction.output_tokens",),
        "service_tier": ("anthropic.response.service_tier", "anthropic.request.service_tier"),
    },
    names={
        r"^anthropic\.messages\.count_tokens$": Kind.OTHER,
        r"^anthropic\.messages\.tool_runner$": Kind.AGENT,
        r"^anthropic\.(sessions|environments?)\b": Kind.OTHER,
    },
)
