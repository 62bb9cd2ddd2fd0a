"""Langtrace. Framework spans carry no usage; model and vector-database spans do."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="langtrace",
    title="Langtrace",
    scopes=("langtrace", "langtrace-python-sdk"),
    signature=("langtrace.service.type",),
    fields={
        "provider": ("langtrace.service.name",),
        "cache_read": ("gen_ai.usage.cached_tokens",),
        "search_units": ("gen_ai.usage.search_units",),
    },
    kinds={"langtrace.service.type": {"framework": Kind.WORKFLOW, "vectordb": Kind.RETRIEVAL}},
)
