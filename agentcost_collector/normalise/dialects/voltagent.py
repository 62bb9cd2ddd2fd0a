"""VoltAgent. What a span is stands in `entity.type`."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="voltagent",
    title="VoltAgent",
    scopes=("voltagent",),
    signature=("entity.type",),
    kinds={
        "entity.type": {
            "llm": Kind.LLM,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "retriever": Kind.RETRIEVAL,
            "workflow": Kind.WORKFLOW,
            "memory": Kind.OTHER,
            "guardrail": Kind.OTHER,
        }
    },
)
