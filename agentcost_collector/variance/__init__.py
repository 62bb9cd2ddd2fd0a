"""Variance: what a period cost more or less than another, or than its budget, and why, exactly.

In: the view `days`, two periods, perhaps budgets. Out: VARIANCE. Invariant: the causes of a row add
up to its change, to the last digit. The method is on docs/variance.md.
"""

from agentcost_collector.variance.causes import CAUSES, Branches, causes
from agentcost_collector.variance.variance import VARIANCE, By, Compared, variance

__all__ = ["CAUSES", "VARIANCE", "Branches", "By", "Compared", "causes", "variance"]
