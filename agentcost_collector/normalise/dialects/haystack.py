"""Haystack's own spans. They carry no usage: another instrumentation reports the calls."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="haystack",
    title="Haystack",
    scopes=("haystack",),
    signature=("haystack.component.type", "haystack.pipeline.name"),
    fields={"tool": ("haystack.tool.name",), "workflow": ("haystack.pipeline.name",)},
    kind_signs={"haystack.tool.name": Kind.TOOL},
    names={
        r"^haystack\.agent\.step\.tool$": Kind.TOOL,
        r"^haystack\.agent\.run$": Kind.AGENT,
        r"^haystack\.(pipeline\.run|component\.run|agent\.step)": Kind.WORKFLOW,
    },
)
