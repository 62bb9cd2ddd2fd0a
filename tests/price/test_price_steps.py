"""Statuses, reasons and the shape of CHARGES, on small cards of an invented provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.model.reasons import CostReason, CostStatus
from agentcost_collector.model.schemas import CHARGES, MONEY, STEPS
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import AT, card_file, line, sku, steps

CALL = {"provider": "acme", "model": "m", "input_tokens": 10, "output_tokens": 2}


@pytest.fixture
def book(tmp_path: Path) -> RateBook:
    priced = sku(
        "m",
        line("token.input", '"2"', 1_000_000),
        line("token.output", '"10"', 1_000_000),
        line("token.input", '"1"', 1_000_000, more="when: {service_tier: flex},"),
        line("token.output", '"5"', 1_000_000, "2026-11-01", "when: {service_tier: flex},"),
        "{id: img, kind: token.input.image, included_in: token.input}",
    )
    free = sku("gratis", line("token.input", '"0"'), line("token.output", '"0"'))
    late = sku("late", line("token.input", '"1"', 1, "2026-11-21"))
    ended = sku(
        "ended",
        "{id: i, kind: token.input, prices: [{from: 2020-01-01T00:00:00Z,"
        ' to: 2026-01-01T00:00:00Z, amount: "1", src: s}]}',
    )
    crm = sku("crm", line("tool.crm_lookup.call", '"0.25"'), match="operation: [execute_tool]")
    gpu = sku(
        "gpu",
        line("compute.gpu_second", '"3.95"', 3600),
        match="provider: [acme-gpu], operation: [compute]",
    )
    box = sku(
        "box",
        line("container.second", '"1"'),
        match="provider: [acme], operation: [execute_tool], model: {equals: [box]}",
    )
    rerank = sku(
        "rr",
        line("rerank.search_unit", '"2"', 1000),
        match="provider: [acme], operation: [rerank], model: {equals: [rr]}",
    )
    skus = priced + free + late + ended + crm + gpu + box + rerank
    return load_rate_book([card_file(tmp_path, skus)])


def price(book: RateBook, **row: Any) -> dict[str, Any]:
    return price_steps(steps(row), book).to_pylist()[0]  # type: ignore[no-any-return]


CASES = [
    ("priced", CALL, "priced", None, "0.00004"),
    ("zero is a real zero", CALL | {"input_tokens": 0, "output_tokens": 0}, "priced", None, "0"),
    ("free by a line that says 0", CALL | {"model": "gratis"}, "free", None, "0"),
    ("one leaf without line", CALL | {"cache_read_tokens": 1}, "partial", "no_line", "0.00004"),
    ("image counts as input", CALL | {"input_image_tokens": 5}, "priced", None, "0.00005"),
    ("no counts", {"provider": "acme", "model": "m"}, "unpriced", "no_usage", None),
    (
        "no counts and an error",
        {"provider": "acme", "model": "m", "status": "error"},
        "unpriced",
        "call_failed",
        None,
    ),
    ("an error with counts is billed", CALL | {"status": "error"}, "priced", None, "0.00004"),
    ("negative count", CALL | {"output_tokens": -2}, "unpriced", "usage_inconsistent", None),
    (
        "more reasoning than output",
        CALL | {"reasoning_tokens": 3},
        "unpriced",
        "usage_inconsistent",
        None,
    ),
    (
        "parts beyond their total",
        CALL | {"usage_note": "retention_unknown,inconsistent"},
        "unpriced",
        "usage_inconsistent",
        None,
    ),
    (
        "a count that was none",
        CALL | {"input_tokens": None, "usage_note": "unreadable_count"},
        "unpriced",
        "count_unreadable",
        None,
    ),
    ("a total that was none", CALL | {"usage_note": "count_ignored"}, "priced", None, "0.00004"),
    ("no model", CALL | {"model": None}, "unpriced", "no_model", None),
    ("unknown model", CALL | {"model": "m-2"}, "unpriced", "no_sku", None),
    ("unknown provider", CALL | {"provider": "other"}, "unpriced", "no_sku", None),
    ("another operation", CALL | {"kind": "embedding"}, "unpriced", "no_sku", None),
    ("misspelt tier", CALL | {"service_tier": "flexx"}, "unpriced", "unknown_context", None),
    ("batch unknown", CALL | {"service_tier": "batch"}, "unpriced", "unknown_context", None),
    ("flex", CALL | {"service_tier": "flex"}, "priced", None, "0.00002"),
    (
        "flex output before its first price",
        CALL | {"service_tier": "flex", "ended_at": AT - timedelta(days=100)},
        "partial",
        "before_history",
        "0.00001",
    ),
    ("default tier is standard", CALL | {"service_tier": "default"}, "priced", None, "0.00004"),
    ("a region that no line knows", CALL | {"region": "eu-west-1"}, "priced", None, "0.00004"),
    ("before history", CALL | {"model": "late"}, "unpriced", "before_history", None),
    ("after history", CALL | {"model": "ended"}, "unpriced", "after_history", None),
    ("own tool", {"kind": "tool", "tool": "grep"}, "unmetered", "no_rate", None),
    ("tool with a fee", {"kind": "tool", "tool": "crm_lookup"}, "priced", None, "0.25"),
    ("tool that names a model", {"kind": "tool", "model": "box"}, "unmetered", "no_rate", None),
    ("agent", {"kind": "agent"}, "unmetered", "no_rate", None),
    ("own retrieval", {"kind": "retrieval"}, "unmetered", "no_rate", None),
    ("own reranker", {"kind": "rerank", "model": "mine"}, "unmetered", "no_rate", None),
    ("sold reranker, no counts", {"kind": "rerank", "model": "rr"}, "unpriced", "no_usage", None),
    (
        "sold reranker",
        {"kind": "rerank", "model": "rr", "units": "3.0", "unit": "rerank.search_unit"},
        "priced",
        None,
        "0.006",
    ),
    (
        "unit that some card prices",
        {"kind": "tool", "units": "3.0", "unit": "compute.gpu_second"},
        "unpriced",
        "no_sku",
        None,
    ),
    (
        "unit that no card prices",
        {"kind": "retrieval", "units": "3.0", "unit": "vector.read_unit"},
        "unmetered",
        "no_rate",
        None,
    ),
    (
        "compute seconds",
        {"kind": "compute", "provider": "acme-gpu", "gpu_seconds": "12.5"},
        "priced",
        None,
        "0.013715277778",
    ),
    ("a carrier with tokens is a call", CALL | {"kind": "agent"}, "priced", None, "0.00004"),
    ("prefixed name", CALL | {"model": "models/m"}, "priced", None, "0.00004"),
    ("name alone", CALL | {"provider": None}, "priced", None, "0.00004"),
]


@pytest.mark.parametrize(
    ("row", "status", "reason", "cost"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_status_and_reason(
    row: dict[str, Any], status: str, reason: str | None, cost: str | None, book: RateBook
) -> None:
    """Every step has a cost or a status and reason why not; never a false 0."""
    charge = price(book, **row)
    assert (charge["cost_status"], charge["cost_reason"]) == (status, reason)
    assert charge["cost_usd"] == (None if cost is None else Decimal(cost))
    known = status in ("priced", "free", "partial")
    assert all((charge[name] is not None) == known for name in MONEY)
    assert (charge["rate_id"] is not None) == (charge["card_digest"] is not None) == known


def test_parts_add_up(book: RateBook) -> None:
    """The parts hold what they are named after, and their sum is the cost."""
    row = CALL | {"units": "4.0", "unit": "page", "gpu_seconds": "1.0"}
    charge = price(book, **row)
    assert charge["cost_status"] == "partial"  # no line for pages
    assert charge["input_cost_usd"] == Decimal("0.00002")
    assert charge["output_cost_usd"] == Decimal("0.00002")
    parts = [charge[name] for name in MONEY if name not in ("cost_usd", "list_cost_usd")]
    assert charge["cost_usd"] == sum(parts)
    assert charge["list_cost_usd"] == charge["cost_usd"]


def test_requested_model_is_marked(book: RateBook) -> None:
    """A price by the requested model says so; the served model wins where it is known."""
    told = price(
        book, **(CALL | {"model": None, "requested_model": "m", "usage_note": "usage_incomplete"})
    )
    assert (told["cost_status"], told["usage_note"]) == (
        "priced",
        "usage_incomplete,model_requested",
    )
    served = price(book, **(CALL | {"requested_model": "gratis"}))
    assert (served["cost_status"], served["usage_note"]) == ("priced", None)


def test_price_change_counts_at_the_end(tmp_path: Path) -> None:
    """The last microsecond before a change has the old price, the instant itself the new one."""
    old = "{from: 2026-01-01T00:00:00Z, amount: '1', src: s}"
    new = "{from: 2026-06-01T00:00:00+08:00, amount: '2', src: s}"
    skus = sku("m", f"{{id: i, kind: token.input, prices: [{old}, {new}]}}")
    change = datetime(2026, 5, 31, 16, tzinfo=UTC)
    early = {"started_at": change - timedelta(hours=1)}
    rows = [
        {"provider": "acme", "model": "m", "input_tokens": 1, "ended_at": change + shift} | early
        for shift in (timedelta(microseconds=-1), timedelta(0))
    ]
    book = load_rate_book([card_file(tmp_path / "end", skus)])
    charges = price_steps(steps(*rows), book).to_pylist()
    assert [c["cost_usd"] for c in charges] == [1, 2]
    assert [c["rate_id"] for c in charges] == ["acme/m@2026-01-01", "acme/m@2026-05-31T16:00:00Z"]
    head = "defaults: {rated_at: start}\n"
    started = load_rate_book([card_file(tmp_path / "start", skus, head=head)])
    assert price_steps(steps(*rows), started)["cost_usd"].to_pylist() == [1, 1]


@pytest.mark.parametrize(("limit", "costs"), [("gt", [99, 100, 202]), ("ge", [99, 200, 202])])
def test_band_edge(limit: str, costs: list[int], tmp_path: Path) -> None:
    """The whole request has the price of its band; all input counts, cached or not."""
    band = f"bands: [{{id: low}}, {{id: high, {limit}: 100}}]"
    more = f"    band: {{measure: token.input.total, mode: whole_request, {band}}}\n"
    amount = "{low: '1', high: '2'}"
    lines = [line(k, amount) for k in ("token.input", "token.input.cache_read")]
    book = load_rate_book([card_file(tmp_path, sku("m", *lines, more=more))])
    rows = [
        {"provider": "acme", "model": "m", "input_tokens": n, "cache_read_tokens": 60}
        for n in (39, 40, 41)
    ]
    assert price_steps(steps(*rows), book)["cost_usd"].to_pylist() == costs


def test_band_without_price(tmp_path: Path) -> None:
    """A band that a line does not name has no price."""
    band = "bands: [{id: low}, {id: high, gt: 5}]"
    more = f"    band: {{measure: token.input.total, mode: whole_request, {band}}}\n"
    skus = sku("m", line("token.input", "{low: '1'}"), more=more)
    book = load_rate_book([card_file(tmp_path, skus)])
    charge = price(book, provider="acme", model="m", input_tokens=6)
    assert (charge["cost_usd"], charge["cost_reason"]) == (None, "no_line")


def test_empty_and_sorted(book: RateBook) -> None:
    """CHARGES keeps its schema without rows, and is sorted whatever the order of the steps."""
    assert price_steps(STEPS.empty_table(), book).schema == CHARGES
    table = steps(CALL, CALL | {"model": "x"}, CALL | {"trace_id": "0" * 32, "started_at": AT})
    shuffled = table.take([2, 0, 1])
    once, again = price_steps(table, book), price_steps(shuffled, book)
    assert once.schema == CHARGES
    assert once.equals(again)
    order = [(c["trace_id"], c["started_at"], c["step_id"]) for c in once.to_pylist()]
    assert order == sorted(order)


TEXTS = st.sampled_from([None, "", "gpt-4o", "openai/gpt-4o", "claude-opus-5", "openai", "\x00"])
ROWS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["llm", "embedding", "tool", "rerank", "agent", "compute", None]),
        "provider": TEXTS,
        "model": TEXTS,
        "requested_model": TEXTS,
        "tool": TEXTS,
        "service_tier": st.sampled_from([None, "flex", "batch", "default", "?"]),
        "region": st.sampled_from([None, "us-east5"]),
        "unit": st.sampled_from([None, "tool.web_search.call", "nonsense"]),
        "units": st.sampled_from([None, Decimal("-1"), Decimal("1.5"), Decimal(10) ** 28]),
        "input_tokens": st.sampled_from([None, 0, 7, -1, 2**63 - 1]),
        "output_tokens": st.sampled_from([None, 0, 300_000, 2**63 - 1]),
        "ended_at": st.sampled_from([None, AT, AT - timedelta(days=2000)]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=12))
def test_hostile_steps(rows: list[dict[str, Any]]) -> None:
    """Whatever the steps say: no exception, every row once, no negative cost, one reason each."""
    charges = price_steps(steps(*rows), BOOK)
    assert charges.schema == CHARGES
    assert sorted(charges["step_id"].to_pylist()) == [f"{n:08d}" for n in range(len(rows))]
    for charge in charges.to_pylist():
        status, reason = CostStatus(charge["cost_status"]), charge["cost_reason"]
        assert (reason is None) == (status in (CostStatus.PRICED, CostStatus.FREE))
        assert reason is None or CostReason(reason)
        assert charge["cost_usd"] is None or charge["cost_usd"] >= 0
    singly = [price_steps(charges.select(STEPS.names).slice(i, 1), BOOK) for i in range(len(rows))]
    assert pa.concat_tables(singly).select(list(MONEY)).equals(charges.select(list(MONEY)))


BOOK = load_rate_book([bundled_rate_cards()])
