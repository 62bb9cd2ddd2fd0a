"""Whether a ledger is what it should be. In: its folder. Out: findings, none where all is well.

seals         every entry and file is the one that was sealed, every seal follows the one before
conservation  sums agree, and no span is missing
prices        every amount is what the archived rate cards give

Nothing here writes. Each check names what it found: journal, batch, file.
"""

from agentcost_collector.verify.conservation import verify_conservation
from agentcost_collector.verify.findings import Finding
from agentcost_collector.verify.prices import verify_prices
from agentcost_collector.verify.seals import read_anchors, verify_seals

__all__ = ["Finding", "read_anchors", "verify_conservation", "verify_prices", "verify_seals"]
