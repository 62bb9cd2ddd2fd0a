"""Vercel AI SDK, versions 4 to 6; version 7 follows the conventions.

Outer `ai.generateText` and the like repeat the inner calls.
"""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_METADATA = "ai.response.providerMetadata"
"""Versions 4 and 5 have cache writes, and all versions their retention, only here."""

DIALECT = Dialect(
    name="vercel_ai",
    title="Vercel AI SDK, versions 4 to 6",
    scopes=("ai",),
    signature=("ai.operationId",),
    fields={
        "provider": ("ai.model.provider",),
        "model": ("ai.response.model", "ai.model.id"),
        "requested_model": ("ai.model.id",),
        "response_id": ("ai.response.id",),
        "input": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "uncached_input": (
            "ai.usage.inputTokenDetails.noCacheTokens",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ),
        "output": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total": ("ai.usage.totalTokens",),
        "cache_read": (
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ),
        "cache_write": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning": (
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ),
        "usage_text": (_METADATA,),
        "tool": ("ai.toolCall.name",),
        "tool_call_id": ("ai.toolCall.id",),
        "session_id": ("ai.telemetry.metadata.sessionId",),
        "user_id": ("ai.telemetry.metadata.userId",),
        "workflow": ("ai.telemetry.functionId",),
    },
    kinds={
        "ai.operationId": {
            "ai.generatetext.dogenerate": Kind.LLM,
            "ai.generateobject.dogenerate": Kind.LLM,
            "ai.streamtext.dostream": Kind.LLM,
            "ai.streamobject.dostream": Kind.LLM,
            "ai.embed.doembed": Kind.EMBEDDING,
            "ai.embedmany.doembed": Kind.EMBEDDING,
            "ai.rerank.dorerank": Kind.RERANK,
            "ai.toolcall": Kind.TOOL,
            "ai.generatetext": Kind.AGENT,
            "ai.streamtext": Kind.AGENT,
            "ai.generateobject": Kind.AGENT,
            "ai.streamobject": Kind.AGENT,
            "ai.embed": Kind.WORKFLOW,
            "ai.embedmany": Kind.WORKFLOW,
            "ai.rerank": Kind.WORKFLOW,
        }
    },
    numbers={
        _METADATA: (
            "cache_read_input_tokens",
            "cacheReadInputTokens",
            "cachedPromptTokens",
            "reasoningTokens",
            "cache_creation_input_tokens",
            "cacheCreationInputTokens",
            "cacheWriteInputTokens",
            "ephemeral_5m_input_tokens",
            "ephemeral_1h_input_tokens",
        )
    },
    excludes_cache_unless_split=("anthropic", "aws"),
    total_is_reported=True,
)
