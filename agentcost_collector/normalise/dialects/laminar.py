"""Laminar. A span of type CACHED was answered from Laminar's own cache: no call was made."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="laminar",
    title="Laminar",
    scopes=("lmnr",),
    signature=("lmnr.span.type",),
    kinds={
        "lmnr.span.type": {
            "llm": Kind.LLM,
            "tool": Kind.TOOL,
            "executor": Kind.AGENT,
            "evaluator": Kind.OTHER,
            "evaluation": Kind.OTHER,
        }
    },
)
