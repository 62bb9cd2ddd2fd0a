"""`docs/schema.md` lists exactly the columns that every view has, with their types."""

import re

import pytest

from agentcost_collector.model.schemas import CHARGES, ENTRIES, SPANS
from agentcost_collector.report.views import open_views
from tests.support.recordings import ROOT

PAGE = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
VIEWS = (
    "ledger",
    "steps",
    "runs",
    "sessions",
    "chargeback",
    "unattributed",
    "hours",
    "days",
    "spans",
    "rates",
    "budgets",
)
_ROW = re.compile(r"^\| `(\w+)` \| ([A-Z][^|]*?) \| ([^|]*?) ?\| ([^|]+) \|$", re.MULTILINE)


def documented(section: str) -> dict[str, str]:
    """Columns and types of the section under that heading."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = _ROW.findall(text)
    assert len(rows) == text.count("\n| `"), "a row of the table is not in its form"
    assert len({name for name, *_ in rows}) == len(rows)
    return {name: kind for name, kind, _, _ in rows}


@pytest.mark.parametrize("view", VIEWS)
def test_the_page_lists_the_columns_of_the_view(tmp_path, view):
    """No column is undocumented, none is invented, and the types are those that SQL shows."""
    described = open_views(tmp_path).execute(f"DESCRIBE {view}").fetchall()
    actual = {name: kind.replace(" WITH TIME ZONE", "") for name, kind, *_ in described}
    page = documented(view) | (documented("steps") if view == "ledger" else {})
    assert page == actual


def test_the_views_show_every_column_of_the_schemas():
    """What the stages hand to each other and what users see have one set of names."""
    assert set(CHARGES.names) <= documented("steps").keys()
    assert set(ENTRIES.names) == documented("steps").keys() | documented("ledger").keys()
    assert set(SPANS.names) <= documented("spans").keys()
