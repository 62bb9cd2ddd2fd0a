"""What the whole of a period changes: prices by its total, and units that it has for free.

A step has the price of the lowest band, whatever came before it, so that it can be charged the
moment it is known. What the period makes of it is the difference, worked out here over all of its
steps in an order of their own (when they ended, then `step_id`), whatever the order they came in.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from agentcost_collector.model.money import round_half_even, usd
from agentcost_collector.model.reasons import CostStatus
from agentcost_collector.model.schemas import CHARGES, STEPS, TAGS
from agentcost_collector.model.tables import conform
from agentcost_collector.model.units import LEAVES, Leaf, same_kind
from agentcost_collector.price.amounts import billed_units, counts, over_period
from agentcost_collector.price.assign import NUMBERS, assign_rates, clocks_of
from agentcost_collector.price.card import Allowance, Sku
from agentcost_collector.price.lines import PARTS, quantity_of, scale_of
from agentcost_collector.price.plan import RateSet
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.rates import Rate

PERIOD_PREFIX = "period/"
"""`rate_id` of such a charge is this, the SKU, ":", the leaf kind, "@" and the period."""
ALLOCATED = "allocated"
"""Kind of charges that no span stands for."""

_PAYER = tuple(tag for tag in TAGS if tag != "parent_run_id")
_WAYS = ("rates", "listed", "original")


class Counter(NamedTuple):
    """What is counted together."""

    sku: str
    kind: str
    account: str | None
    """None also where an allowance is for all accounts."""
    period: str
    """`2026-11`, or `2026-11-03` where days count."""
    rule: str
    """`band` or `allowance`."""


class Payer(NamedTuple):
    """Whose charges are one, and what they say beside the payer's tags."""

    tags: tuple[str | None, ...]
    provider: str | None
    part: str
    currency: str | None
    digest: str | None


@dataclass(frozen=True, slots=True)
class _Use:
    """One quantity of one step."""

    order: tuple[int, str]
    payer: Payer
    units: Fraction
    rates: tuple[Rate, ...]
    """To pay, by the list, and in the currency of the card."""


def settle_period(steps: pa.Table, book: RateBook, month: date) -> pa.Table:
    """STEPS that stand -> CHARGES of kind `allocated`: one for each counter of the month and payer.

    Their amounts are what the month as a whole makes the steps cost, less what the steps are
    charged; 0 makes no charge. Only steps that ended within the month by the card's clock and time
    zone count, so `steps` may hold more. Sorted as CHARGES. A Python object for each step whose
    price depends on a period.
    """
    steps = conform(steps, STEPS)
    uses: dict[tuple[Counter, Allowance | None], list[_Use]] = defaultdict(list)
    if steps.num_rows:
        for counter, allowance, use in _uses(steps, book, f"{month:%Y-%m}"):
            uses[counter, allowance].append(use)
    rows = [
        row
        for (counter, allowance), used in uses.items()
        for row in _charges(counter, allowance, sorted(used, key=lambda use: use.order))
    ]
    order = [(name, "ascending") for name in ("trace_id", "started_at", "step_id")]
    return pa.Table.from_pylist(rows, schema=CHARGES).sort_by(order).combine_chunks()


def _uses(
    steps: pa.Table, book: RateBook, month: str
) -> Iterator[tuple[Counter, Allowance | None, _Use]]:
    filled = [name for name in NUMBERS if steps.column(name).null_count < steps.num_rows]
    sets, chosen = assign_rates(steps, {n: counts(steps.column(n)) for n in filled}, book)
    clocks = {name: at.tolist() for name, at in clocks_of(steps).items()}
    dependent = [list(_dependent(rates)) for rates in sets]
    payers = [steps.column(name) for name in _PAYER]
    for row, number in enumerate(chosen.tolist()):
        for slot, leaf, sku, clock, allowance in dependent[number]:
            rates = sets[number]
            line = rates.lines[slot]
            assert line is not None
            rule = allowance or sku.band
            assert rule is not None
            at_us = clocks[clock][row]
            if allowance and not allowance.holds(at_us):
                continue
            period = _period(at_us, rule.tz, rule.period)
            quantity = quantity_of(steps, leaf, row)
            if not period.startswith(month) or quantity <= 0:
                continue
            ways = [getattr(rates, way) or rates.rates for way in _WAYS]
            shared = allowance is not None and allowance.scope == "organization"
            counter = Counter(
                sku.sku,
                line.kind,
                None if shared else steps.column("account")[row].as_py(),
                period,
                "allowance" if allowance else "band",
            )
            payer = Payer(
                tuple(column[row].as_py() for column in payers),
                steps.column("provider")[row].as_py(),
                leaf.part,
                rates.currency,
                rates.digest,
            )
            unit = steps.column("unit")[row].as_py() if leaf.column == "units" else line.kind
            size = same_kind(unit)[1]
            use = _Use(
                (at_us, steps.column("step_id")[row].as_py()),
                payer,
                billed_units(quantity, ways[0][slot], scale_of(leaf)) * size,
                tuple(way[slot].of_units(Fraction(1) / size) for way in ways),
            )
            yield counter, allowance, use


def _dependent(rates: RateSet) -> Iterator[tuple[int, Leaf, Sku, str, Allowance | None]]:
    """The slots whose price a period decides."""
    for slot, leaf in enumerate(LEAVES):
        rate, line = rates.rates[slot], rates.lines[slot]
        if not isinstance(rate, Rate) or line is None:
            continue
        sku = line.offer.sku
        if rate.mode.startswith("period"):
            yield slot, leaf, sku, line.offer.clock, None
        for allowance in sku.allowances:
            if same_kind(allowance.kind)[0] == line.kind:
                yield slot, leaf, sku, line.offer.clock, allowance


def _charges(
    counter: Counter, allowance: Allowance | None, used: list[_Use]
) -> Iterator[dict[str, Any]]:
    """The differences of a counter, added up by payer."""
    total = sum((use.units for use in used), Fraction(0))
    before = Fraction(0)
    sums: dict[Payer, list[int]] = defaultdict(lambda: [0] * len(_WAYS))
    for use in used:
        for way, rate in enumerate(use.rates):
            owed = _owed(rate, allowance, before, use.units, total)
            sums[use.payer][way] += round_half_even(owed) - round_half_even(use.units * rate.usd)
        before += use.units
    for payer, amounts in sums.items():
        if any(amounts):
            yield _row(counter, payer, amounts)


def _owed(
    rate: Rate, allowance: Allowance | None, before: Fraction, units: Fraction, total: Fraction
) -> Fraction:
    """Dollars of the units that come after `before` others of `total`."""
    if allowance is not None:
        size = same_kind(allowance.kind)[1]
        free = min(max(allowance.qty * size - before, Fraction(0)), units)
        return (units - free) * rate.usd
    if rate.mode == "period_volume":
        return over_period(total - units, units, rate)
    return over_period(before, units, rate)


def _row(counter: Counter, payer: Payer, amounts: list[int]) -> dict[str, Any]:
    first, after = _days(counter.period)
    trace_id = _digest([PERIOD_PREFIX, *counter], 32)
    span_id = _digest([trace_id, *payer.tags, *payer[1:]], 16)
    money = {name: usd(a) for name, a in zip(_WAYS, amounts, strict=True)}
    name = f"{counter.sku} {counter.kind} {counter.period}"
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "step_id": f"{trace_id}-{span_id}",
        "kind": ALLOCATED,
        "name": name,
        "path": name,
        "started_at": first,
        "ended_at": after - timedelta(microseconds=1),
        **dict(zip(_PAYER, payer.tags, strict=True)),
        **{
            f"{tag}_from": "none" if value is None else ALLOCATED
            for tag, value in zip(_PAYER, payer.tags, strict=True)
        },
        "parent_run_id_from": "none",
        "provider": payer.provider,
        "operation": counter.rule,
        "account": counter.account,
        **dict.fromkeys(PARTS, Decimal(0)),
        payer.part: money["rates"],
        "cost_usd": money["rates"],
        "list_cost_usd": money["listed"],
        "cost_status": CostStatus.PRICED,
        "currency": payer.currency,
        "original_cost": None if payer.currency is None else money["original"],
        "rate_id": f"{PERIOD_PREFIX}{counter.sku}:{counter.kind}@{counter.period}",
        "card_digest": payer.digest,
    }


def _period(at_us: int, zone: str, period: str) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    at = at.astimezone(ZoneInfo(zone))
    return f"{at:%Y-%m}" if period == "month" else f"{at:%Y-%m-%d}"


def _days(period: str) -> tuple[datetime, datetime]:
    """First instant of a period and the first after it, as days of UTC."""
    if len(period) > len("2026-11"):
        first = date.fromisoformat(period)
        after = first + timedelta(days=1)
    else:
        first = date.fromisoformat(f"{period}-01")
        after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return (
        datetime(first.year, first.month, first.day, tzinfo=UTC),
        datetime(after.year, after.month, after.day, tzinfo=UTC),
    )


def _digest(parts: list[str | None], digits: int) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:digits]
