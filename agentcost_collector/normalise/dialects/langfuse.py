"""Langfuse SDK. Its usage buckets are disjoint; `normalise/usage.py` adds them up."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="langfuse",
    title="Langfuse SDK",
    scopes=("langfuse-sdk",),
    signature=("langfuse.observation.type", "langfuse.observation.usage_details"),
    fields={
        "model": ("langfuse.observation.model.name",),
        "usage_text": ("langfuse.observation.usage_details",),
        "cost_text": ("langfuse.observation.cost_details",),
        "session_id": ("langfuse.session.id", "session.id"),
        "user_id": ("langfuse.user.id", "user.id"),
        "workflow": ("langfuse.trace.name",),
    },
    kinds={
        "langfuse.observation.type": {
            "generation": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "retriever": Kind.RETRIEVAL,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "chain": Kind.WORKFLOW,
            "span": Kind.WORKFLOW,
            "guardrail": Kind.OTHER,
            "evaluator": Kind.OTHER,
            "event": Kind.OTHER,
        }
    },
)
