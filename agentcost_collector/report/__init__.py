"""Outlet: the ledger as SQL views, and what they say about who costs what.

In: the file lists of the Delta logs, through `ledger.LedgerReader`. Out: a DuckDB connection with
the views `ledger steps runs sessions chargeback unattributed hours days spans rates budgets`, and
Arrow tables.
Invariants: nothing but cubes is written; SUM of any money or quantity over `ledger`, `steps`,
`runs`, `hours` and `days` is the same for every filter on columns that they share; money stays
DECIMAL(38,12).
"""

from agentcost_collector.report.config import Config
from agentcost_collector.report.period import FORMS, Period, Span, day_of
from agentcost_collector.report.query import select, write_parquet
from agentcost_collector.report.roll_up import RolledUp, roll_up
from agentcost_collector.report.showback import SHOWBACK, Totals, totals
from agentcost_collector.report.spend import SPEND, hourly_spend
from agentcost_collector.report.uses import allocated_entries, uses_of
from agentcost_collector.report.views import BUDGETS, RATES, open_views, write_views

__all__ = [
    "BUDGETS",
    "FORMS",
    "RATES",
    "SHOWBACK",
    "SPEND",
    "Config",
    "Period",
    "RolledUp",
    "Span",
    "Totals",
    "allocated_entries",
    "day_of",
    "hourly_spend",
    "open_views",
    "roll_up",
    "select",
    "totals",
    "uses_of",
    "write_parquet",
    "write_views",
]
