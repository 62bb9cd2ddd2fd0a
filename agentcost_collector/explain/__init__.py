"""Charges of some traces -> what drove their cost, and how it lies along the paths.

Pure. Every charge counts in exactly one driver and, where it cost something, in one stack; sums are
exact. A step without a price is counted beside the sums, never as 0.
"""

from agentcost_collector.explain.drivers import Breakdown, Driver, break_down
from agentcost_collector.explain.flame import fold, folded_lines, svg

__all__ = ["Breakdown", "Driver", "break_down", "fold", "folded_lines", "svg"]
