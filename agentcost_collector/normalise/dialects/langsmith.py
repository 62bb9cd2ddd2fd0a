"""LangSmith's OpenTelemetry export. Its own span kind outranks its `gen_ai.operation.name`."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="langsmith",
    title="LangSmith OpenTelemetry export",
    scopes=("langsmith",),
    signature=("langsmith.span.kind", "langsmith.trace.name"),
    fields={
        "usage_text": ("langsmith.usage_metadata",),
        "input_details_text": ("gen_ai.usage.input_token_details",),
        "output_details_text": ("gen_ai.usage.output_token_details",),
        "session_id": ("langsmith.metadata.session_id", "langsmith.metadata.thread_id"),
        "user_id": ("langsmith.metadata.user_id",),
        "service_tier": ("gen_ai.response.service_tier",),
        "workflow": ("langsmith.trace.name",),
    },
    kinds={
        "langsmith.span.kind": {
            "llm": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "retriever": Kind.RETRIEVAL,
            "tool": Kind.TOOL,
            "chain": Kind.WORKFLOW,
            "parser": Kind.OTHER,
            "prompt": Kind.OTHER,
        }
    },
    total_is_reported=True,
)
