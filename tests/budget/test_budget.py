"""Budgets against ledgers whose sums are known."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from agentcost_collector.budget import Kind, Record, Records, append, status_of
from agentcost_collector.budgets_file import read_budgets
from agentcost_collector.model.errors import ConfigError, CorruptionError
from agentcost_collector.report.config import Config
from agentcost_collector.report.views import open_views
from tests.report.ledgers import booked, write_ledger

HEAD = "schema: agentcost.budgets/v1\nbudgets:\n"
MARCH = date(2026, 3, 10)


def file_of(tmp_path, *budgets):
    path = tmp_path / "budgets.yaml"
    path.write_text(HEAD + "".join(f"  - {{{budget}}}\n" for budget in budgets))
    return path


def spend(tmp_path, *steps):
    """A data folder; each step: day of March 2026 (of February below 1), dollars, tags."""
    rows = []
    for number, (day, usd, tags) in enumerate(steps):
        month, day = (3, day) if day > 0 else (2, 28 + day)
        at = datetime(2026, month, day, 12, tzinfo=UTC)
        times = {"started_at": at, "ended_at": at, "date": at.date()}
        money = {"cost_usd": None if usd is None else Decimal(usd)}
        money |= {"cost_status": "unpriced", "cost_reason": "model_unknown"} if usd is None else {}
        ids = {"step_id": f"s{number}", "span_id": f"{number:016x}"}
        rows.append(booked(**ids, **times, **money, **tags))
    write_ledger(tmp_path / "data", [rows])
    return tmp_path / "data"


def status(data, file, today=MARCH, records=(), config=None):
    config = config or Config()
    with open_views(data, config=config) as connection:
        table = status_of(connection, read_budgets(file), Records(records), today, config)
    return {row["budget"]: row for row in table.to_pylist()}


A, B = {"feature": "a", "team": "t"}, {"feature": "b", "team": "t"}
NOBODY = {"feature": None, "feature_from": None, "unattributed_reason": "no_tag"}


def test_each_budget_counts_what_it_is_tied_to(tmp_path):
    """Feature, team, all; this month and this quarter; money that nobody pays beside."""
    data = spend(
        tmp_path, (1, "1.5", A), (10, "2.25", A), (3, "4", B), (2, "8", NOBODY), (0, "16", A)
    )
    file = file_of(
        tmp_path,
        'name: fa, owner: o, feature: a, period: month, usd: "10"',
        'name: team, owner: o, team: t, period: month, usd: "10"',
        'name: all, owner: o, period: quarter, usd: "40"',
    )
    found = status(data, file)
    assert [found[name]["spent"] for name in ("fa", "team", "all")] == [
        Decimal("3.75"),
        Decimal("7.75"),
        Decimal("31.75"),
    ]
    assert [found[name]["tier"] for name in ("fa", "team", "all")] == [
        "feature",
        "team",
        "organisation",
    ]
    assert {row["unattributed_usd"] for row in found.values()} == {Decimal(8)}
    assert found["fa"]["used"] == Decimal("0.375")
    assert (found["all"]["first"], found["all"]["until"]) == (date(2026, 1, 1), date(2026, 4, 1))
    assert found["fa"]["forecast"] == Decimal("3.75") * 31 / 10


@pytest.mark.parametrize(
    ("scope", "state"),
    [
        ("feature: a", "over"),
        ("tenant: acme", "over"),
        ("team: t", "needs_acknowledgement"),
        ("environment: production", "incident"),
    ],
)
def test_a_passed_cap_is_what_its_tier_says(tmp_path, scope, state):
    """Exactly the cap is not over it; a pico-dollar more is."""
    data = spend(tmp_path, (1, "10.000000000001", A))
    over = file_of(tmp_path, f'name: x, owner: ann, {scope}, period: month, usd: "10"')
    found = status(data, over)["x"]
    assert found["state"] == state
    assert found["what_to_do"].startswith("ann: 0.000000000001 usd over; ")
    exact = file_of(tmp_path, f'name: x, owner: o, {scope}, period: month, usd: "10.000000000001"')
    assert status(data, exact)["x"]["state"] == "ok"


def test_tokens_can_be_limited(tmp_path):
    """110 tokens a step."""
    data = spend(tmp_path, (1, "1", A), (2, "1", A))
    file = file_of(tmp_path, "name: x, owner: o, feature: a, period: month, tokens: 200")
    found = status(data, file)["x"]
    assert (found["spent"], found["cap"], found["state"]) == (220, 200, "over")


def test_what_has_no_price_is_shown_beside(tmp_path):
    """It may be over without anybody knowing."""
    data = spend(tmp_path, (1, "1", A), (2, None, A), (2, None, B))
    file = file_of(tmp_path, 'name: x, owner: o, feature: a, period: month, usd: "2"')
    found = status(data, file)["x"]
    assert (found["spent"], found["unpriced_steps"]) == (1, 1)


@pytest.mark.parametrize(("day", "cap"), [(9, 10), (10, 15), (19, 15), (20, 10)])
def test_a_raise_ends_by_itself(tmp_path, day, cap):
    """From its first day to before its last."""
    data = spend(tmp_path, (1, "12", A))
    more = '{by: "5", from: 2026-03-10, until: 2026-03-20, reason: launch}'
    file = file_of(
        tmp_path, f'name: x, owner: o, feature: a, period: month, usd: "10", raises: [{more}]'
    )
    found = status(data, file, date(2026, 3, day))["x"]
    assert (found["cap"], found["state"]) == (cap, "ok" if cap > 12 else "over")


def test_the_fiscal_quarter_of_another_time_zone(tmp_path):
    """From 1 February, by the clock of Auckland, where it is a day later."""
    data = spend(tmp_path, (0, "4", A))  # noon of 28 February UTC: 1 March there
    file = file_of(
        tmp_path,
        'name: m, owner: o, feature: a, period: month, usd: "10"',
        'name: q, owner: o, feature: a, period: fiscal-quarter, usd: "10"',
    )
    config = Config(time_zone="Pacific/Auckland", fiscal_year_start=2)
    found = status(data, file, MARCH, config=config)
    assert (found["m"]["spent"], found["q"]["spent"]) == (4, 4)
    assert (found["q"]["period"], found["q"]["first"]) == ("FY2027-Q1", date(2026, 2, 1))
    assert status(data, file, MARCH)["m"]["spent"] == 0


def said(budget, kind, **more):
    return Record("2026-03-09T10:00:00+00:00", kind, budget.name, budget.digest, "ann", **more)


def test_an_acknowledgement_holds_until_its_day_and_for_its_period(tmp_path):
    """And for the budget as it was."""
    data = spend(tmp_path, (1, "12", A), (0, "12", A))
    text = 'name: x, owner: o, team: t, period: month, usd: "10"'
    (budget,) = read_budgets(file_of(tmp_path, text)).budgets
    until = date(2026, 3, 20)
    record = said(budget, Kind.ACKNOWLEDGED, reason="r", period="2026-03", until=until)
    file = file_of(tmp_path, text)
    assert status(data, file, date(2026, 3, 19), [record])["x"]["state"] == "acknowledged"
    assert status(data, file, until, [record])["x"]["state"] == "needs_acknowledgement"
    february = status(data, file, date(2026, 2, 28), [record])["x"]
    assert february["state"] == "needs_acknowledgement"
    changed = file_of(tmp_path, text.replace('"10"', '"11"'))
    assert status(data, changed, MARCH, [record])["x"]["state"] == "needs_acknowledgement"


def test_a_signature_is_under_one_wording(tmp_path):
    """Changed, the budget has to be signed again; status says by whom it is."""
    data = spend(tmp_path, (1, "1", A))
    text = 'name: x, owner: ann, feature: a, period: month, usd: "10"'
    (budget,) = read_budgets(file_of(tmp_path, text)).budgets
    signed = status(data, file_of(tmp_path, text), records=[said(budget, Kind.SIGNED)])["x"]
    assert (signed["signed_by"], signed["what_to_do"]) == ("ann", None)
    other = file_of(tmp_path, text.replace('"10"', '"20"'))
    changed = status(data, other, records=[said(budget, Kind.SIGNED)])["x"]
    assert changed["signed_by"] is None
    assert "agentcost budget sign x" in changed["what_to_do"]


def test_records_come_back_as_they_were_said(tmp_path):
    """In order, also after a line that a crash cut short."""
    path = tmp_path / "budgets.jsonl"
    (budget,) = read_budgets(file_of(tmp_path, 'name: x, owner: o, period: day, usd: "1"')).budgets
    first = said(budget, Kind.SIGNED)
    second = said(budget, Kind.ACKNOWLEDGED, reason="r\n", period="2026-03-10", until=MARCH)
    append(path, first)
    with path.open("ab") as file:
        file.write(b'{"at": "2026')
    assert Records.read(path).all == (first,)
    append(path, second)
    assert Records.read(path).all == (first, second)
    assert Records.read(tmp_path / "none").all == ()


@pytest.mark.parametrize(
    "harm", ["edited", "last edited", "removed", "swapped", "repeated", "first removed"]
)
def test_changed_records_are_noticed(tmp_path, harm):
    """With the line from which on they cannot be trusted."""
    path = tmp_path / "budgets.jsonl"
    (budget,) = read_budgets(file_of(tmp_path, 'name: x, owner: o, period: day, usd: "1"')).budgets
    for _ in range(4):
        append(path, said(budget, Kind.SIGNED))
    lines = path.read_text().splitlines(keepends=True)
    for at in {"edited": [1], "last edited": [3]}.get(harm, []):
        lines[at] = lines[at].replace("ann", "eve")
    order = {
        "removed": [0, 2, 3],
        "swapped": [0, 2, 1, 3],
        "repeated": [0, 1, 1, 2, 3],
        "first removed": [1, 2, 3],
    }.get(harm, [0, 1, 2, 3])
    path.write_text("".join(lines[at] for at in order))
    with pytest.raises(CorruptionError, match=r"budgets.jsonl:\d: this record was changed, or"):
        Records.read(path)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name: x, owner: o, period: month", 3, "needs exactly one of usd, tokens, gpu_seconds"),
        ('name: x, owner: o, period: month, usd: "1", tokens: 2', 3, "needs exactly one of"),
        ("name: x, owner: o, period: month, usd: 1.5", 3, "quoted decimal"),
        ('name: x, owner: o, period: month, usd: "0"', 3, "above 0"),
        ('name: x, owner: o, period: days, usd: "1"', 3, "`period` is one of day"),
        ('name: X Y, owner: o, period: month, usd: "1"', 3, "name"),
        ('name: x, period: month, usd: "1"', 3, "owner"),
        ('name: x, owner: o, period: month, usd: "1", featur: a', 3, "featur"),
    ],
)
def test_faults_of_the_file_have_a_line(tmp_path, text, line, words):
    """And say what to do."""
    with pytest.raises(ConfigError) as fault:
        read_budgets(file_of(tmp_path, text))
    assert f"budgets.yaml:{line}: " in str(fault.value)
    assert words in str(fault.value)


def test_a_name_twice(tmp_path):
    """Both places are named."""
    one = 'name: x, owner: o, period: month, usd: "1"'
    with pytest.raises(ConfigError, match=r":4: 'x' is at .*:3 already"):
        read_budgets(file_of(tmp_path, one, one))
