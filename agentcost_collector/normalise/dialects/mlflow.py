"""MLflow tracing exported over OTLP. Values are JSON, so the kind arrives quoted."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_KINDS = {
    "llm": Kind.LLM,
    "chat_model": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "retriever": Kind.RETRIEVAL,
    "reranker": Kind.RERANK,
    "tool": Kind.TOOL,
    "agent": Kind.AGENT,
    "chain": Kind.WORKFLOW,
    "workflow": Kind.WORKFLOW,
    "task": Kind.WORKFLOW,
    "parser": Kind.OTHER,
    "memory": Kind.OTHER,
    "guardrail": Kind.OTHER,
    "evaluator": Kind.OTHER,
}

DIALECT = Dialect(
    name="mlflow",
    title="MLflow tracing",
    scopes=("mlflow",),
    signature=("mlflow.spanType", "mlflow.traceRequestId"),
    fields={
        "provider": ("mlflow.llm.provider",),
        "model": ("mlflow.llm.model",),
        "usage_text": ("mlflow.chat.tokenUsage",),
        "cost_text": ("mlflow.llm.cost",),
        "session_id": ("session.id", "mlflow.trace.session"),
        "user_id": ("user.id", "mlflow.trace.user"),
    },
    kinds={"mlflow.spanType": {**_KINDS, **{f'"{k}"': v for k, v in _KINDS.items()}}},
    total_is_reported=True,
)
