"""Reports are the ledger: every number, in every format, through corrections and hostile names."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from agentcost_collector.cli import app
from agentcost_collector.report.config import Config
from agentcost_collector.report.period import Period
from agentcost_collector.report.reports import (
    REPORTS,
    Outcome,
    Prices,
    Report,
    Scope,
    make_report,
)
from agentcost_collector.report.reports.page import write_page
from agentcost_collector.report.reports.workbook import write_workbook
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, reversed_of, write_ledger

CONFIG = Config()
TODAY = date(2026, 3, 20)
PRICES = "agentcost.prices/v1"
MARCH = Period.parse("2026-03", CONFIG, TODAY)
SCOPE = Scope(MARCH, MARCH.before(CONFIG))


def _report(data: Path, name: str, scope: Scope = SCOPE, **options: object) -> Report:
    return make_report(open_views(data), name, scope, CONFIG, TODAY, **options)  # type: ignore[arg-type]


def _rows(report: Report, section: str) -> list[dict]:
    return next(s.rows.to_pylist() for s in report.sections if s.name == section)


def test_environments_are_never_added_together(tmp_path: Path) -> None:
    """Every row is of one environment; choosing one leaves out the others."""
    write_ledger(tmp_path, [[booked(step_id="1"), booked(step_id="2", environment="staging")]])
    totals = _rows(_report(tmp_path, "showback"), "totals")
    assert [(r["environment"], r["steps"]) for r in totals] == [("production", 1), ("staging", 1)]
    chosen = Scope(MARCH, MARCH.before(CONFIG), "staging")
    for name in REPORTS:
        for section in _report(tmp_path, name, chosen).sections:
            assert {r["environment"] for r in section.rows.to_pylist()} <= {"staging"}


def test_what_one_run_session_user_and_success_costs(tmp_path: Path) -> None:
    """Counts are of what stands; the quotient is rounded half-even to 12 digits; a failed run
    burdens the successful ones; a shared cost is no run."""
    cost = Decimal("0.010000000000")
    entries = [
        booked(step_id="1", trace_id="a" * 32, session_id="s", user_id="u", cost_usd=cost),
        booked(step_id="2", trace_id="a" * 32, session_id="s", cost_usd=cost),
        booked(step_id="3", trace_id="b" * 32, session_id="t", status="error", cost_usd=cost),
        booked(step_id="4", trace_id="c" * 32, cost_usd=cost, labels='{"done/it":"yes"}'),
        booked(step_id="5", trace_id="d" * 32, kind="allocated", tenant=None, cost_usd=cost),
        booked(step_id="6", trace_id="e" * 32, cost_usd=cost),
    ]
    write_ledger(tmp_path, [entries, [reversed_of(entries[-1], 2)]])
    units = _rows(_report(tmp_path, "unit-economics"), "units")
    assert {r["unit"]: (r["count"], r["cost_usd"], r["usd_each"]) for r in units} == {
        "run": (3, Decimal("0.05"), Decimal("0.016666666667")),
        "successful run": (2, Decimal("0.05"), Decimal("0.025")),
        "session": (2, Decimal("0.03"), Decimal("0.015")),
        "user": (1, Decimal("0.01"), Decimal("0.01")),
        "tenant": (1, Decimal("0.04"), Decimal("0.04")),
    }
    marked = _report(tmp_path, "unit-economics", outcome=Outcome("done/it", "yes"))
    assert [r["count"] for r in _rows(marked, "units") if r["unit"] == "successful run"] == [1]


def test_a_price_that_was_taken_back_leaves_nothing_known(tmp_path: Path) -> None:
    """What was $5 and is unpriced now costs nothing that is known, which is not zero."""
    priced = booked(step_id="s", cost_usd=Decimal(5))
    unpriced = booked(2, step_id="s", cost_usd=None, cost_status="unpriced")
    write_ledger(tmp_path, [[priced], [reversed_of(priced, 2), unpriced]])
    made = _report(tmp_path, "unit-economics", prices=Prices(schema=PRICES, tenants={}))
    for section in ("units", "margin", "totals"):
        for row in _rows(made, section):
            assert row["cost_usd"] is None
            assert row["unpriced_steps"] == 1


def test_what_a_success_is_can_be_set(tmp_path: Path) -> None:
    """By the setting; the option goes before it, and both must be LABEL=VALUE."""
    entries = [
        booked(step_id=str(n), trace_id=f"{n:032x}", labels=labels)
        for n, labels in enumerate(['{"done":"yes"}', '{"done":"yes"}', '{"done":"no"}', None])
    ]
    write_ledger(tmp_path / "data", [entries])
    asked = ("unit-economics", "--period", "2026-03", "--data", tmp_path / "data")

    def successes(*options: str, **settings: str) -> list[int]:
        done = agentcost("report", *asked, *options, "--format", "json", **settings)
        units = json.loads(done.stdout)["sections"]["units"]
        return [row["count"] for row in units if row["unit"] == "successful run"]

    setting = {"AGENTCOST_REPORT__OUTCOME": "done=yes"}
    assert successes() == [4]
    assert successes(**setting) == [2]
    assert successes("--outcome", "done=no", **setting) == [1]
    assert "LABEL=VALUE" in refusal("report", *asked, AGENTCOST_REPORT__OUTCOME="done")


def test_tenants_that_stand_out_are_flagged(tmp_path: Path) -> None:
    """Above so many medians, above such a share; exactly at the limit is not above."""
    costs = {"a": 1, "b": 1, "c": 10, "d": 11, None: 77}
    entries = [
        booked(step_id=str(n), tenant=tenant, cost_usd=Decimal(cost))
        for n, (tenant, cost) in enumerate(costs.items())
    ]
    write_ledger(tmp_path, [entries, [booked(step_id="x", tenant="e", cost_usd=Decimal(0))]])
    report = _report(tmp_path, "tenants", times_median=10, percent=10)
    flagged = {r["tenant"]: r["flagged"] for r in _rows(report, "tenants")}
    expected = {"d": "above 10 x the median, above 10 % of spend"}
    assert flagged == {**dict.fromkeys([*costs, "e"]), **expected}


def test_unattributed_spend_is_held_against_the_objective(tmp_path: Path) -> None:
    """Shares of all spend, the objective of 5 %, and for each reason what to do."""
    lost = booked(
        step_id="1", feature=None, unattributed_reason="no_tag", service="api", cost_usd=Decimal(1)
    )
    write_ledger(tmp_path, [[lost, booked(step_id="2", cost_usd=Decimal(9))]])
    report = _report(tmp_path, "unattributed")
    (row,) = _rows(report, "unattributed")
    assert (row["service"], row["share"]) == ("api", Decimal("0.1"))
    assert "agentcost.feature" in row["what_to_do"]
    assert [r["held"] for r in _rows(report, "objective")] == ["no"]


HOSTILE = [
    "<script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "=HYPERLINK(1)",
    "+1",
    "@SUM(A1)",
    "\x1b[31mred\x00",
    "\u202egnp.exe",
    "{{ 7 * 7 }}",
    "https://example.com/",
    "n" * 10_000,
]


def test_names_of_anyone_stay_text(tmp_path: Path) -> None:
    """Markup, formulas, control characters and long names in every dimension: text in the page
    and in the workbook, whose exact columns hold every digit."""
    text = ("feature", "team", "tenant", "agent", "model", "tool", "service")
    exact = Decimal("123456789012345678.123456789012")
    write_ledger(
        tmp_path,
        [
            [
                booked(step_id=str(n), cost_usd=exact, owner_team=name, **dict.fromkeys(text, name))
                for n, name in enumerate(HOSTILE)
            ]
        ],
    )
    for name in REPORTS:
        report = _report(tmp_path, name)
        page = write_page(report)
        assert "<script" not in page
        assert "<img" not in page
        assert not any(character in page for character in "\x1b\x00\u202e")
        path = tmp_path / "report.xlsx"
        write_workbook(report, path)
        book = openpyxl.load_workbook(path)
        assert book.sheetnames == ["about", *(s.name for s in report.sections)]
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert not any(cell.data_type == "f" or cell.hyperlink for cell in cells)
        if name != "unattributed":
            assert str(exact) in {cell.value for cell in cells}


def _run(data: Path, capsys: pytest.CaptureFixture, *arguments: str) -> str:
    app(["report", *arguments, "--data", str(data)], standalone_mode=False)
    return capsys.readouterr().out


def test_every_format_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Table, CSV, JSON and HTML hold the same exact total; a file is written whole."""
    data = tmp_path / "data"
    write_ledger(data, [[booked(cost_usd=Decimal("1234.000000000001"))]])
    asked = ("showback", "--period", "2026-03")
    assert "1234.000000000001" in _run(data, capsys, *asked)
    rows = csv.DictReader(io.StringIO(_run(data, capsys, *asked, "--format", "csv")))
    assert [r["cost_usd"] for r in rows] == ["1234.000000000001"]
    found = json.loads(_run(data, capsys, *asked, "--format", "json"))
    assert found["sections"]["totals"][0]["cost_usd"] == "1234.000000000001"
    page = tmp_path / "page.html"
    assert not _run(data, capsys, *asked, "--format", "html", "--output", str(page))
    assert "1234.000000000001" in page.read_text()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--section", "x"), "one of payers, totals"),
        (("--outcome", "x"), "LABEL=VALUE"),
        (("--format", "xlsx"), "--output"),
        (("--period", "May"), "not a period"),
    ],
)
def test_what_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture, wrong: tuple[str, str], words: str
) -> None:
    """An unknown section or period, an outcome without a value and a workbook without a file are
    refused with what to give instead."""
    write_ledger(tmp_path, [[booked()]])
    arguments = ["report", "showback", "--data", str(tmp_path), *wrong]
    assert app(arguments, standalone_mode=False) == 2
    assert words in capsys.readouterr().err
