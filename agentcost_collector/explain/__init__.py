"""Charges of some traces -> what drove their cost, and how it lies along the paths.

Pure, but for `drill`, which asks the views of the ledger. Every charge counts in exactly one driver
and, where it cost something, in one stack; sums are exact. A step without a price is counted beside
the sums, never as 0.
"""

from agentcost_collector.explain.drill import (
    RUNS_MAX,
    Usual,
    features_of,
    paths_of,
    runs_of,
    usual,
)
from agentcost_collector.explain.drivers import Breakdown, Driver, break_down
from agentcost_collector.explain.flame import fold, folded_lines, svg

__all__ = [
    "RUNS_MAX",
    "Breakdown",
    "Driver",
    "Usual",
    "break_down",
    "features_of",
    "fold",
    "folded_lines",
    "paths_of",
    "runs_of",
    "svg",
    "usual",
]
