"""Shares add up to the amount to the last decimal, whoever used what, in whatever order."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.allocate import SharedCost, allocate_costs
from agentcost_collector.book.charges import book_charges
from agentcost_collector.book.standing import standing_charges
from agentcost_collector.model.schemas import CHARGES, DRIVERS, ENTRIES, PAYER_TAGS, USES

NOW_NS = 1_790_000_000 * 10**9
PICO = 10**12

D = Decimal
OCTOBER = {"id": "bill", "from": date(2026, 10, 1), "to": date(2026, 11, 1)}


def cost(**keys: Any) -> SharedCost:
    return SharedCost.model_validate({**OCTOBER, "amount": "10", "method": "even", **keys})


def used(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{"calls": D(1), **row} for row in rows], schema=USES)


def shares(costs: SharedCost | list[SharedCost], uses: pa.Table) -> list[dict[str, Any]]:
    listed = costs if isinstance(costs, list) else [costs]
    return allocate_costs(listed, lambda *_: uses).to_pylist()


def paid(charges: list[dict[str, Any]]) -> dict[str | None, Decimal]:
    """What each feature pays; idle is a feature."""
    return {"IDLE" if c["usage_role"] else c["feature"]: c["cost_usd"] for c in charges}


THREE = used(
    {"feature": "a", "cost": D("0.1"), "tokens": D(10), "service": "rag", "kind": "llm"},
    {"feature": "b", "cost": D("0.2"), "tokens": D(60), "service": "rag", "kind": "tool"},
    {"feature": "b", "tokens": D(20), "service": "bot", "kind": "llm", "calls": D(2)},
    {"feature": None, "tokens": D(10), "service": "bot", "kind": "llm"},
)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"method": "even"},
            {None: "3.333333333334", "a": "3.333333333333", "b": "3.333333333333"},
        ),
        ({"method": "proportional", "driver": "calls"}, {None: "2", "a": "2", "b": "6"}),
        ({"method": "proportional", "driver": "tokens"}, {None: "1", "a": "1", "b": "8"}),
        (
            {"method": "proportional", "driver": "cost"},
            {"a": "3.333333333333", "b": "6.666666666667"},
        ),
        (
            {"method": "proportional", "driver": "tokens", "shared_by": {"service": "rag"}},
            {"a": "1.428571428571", "b": "8.571428571429"},
        ),
        (
            {"method": "even", "shared_by": {"service": ["rag", "bot"], "kind": "llm"}},
            {None: "3.333333333334", "a": "3.333333333333", "b": "3.333333333333"},
        ),
        (
            {"method": "even", "shared_by": {"feature": [None, "a"]}},
            {None: "5", "a": "5"},
        ),
        (
            {"method": "usage", "driver": "tokens", "capacity": "200"},
            {None: "0.5", "a": "0.5", "b": "4", "IDLE": "5"},
        ),
        ({"method": "usage", "driver": "tokens", "capacity": 50}, {None: "1", "a": "1", "b": "8"}),
        ({"method": "usage", "driver": "gpu_seconds", "capacity": 50}, {"IDLE": "10"}),
        ({"method": "proportional", "driver": "units"}, {"IDLE": "10"}),
        ({"method": "even", "shared_by": {"tool": "nobody"}}, {"IDLE": "10"}),
        (
            {"weights": [{"feature": "x", "weight": 2}, {"feature": "y", "weight": "0.5"}]}
            | {"method": "weights"},
            {"x": "8", "y": "2"},
        ),
        ({"weights": [{"feature": "x", "weight": 0}]} | {"method": "weights"}, {"IDLE": "10"}),
    ],
)
def test_who_pays_what(keys: dict[str, Any], expected: dict[str | None, str]) -> None:
    """Each method and driver by hand; what nobody used is idle, never lost."""
    assert paid(shares(cost(**keys), THREE)) == {f: D(usd) for f, usd in expected.items()}


def test_a_charge_says_where_it_comes_from() -> None:
    """Every column of a share: the payer's tags, the owner, the period, method, driver, rate."""
    one = cost(
        name="Vector database",
        provider="pinecone",
        owner={"team": "search", "feature": "index", "service": "vectors"},
        method="usage",
        driver="calls",
        capacity=4,
    )
    uses = used({"feature": "a", "team": "t", "tenant": "x", "environment": "prod"})
    first, idle = sorted(shares(one, uses), key=lambda c: c["usage_role"] or "")
    hexadecimal = ("trace_id", "span_id", "step_id", "card_digest")
    said = {k: v for k, v in first.items() if v is not None and k not in hexadecimal}
    assert said == {
        "kind": "allocated",
        "name": "Vector database",
        "path": "Vector database",
        "started_at": datetime(2026, 10, 1, tzinfo=UTC),
        "ended_at": datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "service": "vectors",
        "feature": "a",
        "feature_from": "allocated",
        "team": "t",
        "team_from": "allocated",
        "tenant": "x",
        "tenant_from": "allocated",
        "environment": "prod",
        "environment_from": "allocated",
        "workload_class_from": "none",
        "parent_run_id_from": "none",
        "owner_team": "search",
        "owner_feature": "index",
        "owner_service": "vectors",
        "provider": "pinecone",
        "operation": "usage",
        "target": "calls",
        "cost_usd": D("2.5"),
        "unit_cost_usd": D("2.5"),
        "list_cost_usd": D("2.5"),
        "cost_status": "priced",
        "currency": "USD",
        "original_cost": D("2.5"),
        "rate_id": "shared/bill@2026-10-01",
    }
    assert [len(first[name]) for name in hexadecimal] == [32, 16, 49, 16]
    assert (idle["feature"], idle["team"], idle["usage_role"]) == ("index", "search", "idle")
    assert idle["step_id"] != first["step_id"]


def test_idle_is_paid_by_whom_the_file_names() -> None:
    """An idle payer of its own, with all its tags, instead of the owner."""
    one = cost(owner={"team": "ml"}, idle={"feature": "platform", "environment": "prod"})
    (share,) = shares(one, used())
    assert [share[tag] for tag in PAYER_TAGS] == ["platform", None, None, None, "prod"]
    assert share["owner_team"] == "ml"


def test_why_no_feature_pays() -> None:
    """A share without a feature has a reason like any step: its steps had none, or nobody used it
    and nobody is named."""
    uses = used({"feature": None}, {"feature": "a"})
    one = cost(method="usage", driver="calls", capacity=5)
    reasons = {(c["feature"], c["usage_role"]): c["unattributed_reason"] for c in shares(one, uses)}
    assert reasons == {
        ("a", None): None,
        (None, None): "unattributed_use",
        (None, "idle"): "idle",
    }


def test_ids_depend_on_cost_period_and_payer_only() -> None:
    """The same payer of the same cost and first day has the same ids, whatever else changes."""
    a, b = used({"feature": "a"}), used({"feature": "a"}, {"feature": "b"})
    (before,) = shares(cost(), a)
    after = shares(cost(amount="7", name="other", method="proportional", driver="calls"), b)
    same = next(c for c in after if c["feature"] == "a")
    ids = ("trace_id", "span_id", "step_id")
    assert [before[i] for i in ids] == [same[i] for i in ids]
    (other,) = shares(cost(id="other"), a)
    (later,) = shares(cost(**{"from": date(2026, 10, 2)}), a)
    assert len({c["trace_id"] for c in (before, other, later)}) == 3


def test_text_that_looks_like_a_separator_makes_no_equal_ids() -> None:
    """Tags are anyone's text: no two payers share an id."""
    uses = used(
        {"feature": "a", "team": "b"},
        {"feature": 'a", "b'},
        {"feature": "a", "tenant": "b"},
        {"feature": None, "team": "null"},
        {"feature": "", "team": None},
        {"feature": None},
    )
    charges = shares(cost(), uses)
    assert len({c["step_id"] for c in charges}) == len(charges) == 6


tags = st.fixed_dictionaries({tag: st.sampled_from([None, "a", "b"]) for tag in PAYER_TAGS[:3]})
quantities = (
    st.none() | st.decimals(0, 10**12, places=12) | st.sampled_from([D(0), D(1), D(10**20)])
)
rows = st.builds(
    lambda tags, service, kind, drivers: {**tags, "service": service, "kind": kind, **drivers},
    tags,
    st.sampled_from([None, "rag", "bot"]),
    st.sampled_from(["llm", "tool"]),
    st.fixed_dictionaries(dict.fromkeys(DRIVERS, quantities)),
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "service": st.lists(st.sampled_from([None, "rag"]), min_size=1),
        "kind": st.just("llm"),
        "feature": st.just(["a", None]),
    },
)
amounts = st.decimals(-(10**14), 10**14, places=12).map(lambda d: format(d, "f"))
weights = st.lists(
    st.builds(lambda t, w: {**t, "weight": w}, tags, st.integers(0, 9)),
    min_size=1,
    unique_by=lambda w: tuple(w[tag] for tag in PAYER_TAGS[:3]),
)
driver = st.sampled_from(DRIVERS)
methods = st.one_of(
    st.fixed_dictionaries({"method": st.just("even"), "shared_by": filters}),
    st.fixed_dictionaries({"method": st.just("weights"), "weights": weights}),
    st.fixed_dictionaries(
        {"method": st.just("proportional"), "driver": driver, "shared_by": filters}
    ),
    st.fixed_dictionaries(
        {"method": st.just("usage"), "driver": driver, "shared_by": filters}
        | {"capacity": st.integers(1, 10**13)}
    ),
)


def exact_shares(one: SharedCost, table: list[dict[str, Any]]) -> dict[tuple, Fraction]:
    """Oracle: row by row, with fractions. Key: payer's tags and whether it is idle."""
    parts: defaultdict[tuple, Fraction] = defaultdict(Fraction)
    if one.method == "weights":
        for weighted in one.weights:
            parts[(*weighted.tags(), False)] += Fraction(weighted.weight)
    else:
        for row in table:
            if all(row[column] in values for column, values in one.shared_by.items()):
                key = (*(row.get(tag) for tag in PAYER_TAGS), False)
                parts[key] += Fraction(row[one.driver or "calls"] or 0)
        if one.method == "even":
            parts = defaultdict(Fraction, {k: Fraction(1) for k, v in parts.items() if v})
    whole = sum(parts.values())
    idle = Fraction(one.capacity or 0) - whole
    if idle > 0 or not whole:
        parts[(*one.idle_payer.tags(), True)] = max(idle, Fraction(not whole and not idle > 0))
    whole = sum(parts.values())
    return {key: Fraction(one.amount) * part / whole for key, part in parts.items() if part}


@settings(max_examples=100, deadline=None)
@given(methods, amounts, st.lists(rows, max_size=12), st.randoms(use_true_random=False))
def test_every_amount_is_shared_out_exactly(
    keys: dict[str, Any], amount: str, table: list[dict[str, Any]], random: Any
) -> None:
    """Any method, driver, filter and amount, credits too: the shares are the exact ones rounded
    to a neighbour, add up to the amount, and come out the same from any order of the rows."""
    one = cost(**keys, amount=amount, owner={"team": "own"})
    charges = shares(one, pa.Table.from_pylist(table, schema=USES))
    found = {
        (*(c[tag] for tag in PAYER_TAGS), c["usage_role"] == "idle"): Fraction(c["cost_usd"])
        for c in charges
    }
    assert len(found) == len(charges)
    exact = exact_shares(one, table)
    assert found.keys() <= exact.keys()
    for key, share in exact.items():
        assert abs(found.get(key, Fraction(0)) - share) < Fraction(1, PICO)
    assert sum(found.values()) == Fraction(amount)
    shuffled = list(table)
    random.shuffle(shuffled)
    again = allocate_costs([one], lambda *_: pa.Table.from_pylist(shuffled, schema=USES))
    assert again.to_pylist() == charges


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(methods, amounts, st.lists(rows, max_size=6)), min_size=2, max_size=4))
def test_doing_it_again_books_the_difference(runs: list[tuple]) -> None:
    """However steps, amount and method change between runs: what stands is the last run's, its
    sum is the last amount, and the same run once more books nothing."""
    ledger = ENTRIES.empty_table()
    for number, (keys, amount, table) in enumerate(runs):
        uses = pa.Table.from_pylist(table, schema=USES)
        wanted = allocate_costs([cost(**keys, amount=amount)], lambda *_, uses=uses: uses)
        ledger = pa.concat_tables(
            [ledger, book_charges(wanted, ledger, NOW_NS + number, "restated")]
        )
        total = sum(Fraction(usd) for usd in ledger["cost_usd"].to_pylist())
        assert total == Fraction(amount)
        assert book_charges(wanted, ledger, NOW_NS).num_rows == 0
    order = [("step_id", "ascending")]
    standing = standing_charges(ledger).select(["step_id", "cost_usd"]).sort_by(order)
    assert standing == wanted.select(["step_id", "cost_usd"]).sort_by(order)


def test_many_costs_are_sorted_and_kept_apart() -> None:
    """Costs of several periods at once: each asks for its own days and adds up on its own."""
    asked = []

    def uses_in(first: date, until: date) -> pa.Table:
        asked.append((first, until))
        return THREE

    costs = [cost(id=f"c{n}", amount=str(n), **_days(n)) for n in range(1, 6)]
    charges = allocate_costs(costs, uses_in)
    assert charges.schema.equals(CHARGES)
    assert asked == [(c.since, c.until) for c in costs]
    keys = ["trace_id", "started_at", "step_id"]
    listed = charges.select(keys).to_pylist()
    assert listed == sorted(listed, key=lambda row: [row[key] for key in keys])
    wide = Context(prec=60)
    for n in range(1, 6):
        amounts = [c["cost_usd"] for c in charges.to_pylist() if c["name"] == f"c{n}"]
        total = D(0)
        for amount in amounts:
            total = wide.add(total, amount)
        assert (len(amounts), total) == (3, D(n))


def _days(month: int) -> dict[str, date]:
    return {"from": date(2026, month, 1), "to": date(2026, month + 1, 1)}
