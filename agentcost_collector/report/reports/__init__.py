"""Reports for finance and teams: what a period cost, by whom, beside the period before it.

In: the views of `report`, a `Scope`. Out: a `Report` of tables, and that as a page or a workbook.
Invariants: environments are never added together; every table of money says beside it how many
steps have no full price; sums of a report are those of the ledger, to the last decimal.
"""

from agentcost_collector.report.reports.content import Report, Scope, Section, shortened
from agentcost_collector.report.reports.made import REPORTS, make_report
from agentcost_collector.report.reports.margin import Prices
from agentcost_collector.report.reports.unit_economics import Outcome

__all__ = [
    "REPORTS",
    "Outcome",
    "Prices",
    "Report",
    "Scope",
    "Section",
    "make_report",
    "shortened",
]
