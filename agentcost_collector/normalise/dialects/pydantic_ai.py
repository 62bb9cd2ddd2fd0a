"""Pydantic AI and Logfire. `gen_ai.aggregated_usage.*` sums a run and is never read."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="pydantic_ai",
    title="Pydantic AI and Logfire",
    scopes=("pydantic-ai", "logfire"),
    signature=("logfire.msg", "operation.cost"),
    signs_only=("logfire.msg",),
    fields={
        "cache_read": ("gen_ai.usage.details.cache_read_tokens",),
        "cache_write": ("gen_ai.usage.details.cache_write_tokens",),
        "reasoning": (
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.details.thoughts_tokens",
        ),
        "usage_text": ("gen_ai.usage.raw",),
        "input_audio": ("gen_ai.usage.details.input_audio_tokens",),
        "output_audio": ("gen_ai.usage.details.output_audio_tokens",),
        "reported_cost": ("operation.cost",),
        "agent": ("agent_name",),
        "requested_model": ("model_name",),
    },
    names={
        r"^(agent run|.* run)$": Kind.AGENT,
        r"^running tool\b": Kind.TOOL,
        r"^running \d+ tools?$": Kind.WORKFLOW,
        r"^Function: ": Kind.TOOL,
    },
    call_needs_usage=r"^streaming response from ",
)
