"""Cost checks on recorded traces, for the CI of those who record them.

In: recordings and settings. Out: what they cost, as Arrow tables and findings.
Invariants: recordings go through the same replay as always, into a ledger that is thrown away; no
network; the same recordings, cards and policy give the same answer.
"""

from agentcost_collector.check.compare import COMPARED, Growth, compared, grown
from agentcost_collector.check.cost import COSTS, NOTHING, TOTAL, Cost, cost_of, costs
from agentcost_collector.check.limits import Finding, Limit, Measure, Share, findings
from agentcost_collector.check.trial import Trial, tried

__all__ = [
    "COMPARED",
    "COSTS",
    "NOTHING",
    "TOTAL",
    "Cost",
    "Finding",
    "Growth",
    "Limit",
    "Measure",
    "Share",
    "Trial",
    "compared",
    "cost_of",
    "costs",
    "findings",
    "grown",
    "tried",
]
