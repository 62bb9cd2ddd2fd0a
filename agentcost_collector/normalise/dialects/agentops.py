"""AgentOps. Usage has the names of the conventions; only what a span is has a name of its own."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="agentops",
    title="AgentOps",
    scopes=("agentops",),
    signature=("agentops.span.kind",),
    fields={"reported_cost": ("gen_ai.usage.total_cost",)},
    kinds={
        "agentops.span.kind": {
            "llm": Kind.LLM,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "session": Kind.WORKFLOW,
            "workflow": Kind.WORKFLOW,
            "operation": Kind.WORKFLOW,
            "task": Kind.WORKFLOW,
            "chain": Kind.WORKFLOW,
            "guardrail": Kind.OTHER,
        }
    },
)
