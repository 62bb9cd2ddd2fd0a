"""The ledger: append-only Delta tables `spans` (evidence) and `ledger` (entries).

In: new SPANS and ENTRIES of settled traces, with the counters of the process that settled them.
Out: what is stored for given traces, and the list of data files for any reader.

Always true: a commit that returned is on disk, once, and stays; a commit that did not return is
there whole, or as spans without entries, or not at all; rows are never changed or removed.
Readers take the file list from the Delta log, never from a directory listing.
"""

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.history import History, Period, Slice
from agentcost_collector.ledger.ledger import Booked, Commit, Ledger
from agentcost_collector.ledger.reader import LedgerReader, Snapshot
from agentcost_collector.ledger.turns import is_wanted
from agentcost_collector.ledger.upkeep import Upkeep

__all__ = [
    "Booked",
    "Commit",
    "Config",
    "History",
    "Ledger",
    "LedgerReader",
    "Period",
    "Slice",
    "Snapshot",
    "Upkeep",
    "is_wanted",
]
