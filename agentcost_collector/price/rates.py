"""The rates that hold for one kind of step, in one context, at one instant: the scalar rules.

Everything here runs once per distinct combination, never per step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from fractions import Fraction

from agentcost_collector.model.reasons import CostReason
from agentcost_collector.price.card import Adjustment, Dated, Line, Price
from agentcost_collector.price.ratebook import REGION, Offer

Context = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """Exact dollars of one unit, and how the quantity is rounded up before."""

    usd: Fraction
    min: int = 0
    increment: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides between the lines of an offer."""

    at_us: int
    observed: Context
    """What the step itself says; values that no line knows leave it unpriced."""
    implied: Context
    """What is assumed where the step is silent, and what the schedule sets."""
    band: str | None

    @property
    def context(self) -> dict[str, str]:
        """Everything that a `when` is compared with."""
        return {**self.implied, **self.observed}


def rate_of(
    offer: Offer, kind: str, situation: Situation
) -> tuple[Rate, tuple[Line, Price]] | CostReason:
    """The rate of one kind of unit with the line and price it comes from, or why there is none."""
    context = situation.context
    fitting = [line for line in offer.lines.get(kind, ()) if _fits(line.when, context)]
    if not fitting:
        return CostReason.NO_LINE
    most = max(len(line.when) for line in fitting)
    best = [line for line in fitting if len(line.when) == most]
    if len(best) > 1:
        return CostReason.AMBIGUOUS
    line = best[0]
    price = line.price_at(situation.at_us)
    if price is None:
        return _outside(line.prices, situation.at_us)
    amount = price.amount
    if isinstance(amount, dict):
        if situation.band not in amount:
            return CostReason.NO_LINE
        amount = amount[situation.band]
    usd = Fraction(amount) / line.per
    for adjustment in offer.sku.adjustments:
        if _adjusts(adjustment, line.kind, context, situation.at_us):
            usd *= Fraction(adjustment.multiply)
    rule = next((r for r in offer.sku.quantity_rules if r.kind == kind), None)
    rate = Rate(usd, rule.min, rule.increment) if rule else Rate(usd)
    return rate, (line, price)


def uncovered(offer: Offer, situation: Situation) -> CostReason | None:
    """Why the offer cannot be used in this context; None where every fact is known to it."""
    for key, value in situation.observed.items():
        if situation.implied.get(key) == value or (key == REGION and not offer.mentions(key)):
            continue
        fact = {key: value}
        lines = [ln for ln in offer.sku.lines if key in ln.when and _fits_key(ln.when, fact)]
        dated: list[Dated] = [p for ln in lines for p in ln.prices]
        dated += [a for a in offer.sku.adjustments if key in a.when and _fits_key(a.when, fact)]
        if not dated:
            return CostReason.UNKNOWN_CONTEXT
        if not any(d.holds(situation.at_us) for d in dated):
            return _outside(dated, situation.at_us)
    return None


def rate_id(offer: Offer, used: Sequence[tuple[Line, Price]], situation: Situation) -> str:
    """`sku@date` of the newest price in use, then the band and the context that is not assumed."""
    newest = max(price.start_us for _, price in used)
    moment = datetime.fromtimestamp(newest // 1_000_000, UTC)
    day = f"{moment:%Y-%m-%d}" if not newest % 86_400_000_000 else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    keys = sorted({key for line, _ in used for key in line.when})
    keys += sorted({k for a in offer.sku.adjustments for k in a.when} - set(keys))
    context, assumed = situation.context, offer.assume
    banded = any(isinstance(price.amount, dict) for _, price in used)
    marks = [situation.band] if situation.band and banded else []
    marks += [context[k] for k in keys if k in context and context[k] != assumed.get(k)]
    return f"{offer.sku.sku}@{day}{''.join(f'#{mark}' for mark in marks)}"


def _fits(when: Mapping[str, str | tuple[str, ...]], context: Context) -> bool:
    return all(
        context.get(key) == wanted if isinstance(wanted, str) else context.get(key) in wanted
        for key, wanted in when.items()
    )


def _fits_key(when: Mapping[str, str | tuple[str, ...]], fact: Context) -> bool:
    return _fits({key: when[key] for key in fact}, fact)


def _adjusts(adjustment: Adjustment, kind: str, context: Context, at_us: int) -> bool:
    return (
        adjustment.holds(at_us)
        and _fits(adjustment.when, context)
        and any(fnmatchcase(kind, pattern) for pattern in adjustment.kinds)
    )


def _outside(dated: Sequence[Dated], at_us: int) -> CostReason:
    first = min(d.start_us for d in dated)
    return CostReason.BEFORE_HISTORY if at_us < first else CostReason.AFTER_HISTORY
