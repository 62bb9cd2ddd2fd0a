"""Langtrace. Framework spans carry no usage; model and vector-database spans do."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="langtrace",
    title="Langtrace",
    scopes=("langtrace", "langtrace-python-sdk"),
    signature=("langtrace.service.type",),
    fields={"provider": ("langtrace.service.name",)},
    kinds={"langtrace.service.type": {"framework": Kind.WORKFLOW, "vectordb": Kind.RETRIEVAL}},
)
