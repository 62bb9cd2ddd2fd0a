from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.book.charges import book_charges
from agentcost_collector.book.standing import standing_charges
from agentcost_collector.model.schemas import CHARGES, ENTRIES, SIGNED
from agentcost_collector.model.tables import empty

NOW = 1_780_000_000 * 10**9
START = datetime(2026, 5, 28, 12, tzinfo=UTC)
NOTHING = empty(ENTRIES)
MOST = Decimal("9" * 26 + "." + "9" * 12)
WIDE = Context(prec=60)


def charge(trace: str, step: int, **values) -> dict:
    return {
        "trace_id": trace,
        "span_id": f"s{step}",
        "step_id": f"{trace}/{step}",
        "started_at": START + timedelta(seconds=step),
        "ended_at": START + timedelta(seconds=step + 1),
        "environment": "prod",
        **values,
    }


def charges(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=CHARGES)


@st.composite
def wanted_tables(draw: st.DrawFn) -> list[dict]:
    """Charges of up to three traces of up to four steps; any column may differ between tables."""
    cost = st.sampled_from(
        [None, MOST, MOST.copy_negate(), Decimal("0"), Decimal("1e-12"), Decimal("0.1")]
    )
    rows = []
    for trace in "abc":
        for step in range(4):
            if draw(st.booleans()):
                values = {
                    "cost_usd": draw(cost),
                    "reported_cost_usd": draw(cost),
                    "input_tokens": draw(st.none() | st.integers(0, 5)),
                    "feature": draw(st.sampled_from([None, "", "f", "g"])),
                    "environment": draw(st.sampled_from([None, "", "PROD", "../x", "e" * 300])),
                }
                rows.append(charge(trace, step, **values))
    return rows


def content(table: pa.Table) -> list[tuple]:
    return [tuple(row[name] for name in CHARGES.names) for row in table.to_pylist()]


def standing(entries: pa.Table) -> Counter:
    """Oracle, row by row in Python: how often each content stands, reversals un-negated."""
    net: Counter = Counter()
    for row in entries.to_pylist():
        sign = row["sign"]
        for name in SIGNED:
            row[name] = flipped(row[name]) if sign < 0 else row[name]
        net[tuple(row[name] for name in CHARGES.names)] += sign
    return Counter({key: n for key, n in net.items() if n})


def flipped(value: Decimal | int | None) -> Decimal | int | None:
    """Exact, where unary minus would round a Decimal to 28 digits."""
    return value.copy_negate() if isinstance(value, Decimal) else value and -value


def pico(value: Decimal | None) -> int:
    return 0 if value is None else int(value.scaleb(12, WIDE))


def total(table: pa.Table, name: str) -> int:
    return sum(pico(Decimal(v)) for v in table[name].to_pylist() if v is not None)


def history(tables: list[list[dict]]) -> pa.Table:
    ledger = NOTHING
    for n, rows in enumerate(tables):
        ledger = pa.concat_tables([ledger, book_charges(charges(rows), ledger, NOW + n)])
    return ledger


def closed(rows: list[dict]) -> list[dict]:
    names = {None: "none", "": "none", "PROD": "prod"}
    return [{**row, "environment": names.get(row["environment"], "other")} for row in rows]


def test_new_charges_become_first_entries():
    """A charge of a new trace is appended as it is, signed +1, dated by its end."""
    wanted = charges([charge("a", 2, cost_usd=Decimal("1.5")), charge("a", 1)])
    entries = book_charges(wanted, NOTHING, NOW)
    assert entries.schema.equals(ENTRIES)
    assert entries["step_id"].to_pylist() == ["a/1", "a/2"]
    assert entries["cost_usd"].to_pylist() == [None, Decimal("1.5")]
    assert set(entries["sign"].to_pylist()) == {1}
    assert set(entries["entry_reason"].to_pylist()) == {"first"}
    assert set(entries["date"].to_pylist()) == {date(2026, 5, 28)}
    assert entries["booked_at"][0].as_py() == datetime.fromtimestamp(NOW // 10**9, UTC)


def test_a_correction_reverses_the_old_row_and_adds_the_new_one():
    """Quantities and money are negated, NULL stays NULL, all else is repeated, reason is told."""
    old = charge("a", 1, cost_usd=MOST, input_tokens=7, feature="f", card_digest="old")
    booked = book_charges(charges([old]), NOTHING, NOW)
    new = {**old, "cost_usd": None, "card_digest": "new"}
    minus, plus = book_charges(charges([new]), booked, NOW + 10**9, "restated").to_pylist()
    assert (minus["sign"], plus["sign"]) == (-1, 1)
    assert (minus["cost_usd"], plus["cost_usd"]) == (MOST.copy_negate(), None)
    assert (minus["input_tokens"], plus["input_tokens"]) == (-7, 7)
    assert minus["output_tokens"] is None
    assert (minus["card_digest"], plus["card_digest"]) == ("old", "new")
    assert minus["entry_reason"] == plus["entry_reason"] == "restated"


def test_new_and_known_traces_in_one_call():
    """Only traces that have entries are corrected; the others are first."""
    booked = book_charges(charges([charge("a", 1)]), NOTHING, NOW)
    wanted = charges([charge("a", 1), charge("a", 2), charge("b", 1)])
    entries = book_charges(wanted, booked, NOW)
    assert entries.select(["step_id", "entry_reason"]).to_pylist() == [
        {"step_id": "a/2", "entry_reason": "late"},
        {"step_id": "b/1", "entry_reason": "first"},
    ]


def test_a_reversal_is_filed_under_the_day_of_what_it_reverses():
    """A row dated in the future is filed tomorrow; reversed a week later, its day nets to zero."""
    ahead = charge("a", 1, ended_at=START + timedelta(days=30), cost_usd=Decimal(1))
    booked = book_charges(charges([ahead]), NOTHING, NOW)
    later = NOW + 7 * 86_400 * 10**9
    again = book_charges(charges([ahead]), booked, later)
    assert again.num_rows == 0
    minus, plus = book_charges(charges([{**ahead, "feature": "g"}]), booked, later).to_pylist()
    assert minus["date"] == booked["date"][0].as_py() == date(2026, 5, 29)
    assert plus["date"] == date(2026, 6, 5)


def test_times_that_are_missing_or_absurd_are_filed_inside_the_window():
    """No end: the start counts; neither: the first day; before the first day: the first day."""
    rows = [
        charge("a", 1, ended_at=None),
        charge("a", 2, ended_at=None, started_at=None),
        charge("a", 3, ended_at=datetime(1970, 1, 1, tzinfo=UTC)),
    ]
    entries = book_charges(charges(rows), NOTHING, NOW)
    days = {row["step_id"]: row["date"] for row in entries.to_pylist()}
    assert days == {
        "a/1": date(2026, 5, 28),
        "a/2": date(2020, 1, 1),
        "a/3": date(2020, 1, 1),
    }


@given(wanted_tables())
@settings(max_examples=60, deadline=None)
def test_booking_the_same_twice_books_nothing(rows):
    """book(w, book(w, nothing)) is empty, whatever the columns hold."""
    booked = book_charges(charges(rows), NOTHING, NOW)
    assert sorted(content(booked), key=repr) == sorted(content(charges(closed(rows))), key=repr)
    assert book_charges(charges(rows), booked, NOW + 10**9).num_rows == 0


@given(st.lists(wanted_tables(), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_the_ledger_is_what_was_wanted_last(tables):
    """After any sequence of wishes: every column sums to the last wish, each content 0 or 1."""
    ledger = history(tables)
    last = charges(closed(tables[-1]))
    for name in ("cost_usd", "reported_cost_usd", "input_tokens", "duration_ms"):
        assert total(ledger, name) == total(last, name)
    assert standing(ledger) == Counter(content(last))
    per_day = Counter()
    for row in ledger.to_pylist():
        per_day[row["date"], row["environment"]] += pico(row["cost_usd"])
    for row in last.to_pylist():
        per_day[row["ended_at"].date(), row["environment"]] -= pico(row["cost_usd"])
    assert not any(per_day.values())


@given(st.lists(wanted_tables(), min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_way_there_does_not_matter(tables, random):
    """Any order of the earlier wishes, and of the rows in them, leaves the same standing rows."""
    shuffled = tables[:-1]
    random.shuffle(shuffled)
    last = list(tables[-1])
    random.shuffle(last)
    one, other = history(tables), history([*shuffled, last])
    assert standing(one) == standing(other)
    assert Counter(content(standing_charges(one))) == standing(one)


@given(wanted_tables(), wanted_tables(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_order_of_input_rows_does_not_change_the_output(first, second, random):
    """Same rows in, same table out, sorted by trace_id, started_at, step_id, sign."""
    booked = book_charges(charges(first), NOTHING, NOW)
    entries = book_charges(charges(second), booked, NOW)
    mixed_rows = list(second)
    random.shuffle(mixed_rows)
    order = list(range(booked.num_rows))
    random.shuffle(order)
    mixed = booked.take(pa.array(order, pa.int64()))
    assert book_charges(charges(mixed_rows), mixed, NOW).equals(entries)
    keys = entries.select(["trace_id", "started_at", "step_id", "sign"]).to_pylist()
    assert [tuple(k.values()) for k in keys] == sorted(tuple(k.values()) for k in keys)


def test_a_ledger_that_counted_twice_is_put_right():
    """Entries that stand twice, or stand reversed, are brought back to standing once."""
    one = book_charges(charges([charge("a", 1, cost_usd=Decimal(2))]), NOTHING, NOW)
    twice = pa.concat_tables([one, one])
    fix = book_charges(charges([charge("a", 1, cost_usd=Decimal(2))]), twice, NOW)
    assert fix["cost_usd"].to_pylist() == [Decimal(-2)]
    empty_wish = book_charges(charges([]), twice, NOW)
    assert empty_wish["sign"].to_pylist() == [-1, -1]
    assert empty_wish["cost_usd"].to_pylist() == [Decimal(-2), Decimal(-2)]


@st.composite
def unsound_ledgers(draw: st.DrawFn) -> pa.Table:
    """Entries as no sound ledger has them: repeated, reversed twice or never booked, in any order,
    some booked at the same instant."""
    ledger = NOTHING
    for _ in range(draw(st.integers(1, 3))):
        booked = book_charges(
            charges(draw(wanted_tables())), NOTHING, NOW + draw(st.integers(0, 2))
        )
        for entries in (booked, reversal_of(booked)):
            times = st.lists(st.sampled_from(range(entries.num_rows)), max_size=12)
            kept = draw(times) if entries.num_rows else []
            ledger = pa.concat_tables([ledger, entries.take(pa.array(kept, pa.int64()))])
    order = draw(st.permutations(range(ledger.num_rows)))
    return ledger.take(pa.array(order, pa.int64()))


def reversal_of(entries: pa.Table) -> pa.Table:
    rows = entries.to_pylist()
    for row in rows:
        row.update({name: flipped(row[name]) for name in SIGNED}, sign=-1)
    return pa.Table.from_pylist(rows, schema=ENTRIES)


@given(unsound_ledgers(), wanted_tables(), st.data())
@settings(max_examples=60, deadline=None)
def test_any_ledger_is_made_right(ledger, rows, data):
    """Whatever stands, and however often: what is wanted stands afterwards, as often as asked."""
    repeats = data.draw(st.lists(st.sampled_from(rows), max_size=3)) if rows else []
    wanted = [*rows, *repeats]
    assert tally(standing_charges(ledger)) == standing(ledger)
    entries = book_charges(charges(wanted), ledger, NOW + 10**9)
    after = standing(pa.concat_tables([ledger, entries]))
    assert after == Counter(content(charges(closed(wanted))))


def tally(table: pa.Table) -> Counter:
    """How often each content stands, as `standing_charges` says."""
    net: Counter = Counter()
    for key, n in zip(content(table), table["net"].to_pylist(), strict=True):
        net[key] += n
    return Counter({key: n for key, n in net.items() if n})
