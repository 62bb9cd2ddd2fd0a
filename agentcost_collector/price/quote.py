"""What would this call cost? A quote becomes steps, which are priced like any others."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from agentcost_collector.model.money import QUANTITY, round_half_even, usd
from agentcost_collector.model.reasons import CostReason, CostStatus
from agentcost_collector.model.schemas import STEPS, TOKENS
from agentcost_collector.model.units import INPUT_TOTAL_KIND, LEAVES, same_kind
from agentcost_collector.price.amounts import billed_units, counts, dollars, over_period
from agentcost_collector.price.assign import NUMBERS, assign_rates
from agentcost_collector.price.lines import prompt_total, quantity_of, scale_of
from agentcost_collector.price.plan import RateSet
from agentcost_collector.price.ratebook import Offer, RateBook
from agentcost_collector.price.rates import Rate
from agentcost_collector.price.steps import price_steps

PERIOD_BEFORE = "period_before"
"""Key of a context: units of the period that were used before, for prices by its total."""

_COLUMNS = {kind: leaf.column for leaf in LEAVES if leaf.column for kind in leaf.kinds}
COUNTED = (*dict.fromkeys(_COLUMNS.values()), "reasoning_tokens")
"""Columns of STEPS that may stand for the leaf kinds they hold."""
_REASONING = "token.output.reasoning"
_UNKNOWN_RETENTION = "token.input.cache_write.unspecified"
_CALLS = ("llm", "embedding", "rerank")
_KINDS = (*_CALLS, "retrieval", "tool", "compute")
_OWN_COLUMNS = ("service_tier", "region", "account")


@dataclass(frozen=True, slots=True)
class Quote:
    """One call as it is asked about. Usage by leaf kind, or by the column that counts it; the kinds
    are disjoint, but for `token.input.total`, the whole prompt, and for reasoning, which is part of
    the output."""

    provider: str | None
    model: str | None
    at: datetime
    usage: Mapping[str, Decimal]
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """What one kind of unit costs."""

    kind: str
    quantity: Decimal
    amount_usd: Decimal | None
    rate_id: str | None
    reason: str | None
    """Why it has no price."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a quote comes to; amounts are None where no price is known."""

    cost_usd: Decimal | None
    list_cost_usd: Decimal | None
    cost_status: str
    cost_reason: str | None
    lines: tuple[QuoteLine, ...]


def price_quotes(quotes: Sequence[Quote], book: RateBook) -> list[Answer]:
    """An answer to every quote, in order.

    Prices that depend on the total of a period count the quote alone, after what its context says
    was used before.
    """
    rows: list[dict[str, Any]] = []
    owner: list[int] = []
    for number, quote in enumerate(quotes):
        for row in _rows(quote, book):
            ids = {"trace_id": f"{number:032x}", "step_id": f"{len(rows):016x}"}
            rows.append({**row, **ids, "span_id": f"{len(rows):016x}"})
            owner.append(number)
    if not rows:
        return []
    steps = pa.Table.from_pylist(rows, schema=STEPS)
    charges = price_steps(steps, book).to_pylist()
    lines = _lines(steps, book, [_before(quotes[number]) for number in owner])
    own: dict[int, list[int]] = {}
    for at, number in enumerate(owner):
        own.setdefault(number, []).append(at)
    return [_answer([charges[i] for i in of], [lines[i] for i in of]) for of in own.values()]


def _rows(quote: Quote, book: RateBook) -> Iterator[dict[str, Any]]:
    """The steps of a quote: the call, and one more for each kind of unit that it cannot hold."""
    kind = _step_kind(quote, book)
    offers = _offers(quote, kind, book)
    sold = {name for offer in offers for name in offer.lines}
    call: dict[str, Fraction] = {}
    meters: list[tuple[str, Decimal]] = []
    for name, quantity in quote.usage.items():
        column = _column(name, quantity, kind, offers)
        if column is None:
            meters.append((name, quantity))
        elif column:
            size = same_kind(name)[1]
            call[column] = call.get(column, Fraction(0)) + Fraction(quantity) * size
    fixed = _fixed(quote, call)
    held = next((m for m in meters if same_kind(m[0])[0] in sold), None)
    if held:
        meters.remove(held)
    if call or held or not meters:
        units = {"units": Decimal(held[1]), "unit": held[0]} if held else {}
        yield {**fixed, **units, "kind": kind, **{k: _exact(k, v) for k, v in call.items()}}
    for name, quantity in meters:
        at = _sold_as(name, quote, book) or kind
        yield {**_fixed(quote, {}), "kind": at, "units": quantity, "unit": name}


def _step_kind(quote: Quote, book: RateBook) -> str:
    """The kind of step: what the usage says, else what the model is sold for."""
    for family in ("embedding", "rerank"):
        if any(name.startswith(f"{family}.") for name in quote.usage):
            return family
    counted = any(n.startswith("token.") or n in TOKENS for n in quote.usage)
    if not counted and quote.usage:
        return _sold_as(next(iter(quote.usage)), quote, book) or "tool"
    return next((kind for kind in _CALLS if _offers(quote, kind, book)), "llm")


def _sold_as(name: str, quote: Quote, book: RateBook) -> str | None:
    """The kind of step in which a kind of unit is sold: for the model, else whatever the model."""
    measure = same_kind(name)[0]
    for kind in _KINDS:
        if any(measure in offer.lines for offer in _offers(quote, kind, book)):
            return kind
    return book.metered_as(name, quote.provider)


def _offers(quote: Quote, kind: str, book: RateBook) -> list[Offer]:
    if quote.model is None:
        return []
    timeline = book.find(quote.provider, kind, quote.model, quote.context.get("region"))
    return [offer for _, offer in timeline if isinstance(offer, Offer)]


def _column(name: str, quantity: Decimal, kind: str, offers: Collection[Offer]) -> str | None:
    """Column of STEPS that counts it; None where it must be a unit, empty where it counts nothing.

    A cache write goes where its own retention is sold, so that 12 hours never cost what 1 hour
    does.
    """
    if name in COUNTED:
        return name
    measure, size = same_kind(name)
    plain = measure
    for family in ("embedding", "rerank"):
        plain = plain.replace(f"{family}.token", "token.input")
    if plain == INPUT_TOTAL_KIND:
        return ""
    if plain == _REASONING:
        apart = any(line.prices for o in offers for line in o.lines.get(_REASONING, ()))
        separate = apart and any(line.kind == _REASONING for o in offers for line in o.sku.lines)
        return None if separate else "reasoning_tokens"
    column = _COLUMNS.get(plain)
    if column is None or _digits(Fraction(quantity) * size) > QUANTITY.scale:
        return None
    if ".cache_write." in plain and plain != _UNKNOWN_RETENTION and offers:
        sold = plain.replace("token.input", f"{kind}.token") if kind in _CALLS[1:] else plain
        return column if any(sold in offer.lines for offer in offers) else None
    return column


def _digits(value: Fraction) -> int:
    """Decimal digits after the point; quantities are decimals, so they end."""
    digits = 0
    while value.denominator != 1:
        value, digits = value * 10, digits + 1
    return digits


def _fixed(quote: Quote, call: Mapping[str, Fraction]) -> dict[str, Any]:
    """What all steps of a quote have in common."""
    facts = {k: v for k, v in quote.context.items() if k not in (*_OWN_COLUMNS, PERIOD_BEFORE)}
    total = quote.usage.get(INPUT_TOTAL_KIND)
    prompt = sum(v for k, v in call.items() if k.startswith(("input_", "cache_")))
    return {
        **{name: quote.context.get(name) for name in _OWN_COLUMNS},
        "provider": quote.provider,
        "model": quote.model,
        "started_at": quote.at,
        "ended_at": quote.at,
        "pricing_context": json.dumps(facts, sort_keys=True) if facts else None,
        "usage_note": "inconsistent" if call and total not in (None, prompt) else None,
    }


def _exact(column: str, value: Fraction) -> int | Decimal:
    if column in TOKENS:
        return int(value)
    return Decimal(int(value * 10**QUANTITY.scale)).scaleb(-QUANTITY.scale)


def _before(quote: Quote) -> Fraction:
    return Fraction(quote.context.get(PERIOD_BEFORE, "0"))


def _lines(
    steps: pa.Table, book: RateBook, before: Sequence[Fraction]
) -> list[list[tuple[QuoteLine, int]]]:
    """The lines of every row, each with its pico-dollars."""
    filled = [n for n in NUMBERS if steps.column(n).null_count < steps.num_rows]
    sets, chosen = assign_rates(steps, {n: counts(steps.column(n)) for n in filled}, book)
    return [
        _lines_of(steps, row, sets[number], before[row])
        for row, number in enumerate(np.asarray(chosen).tolist())
    ]


def _lines_of(
    steps: pa.Table, row: int, rates: RateSet, before: Fraction
) -> list[tuple[QuoteLine, int]]:
    found = []
    total = prompt_total(steps, row)
    for slot, leaf in enumerate(LEAVES):
        rate, line = rates.rates[slot], rates.lines[slot]
        quantity = quantity_of(steps, leaf, row) if rate is not None else 0
        if quantity <= 0 or rate is None:
            continue
        units = usd(quantity * 10**12 // scale_of(leaf)).normalize()
        unit = steps.column("unit")[row].as_py() if leaf.column == "units" else None
        kind = unit or (line.kind if line else leaf.kinds[0])
        if isinstance(rate, Rate):
            billed = billed_units(quantity, rate, scale_of(leaf))
            over = rate.mode.startswith("period")
            size = same_kind(kind)[1]
            exact = (
                over_period(before, billed * size, rate.of_units(Fraction(1) / size))
                if over
                else billed * dollars(rate, total)
            )
            pico = round_half_even(exact)
            found.append(
                (QuoteLine(kind, units, usd(pico), line.rate_id if line else None, None), pico)
            )
        else:
            found.append((QuoteLine(kind, units, None, None, str(rate)), 0))
    return found


def _answer(
    charges: Sequence[Mapping[str, Any]], lines: Sequence[Sequence[tuple[QuoteLine, int]]]
) -> Answer:
    """All steps of a quote together: a total is `partial` where one of them has no price."""
    known = [c for c in charges if c["cost_usd"] is not None]
    reasons = [CostReason(c["cost_reason"]) for c in charges if c["cost_reason"] is not None]
    order = list(CostReason)
    reason = min(reasons, key=order.index, default=None)
    statuses = {c["cost_status"] for c in known}
    if not known:
        status = CostStatus.UNPRICED
    elif reason is not None:
        status = CostStatus.PARTIAL
    else:
        ranked = (CostStatus.CAPACITY, CostStatus.PRICED, CostStatus.FREE)
        status = next(s for s in ranked if s in statuses)
    shown = [line for of in lines for line, _ in of]
    if not known:
        return Answer(None, None, status, reason, tuple(shown))
    cost = sum(pico for c, of in zip(charges, lines, strict=True) if c in known for _, pico in of)
    return Answer(usd(cost), sum(c["list_cost_usd"] for c in known), status, reason, tuple(shown))
