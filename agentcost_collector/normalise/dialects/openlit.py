"""OpenLIT. Its Anthropic and Bedrock instrumentations leave cached tokens out of the input."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_TOOLS = [
    "search",
    "scrape",
    "crawl",
    "crawl_deep",
    "extract",
    "map",
    "browser_action",
    "browser_navigate",
    "memory_add",
    "memory_search",
    "memory_get",
    "memory_delete",
    "mcp_tool_call",
]

DIALECT = Dialect(
    name="openlit",
    title="OpenLIT",
    scopes=("openlit",),
    signature=("gen_ai.usage.cost", "gen_ai.application_name"),
    fields={
        "cache_read": ("gen_ai.usage.prompt_tokens_details.cached_tokens",),
        "reasoning": (
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
        ),
        "reported_cost": ("gen_ai.usage.cost", "db.operation.cost"),
        "tool": ("mcp.tool.name",),
        "session_id": ("gen_ai.session.id",),
        "user_id": ("gen_ai.user.id",),
    },
    kinds={
        "gen_ai.operation.name": {
            "vectordb": Kind.RETRIEVAL,
            "model_request": Kind.WORKFLOW,
            "user_prompt_processing": Kind.WORKFLOW,
            "tool_coordination": Kind.WORKFLOW,
            "batch": Kind.OTHER,
            "fine_tuning": Kind.OTHER,
            **dict.fromkeys(_TOOLS, Kind.TOOL),
        }
    },
    loses_cache_write=("openlit.instrumentation.langchain",),
    last_call_only=("openlit.instrumentation.langgraph",),
    excludes_cache=("openlit.instrumentation.anthropic", "openlit.instrumentation.bedrock"),
)
