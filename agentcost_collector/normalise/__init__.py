"""SPANS in, FACTS out, row for row: every dialect's attributes in one vocabulary.

Nothing is added up: where an attribute is written twice, the preferred spelling is read. What an
emitter's numbers include is decided here once (`usage_rule`), so that everything after works with
disjoint counts.
"""

from agentcost_collector.normalise.normalise import normalise_spans
from agentcost_collector.normalise.plan import (
    OWN_PRICING,
    OWN_UNITS,
    Vocabulary,
    compile_vocabulary,
)
from agentcost_collector.normalise.providers import provider_of

__all__ = [
    "OWN_PRICING",
    "OWN_UNITS",
    "Vocabulary",
    "compile_vocabulary",
    "normalise_spans",
    "provider_of",
]
