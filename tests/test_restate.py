"""Restating works history out again and books the differences, once."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.history import Period
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.report.views import open_views
from agentcost_collector.restate import Outside, Restated, restate
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.support.cards import with_output_price
from tests.support.copies import copies
from tests.support.recordings import ROOT, names, requests_of
from tests.support.trees import START_NS, draw
from tests.support.walked import decode

DAY_NS = 86_400 * 10**9
SETTLED_NS = START_NS + DAY_NS
EVER = Period(0, 2**63 - 1)
LAST_MONTH = "2026-09-01T00:00:00Z"


def refuse(holder: str) -> None:
    raise AssertionError(f"nobody else has the ledger, not {holder}")


def run(
    data: Path, period: Period = EVER, *, dry_run: bool = False, after: int = -1, **settings: Any
) -> Restated:
    """Restates; `after` so many commits it is told to stop."""
    calls = itertools.count()
    outside = Outside(lambda done, total: None, refuse, lambda: next(calls) == after)
    return restate(Settings(data=data, **settings), period, dry_run, outside)


def settle(data: Path, parts: list[pa.Table], now_ns: int = SETTLED_NS, **settings: Any) -> None:
    """One commit a part, an hour apart."""
    chosen = Settings(data=data, **settings)
    with Ledger.open(chosen.ledger_path, "service", chosen.ledger) as ledger:
        settler = Settler(ledger, Rulebook.of(chosen), chosen)
        for hour, part in enumerate(parts):
            settler.settle(part, {}, now_ns + hour * 3600 * 10**9)


def steps(data: Path, view: str = "steps") -> pa.Table:
    """All that stands, in order. A table: DuckDB makes times of Python with a module of others."""
    views = open_views(data)
    columns = ", ".join(views.sql("SELECT * FROM steps LIMIT 0").columns)
    query = f"SELECT {columns} FROM {view} ORDER BY trace_id, step_id"
    return views.sql(query).to_arrow_table()


def ask(data: Path, query: str) -> list[tuple[Any, ...]]:
    return open_views(data).sql(query).fetchall()


def version(data: Path) -> int:
    return LedgerReader(data / "ledger").snapshot().version


@pytest.fixture(scope="module")
def recorded() -> pa.Table:
    spans = decode(body for name in names() for body in requests_of(name))
    return copies(spans, 1, 0, START_NS, 0)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, recorded: pa.Table) -> Path:
    """All recordings, settled in three commits that cut traces apart. Only to be copied."""
    data = tmp_path_factory.mktemp("settled") / "data"
    third = recorded.num_rows // 3
    settle(
        data, [recorded.slice(0, third), recorded.slice(third, third), recorded.slice(2 * third)]
    )
    return data


@pytest.fixture
def history(tmp_path: Path, settled: Path) -> Path:
    """A copy of `settled` that a test may write to."""
    return shutil.copytree(settled, tmp_path / "data")


def test_without_a_change_nothing_is_booked(history):
    """The same rules and prices: every step found, no entry, no commit."""
    before = version(history)
    [(standing,)] = ask(history, "SELECT count(*) FROM steps")
    done = run(history)
    assert (done.steps, done.entries, done.moves.num_rows) == (standing, 0, 0)
    assert standing > 100
    assert done.spans == LedgerReader(history / "ledger").snapshot().span_rows
    assert done.cost_usd_before == done.cost_usd_after > 0
    assert version(history) == before


def test_a_corrected_price_books_the_difference_once(history, tmp_path):
    """A price dated last month: exactly the steps that had output of that model are reversed and
    booked again in the period that they correct; a second run finds nothing to do."""
    cards = with_output_price(tmp_path / "cards", "0.66", LAST_MONTH)
    query = "SELECT count(*), sum(output_tokens) FROM steps WHERE rate_id LIKE '%/gpt-4o-mini@%'"
    [(touched, tokens)] = ask(history, f"{query} AND output_tokens > 0")
    assert touched > 10
    days = ask(history, "SELECT date, count(*) FROM steps GROUP BY ALL ORDER BY ALL")
    done = run(history, rate_cards=(cards,))
    assert done.entries == 2 * touched
    six_hundredths = Decimal(tokens) * Decimal("0.06") / 1_000_000
    assert done.cost_usd_after - done.cost_usd_before == six_hundredths
    assert sum(row["difference_usd"] for row in done.moves.to_pylist()) == six_hundredths
    assert set(done.moves["cause"].to_pylist()) == {"price"}
    assert sum(done.moves["steps"].to_pylist()) == touched
    assert ask(history, "SELECT sum(cost_usd) FROM steps") == [(done.cost_usd_after,)]
    assert ask(history, "SELECT date, count(*) FROM steps GROUP BY ALL ORDER BY ALL") == days
    booked = ask(history, "SELECT DISTINCT entry_reason, sign FROM ledger ORDER BY ALL")
    assert booked == [("first", 1), ("late", -1), ("late", 1), ("restated", -1), ("restated", 1)]
    assert run(history, rate_cards=(cards,)).entries == 0


def test_a_card_that_changes_nothing_for_a_step_is_no_reason_to_book_it(history, tmp_path):
    """A new edition of a card touches only steps whose price it changes: none before its day."""
    cards = with_output_price(tmp_path / "cards", "0.66", "2030-01-01T00:00:00Z")
    assert run(history, rate_cards=(cards,)).entries == 0


def test_a_changed_rule_moves_money_to_another_payer(tmp_path):
    """
    Steps of cart are declared twice; the policy now prefers the other declaration.

    run app.feature=checkout agentcost.feature=cart
      call gen_ai.request.model=gpt-4o-mini gen_ai.usage.input_tokens=1000 gen_ai.system=openai
    """
    settle(tmp_path, [drawn("run app.feature=checkout agentcost.feature=cart\n" + CALL)])
    assert ask(tmp_path, "SELECT DISTINCT feature FROM steps") == [("cart",)]
    policy = policy_in(tmp_path, "feature: {attributes: [app.feature]}")
    done = run(tmp_path, policy=policy)
    assert done.cost_usd_before == done.cost_usd_after
    assert done.moves.to_pylist() == [
        {
            "cause": "payer, owner",
            "from_feature": "cart",
            "from_team": None,
            "to_feature": "checkout",
            "to_team": None,
            "steps": 1,
            "before_usd": Decimal("0.000150000000"),
            "after_usd": Decimal("0.000150000000"),
            "difference_usd": Decimal("0.000000000000"),
        }
    ]
    assert ask(tmp_path, "SELECT feature, sum(cost_usd) FROM ledger GROUP BY 1 ORDER BY 1") == [
        ("cart", Decimal(0)),
        ("checkout", Decimal("0.00015")),
    ]


def policy_in(folder: Path, tag: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(f"schema: agentcost.policy/v1\ntags:\n  {tag}\n", encoding="utf-8")
    return path


CALL = "  call gen_ai.request.model=gpt-4o-mini gen_ai.usage.input_tokens=1000 gen_ai.system=openai"


def drawn(*trees: str, at_ns: int = START_NS) -> pa.Table:
    """Spans of drawings, each under ids of its own."""
    spans = [decode([draw(tree).body()]) for tree in trees]
    return pa.concat_tables(
        [copies(part, 1, number, at_ns, 0) for number, part in enumerate(spans)]
    )


def test_in_slices_it_ends_the_same(history, tmp_path):
    """A few rows at a time, in many commits, or all at once: the same steps and the same sums."""
    cards = with_output_price(tmp_path / "cards", "0.66", LAST_MONTH)
    whole, other = tmp_path / "whole", tmp_path / "other"
    for copy in (whole, other):
        copy_tree(history, copy)
    at_once = run(whole, rate_cards=(cards,))
    before = version(other)
    in_slices = run(other, rate_cards=(cards,), settle_spans_max=20)
    assert version(other) - before > 5
    assert steps(other).equals(steps(whole))
    assert facts(in_slices) == facts(at_once)


def facts(done: Restated) -> dict[str, Any]:
    return {**vars(done), "moves": done.moves.to_pylist()}


def copy_tree(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def test_interrupted_it_is_run_again(history, tmp_path):
    """Stopped between two commits it says what is done; run again it books the rest only."""
    cards = with_output_price(tmp_path / "cards", "0.66", LAST_MONTH)
    once = tmp_path / "once"
    copy_tree(history, once)
    whole = run(once, rate_cards=(cards,))
    first = run(history, rate_cards=(cards,), settle_spans_max=20, after=4)
    assert first.interrupted
    assert 0 < first.entries < whole.entries
    assert ask(history, "SELECT sum(cost_usd) FROM ledger") == ask(
        history, "SELECT sum(cost_usd) FROM steps"
    )
    second = run(history, rate_cards=(cards,), settle_spans_max=20)
    assert not second.interrupted
    assert first.entries + second.entries == whole.entries
    assert steps(history).equals(steps(once))


def test_a_dry_run_says_the_same_and_writes_nothing(history, tmp_path):
    """Also while another process has the ledger."""
    cards = with_output_price(tmp_path / "cards", "0.66", LAST_MONTH)
    before = sorted(path for path in history.rglob("*"))
    settings = Settings(data=history)
    with Ledger.open(settings.ledger_path, "service", settings.ledger):
        tried = run(history, dry_run=True, rate_cards=(cards,))
    assert sorted(path for path in history.rglob("*")) == before
    assert facts(tried) == facts(run(history, rate_cards=(cards,)))


def test_the_period_goes_by_the_first_span(tmp_path):
    """A trace over midnight, settled in two parts and days, belongs to the day of its first span,
    and is worked out whole; the end of a period is not in it."""
    tree = "run agentcost.feature=cart\n" + CALL
    early, late = (drawn(tree, at_ns=START_NS + n * DAY_NS) for n in (0, 1))
    late = late.set_column(0, SPANS.field(0), pc.utf8_reverse(late["trace_id"]))
    long = shifted(early, DAY_NS, pc.is_valid(early["parent_span_id"]))
    roots = pc.is_null(long["parent_span_id"])
    settle(tmp_path, [long.filter(roots), long.filter(pc.invert(roots)), late], SETTLED_NS + DAY_NS)
    defaults = {"policy": policy_in(tmp_path, "tenant: {default: acme}")}
    first_day = Period(START_NS, START_NS + DAY_NS)
    assert run(tmp_path, Period(0, START_NS), **defaults).traces == 0
    done = run(tmp_path, first_day, **defaults)
    assert (done.traces, done.spans, done.steps, done.entries) == (1, 2, 1, 2)
    restated = ask(tmp_path, "SELECT DISTINCT trace_id FROM ledger WHERE entry_reason = 'restated'")
    assert restated == [(early["trace_id"][0].as_py(),)]
    rest = run(tmp_path, Period(START_NS + DAY_NS, 2**63 - 1), **defaults)
    assert (rest.traces, rest.entries) == (1, 2)
    assert run(tmp_path, **defaults).entries == 0


def shifted(spans: pa.Table, by_ns: int, which: pa.ChunkedArray) -> pa.Table:
    """`spans` where some of them are later."""
    for name in ("start_ns", "end_ns"):
        at = SPANS.get_field_index(name)
        moved = pc.if_else(which, pc.add(spans[name], by_ns), spans[name])
        spans = spans.set_column(at, SPANS.field(at), moved)
    return spans


def test_entries_without_spans_stay_and_are_counted(history):
    """What cannot be worked out again is left alone."""
    settings = Settings(data=history)
    standing = steps(history).num_rows
    reader = LedgerReader(settings.ledger_path)
    entry = reader.entries_of(pc.unique(pa.array(trace_ids(history))).to_pylist()[:1]).slice(0, 1)
    for name, value in (("trace_id", "f" * 32), ("step_id", "elsewhere")):
        at = entry.schema.get_field_index(name)
        entry = entry.set_column(at, entry.schema.field(at), pa.array([value]))
    with Ledger.open(settings.ledger_path, "other", settings.ledger) as ledger:
        ledger.commit(SPANS.empty_table(), entry, {}, SETTLED_NS)
    done = run(history)
    assert (done.entries_alone, done.entries) == (1, 0)
    assert steps(history).num_rows == standing + 1


def trace_ids(data: Path) -> list[str]:
    return [row[0] for row in ask(data, "SELECT DISTINCT trace_id FROM ledger ORDER BY 1")]


def test_a_linked_trace_outside_the_period_still_says_who_pays(tmp_path):
    """Context is read, not restated."""
    tree = f"ask feature=cart\n\njob link=ask\n{CALL}"
    spans = decode([draw(tree.replace("\n\n", "\n")).body()])
    job = spans.filter(pc.equal(spans["name"], "job"))["trace_id"][0]
    spans = shifted(spans, DAY_NS, pc.equal(spans["trace_id"], job))
    settle(tmp_path, [spans], SETTLED_NS + DAY_NS)
    assert ask(tmp_path, "SELECT DISTINCT feature, feature_from FROM steps") == [("cart", "link")]
    done = run(tmp_path, Period(START_NS + DAY_NS, 2**63 - 1))
    assert (done.traces, done.steps, done.entries) == (1, 1, 0)


def test_a_late_span_after_a_restatement_of_old_traces(tmp_path):
    """The index forgot the trace, a restatement wrote to it, then its last span came: everything
    booked is found, nothing is doubled."""
    quick = {"ledger": {"reopen_window_h": 1}}
    tree = f"run feature=cart\n{CALL}\n{CALL.replace('call', 'again').replace('1000', '500')}"
    spans = drawn(tree)
    others = [drawn("run feature=x\n" + CALL, at_ns=START_NS + n * DAY_NS) for n in (2, 3)]
    others = [retraced(part, n) for n, part in enumerate(others)]
    again = pc.equal(spans["name"], "again")
    settle(tmp_path, [spans.filter(pc.invert(again))], **quick)
    for n, part in enumerate(others):
        settle(tmp_path, [part], SETTLED_NS + (n + 2) * DAY_NS, **quick)
    tagged = {"policy": policy_in(tmp_path, "tenant: {default: acme}")}
    assert run(tmp_path, Period(START_NS, START_NS + DAY_NS), **tagged, **quick).entries == 2
    settle(tmp_path, [spans.filter(again)], SETTLED_NS + 4 * DAY_NS, **tagged, **quick)
    trace = spans["trace_id"][0].as_py()
    standing = f"SELECT name, cost_usd, tenant FROM steps WHERE trace_id = '{trace}' ORDER BY name"
    assert ask(tmp_path, standing) == [
        ("again", Decimal("0.000075"), "acme"),
        ("call", Decimal("0.00015"), "acme"),
    ]


def retraced(spans: pa.Table, number: int) -> pa.Table:
    return spans.set_column(0, SPANS.field(0), pa.array([f"{number + 1:032x}"] * spans.num_rows))


def test_what_stood_at_a_past_instant_can_be_asked(history, tmp_path):
    """The statement in docs/schema.md gives the steps as they stood before a correction."""
    text = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8")
    statement = next(
        block.partition("```")[0] for block in text.split("```sql\n") if "booked_at <=" in block
    )
    before = steps(history)
    cards = with_output_price(tmp_path / "cards", "0.66", LAST_MONTH)
    assert run(history, rate_cards=(cards,)).entries > 0
    assert not steps(history).equals(before)
    last = datetime.fromtimestamp((SETTLED_NS + 3 * 3600 * 10**9) // 10**9, UTC)
    then = statement.strip().rstrip(";").replace("2026-11-01 00:00:00", f"{last:%Y-%m-%d %H:%M:%S}")
    assert steps(history, f"({then})").equals(before)
