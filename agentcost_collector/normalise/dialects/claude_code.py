"""Claude Code and the Claude Agent SDK's command line. Input leaves out cached tokens."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_KINDS = {"llm_request": Kind.LLM, "tool": Kind.TOOL, "interaction": Kind.AGENT}

DIALECT = Dialect(
    name="claude_code",
    title="Claude Code",
    scopes=("com.anthropic.claude_code",),
    signature=("cache_read_tokens", "cache_creation_tokens"),
    fields={
        "model": ("model",),
        "response_id": ("request_id",),
        "input": ("input_tokens",),
        "output": ("output_tokens",),
        "cache_read": ("cache_read_tokens",),
        "cache_write": ("cache_creation_tokens",),
        "tool": ("tool_name",),
        "tool_call_id": ("tool_use_id",),
        "session_id": ("session.id",),
    },
    kinds={"span.type": {**_KINDS, **{f"claude_code.{k}": v for k, v in _KINDS.items()}}},
    names={
        r"^claude_code\.tool\.(execution|blocked_on_user)$": Kind.OTHER,
        r"^claude_code\.llm_request$": Kind.LLM,
        r"^claude_code\.tool$": Kind.TOOL,
        r"^claude_code\.interaction$": Kind.AGENT,
    },
    excludes_cache=("*",),
)
