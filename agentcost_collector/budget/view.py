"""Budgets as the view `budgets`."""

from __future__ import annotations

import pyarrow as pa

from agentcost_collector.budget.config import SCOPE, Budgets
from agentcost_collector.report.views import BUDGETS


def budgets_table(budgets: Budgets) -> pa.Table:
    """BUDGETS, in the order of the file."""
    rows = [
        {
            "budget": budget.name,
            "tier": str(budget.tier),
            "owner": budget.owner,
            "roadmap": budget.roadmap,
            **{tag: getattr(budget, tag) for tag in SCOPE},
            "period": str(budget.period),
            "measure": str(budget.measure),
            "cap": budget.amount,
            "valid_from": budget.since,
            "valid_to": budget.until,
        }
        for budget in budgets.budgets
    ]
    return pa.Table.from_pylist(rows, BUDGETS)
