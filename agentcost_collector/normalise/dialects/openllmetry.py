"""OpenLLMetry (Traceloop), old names and new, with its decorators and vector databases."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_SCOPE = "opentelemetry.instrumentation."
_LIBRARIES = [
    "openai",
    "anthropic",
    "bedrock",
    "langchain",
    "llamaindex",
    "crewai",
    "cohere",
    "mistralai",
    "groq",
    "together",
    "ollama",
    "google_generativeai",
    "vertexai",
    "replicate",
    "sagemaker",
    "watsonx",
    "writer",
    "openai_agents",
    "agno",
    "haystack",
    "transformers",
    "alephalpha",
    "mcp",
    "chromadb",
    "pinecone",
    "qdrant",
    "weaviate",
    "milvus",
    "lancedb",
    "marqo",
    "voyageai",
]

DIALECT = Dialect(
    name="openllmetry",
    title="OpenLLMetry (Traceloop)",
    scopes=(
        *(_SCOPE + library for library in _LIBRARIES),
        "traceloop.tracer",
        "@traceloop/instrumentation",
    ),
    signature=("traceloop.span.kind", "traceloop.workflow.name", "llm.request.type"),
    fields={
        "total": ("llm.usage.total_tokens",),
        "input": ("llm.usage.prompt_tokens",),
        "output": ("llm.usage.completion_tokens",),
        "reasoning": ("gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
        "read_units": ("pinecone.usage.read_units",),
        "write_units": ("pinecone.usage.write_units",),
        "tool": ("gen_ai.tool.name",),
        "session_id": ("traceloop.association.properties.session_id",),
        "user_id": ("traceloop.association.properties.user_id",),
        "workflow": ("traceloop.workflow.name",),
    },
    kinds={
        "traceloop.span.kind": {
            "workflow": Kind.WORKFLOW,
            "task": Kind.WORKFLOW,
            "agent": Kind.AGENT,
            "tool": Kind.TOOL,
            "server": Kind.OTHER,
            "session": Kind.OTHER,
        },
        "llm.request.type": {
            "chat": Kind.LLM,
            "completion": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "rerank": Kind.RERANK,
        },
    },
    name_fields={"tool": r"^(.+)\.tool$"},
    excludes_cache=(_SCOPE + "bedrock",),
    excludes_reasoning=(_SCOPE + "google_generativeai", _SCOPE + "vertexai"),
    loses_cache_write=(_SCOPE + "langchain",),
    tools_offered=("gen_ai.tool.definitions",),
    last_call_only=(_SCOPE + "google_generativeai",),
)
