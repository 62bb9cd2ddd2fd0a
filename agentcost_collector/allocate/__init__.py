"""Costs that no span carries (a monthly bill, reserved capacity), shared out to those who pay.

In: SharedCosts as a file declares them, and USES: what was used in each cost's period, by whom.
Out: CHARGES of kind `allocated`, one per cost and payer.
Invariants: the charges of a cost add up to its amount exactly, whatever its method; what nobody
used is a charge too, marked `idle`; the order of USES does not matter; no float, no clock, no file.
"""

from agentcost_collector.allocate.allocate import SKU_PREFIX, allocate_costs
from agentcost_collector.allocate.config import SharedCost, SharedCosts

__all__ = ["SKU_PREFIX", "SharedCost", "SharedCosts", "allocate_costs"]
