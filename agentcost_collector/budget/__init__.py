"""Budgets: what spending their owners have signed, and how far it is.

In: a file of budgets, records of what people said, the views of the ledger. Out: STATUS, one row a
budget. Invariants: spending is always summed from the ledger, never counted beside it; records are
only ever appended, and an edited one is noticed.
"""

from agentcost_collector.budget.config import Budget, Budgets, Measure, Raise, Tier
from agentcost_collector.budget.records import Kind, Record, Records, append
from agentcost_collector.budget.status import OPEN, STATUS, State, status_of
from agentcost_collector.budget.view import budgets_table

__all__ = [
    "OPEN",
    "STATUS",
    "Budget",
    "Budgets",
    "Kind",
    "Measure",
    "Raise",
    "Record",
    "Records",
    "State",
    "Tier",
    "append",
    "budgets_table",
    "status_of",
]
