"""The rates that hold for one kind of step, in one context, at one instant: the scalar rules.

Everything here runs once per distinct combination, never per step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from fractions import Fraction

from agentcost_collector.model.reasons import CostReason
from agentcost_collector.model.units import same_kind
from agentcost_collector.price.card import Adjustment, Dated, Line, Price, microseconds
from agentcost_collector.price.ratebook import REGION, Offer
from agentcost_collector.price.terms import Overlay, Rule

Context = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rate:
    """Exact dollars of one unit, and how the quantity is rounded up before."""

    usd: Fraction
    min: Fraction = Fraction(0)
    increment: Fraction = Fraction(0)
    bands: tuple[tuple[int, Fraction], ...] = ()
    """Smallest total and dollars of each band, where no single one holds; `usd` is the first's."""
    mode: str = ""
    """Of the bands: `excess`, `period_volume` or `period_graduated`."""

    def times(self, factor: Fraction) -> Rate:
        """The rate at another price."""
        bands = tuple((low, usd * factor) for low, usd in self.bands)
        return replace(self, usd=self.usd * factor, bands=bands)

    def of_units(self, size: Fraction) -> Rate:
        """The rate of a unit that is `size` times as large."""
        smaller = Fraction(1) / size
        larger = self.times(size)
        return replace(larger, min=self.min * smaller, increment=self.increment * smaller)


@dataclass(frozen=True, slots=True)
class Quoted:
    """What one kind of unit costs in one situation, and where that is written."""

    kind: str
    rate: Rate
    """Dollars to pay."""
    listed: Rate
    """Dollars by the published list."""
    original: Rate
    """To pay, in the currency of the card."""
    line: Line
    price: Price
    names: tuple[str, ...]
    """Agreements that made the difference."""
    digests: tuple[str, ...]
    """Of all cards that had a say."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides between the lines of an offer."""

    at_us: int
    observed: Context
    """What the step itself says; values that no line knows leave it unpriced."""
    implied: Context
    """What is assumed where the step is silent, and what the schedule sets."""
    band: str | None
    account: str | None = None

    @property
    def context(self) -> dict[str, str]:
        """Everything that a `when` is compared with."""
        return {**self.implied, **self.observed}


def rate_of(offer: Offer, kind: str, situation: Situation) -> Quoted | CostReason:
    """The rate of one kind of unit with the line and price it comes from, or why there is none."""
    context = situation.context
    fitting = [line for line in offer.lines.get(kind, ()) if fits(line.when, context)]
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
    listed = _rate(offer, kind, line, price.amount, line.per, situation)
    if isinstance(listed, CostReason):
        return listed
    original = listed
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = (offer.digest,)
    agreed = _agreed(offer, kind, line, situation)
    if agreed:
        overlay, rule, digest = agreed
        names, digests = (overlay.card_id,), (offer.digest, digest)
        if rule.amount is None:
            original = listed.times(Fraction(str(rule.multiply)))
        else:
            found = _rate(offer, kind, line, rule.amount, rule.per, situation)
            if isinstance(found, CostReason):
                return found
            original = found
    rate = original
    if offer.currency != "USD":
        dollars = next((e for e in reversed(offer.exchange) if e[0].holds(situation.at_us)), None)
        if dollars is None:
            return CostReason.NO_EXCHANGE_RATE
        worth = Fraction(dollars[0].usd)
        rate, listed, digests = rate.times(worth), listed.times(worth), (*digests, dollars[1])
    return Quoted(kind, rate, listed, original, line, price, names, digests)


def _rate(
    offer: Offer,
    kind: str,
    line: Line,
    amount: str | Mapping[str, str],
    per: int,
    situation: Situation,
) -> Rate | CostReason:
    """An amount as a rate: the band chosen, multipliers applied, for one unit of `same_kind`."""
    factor = Fraction(1) / (per * same_kind(line.kind)[1])
    for adjustment in offer.sku.adjustments:
        if _adjusts(adjustment, line.kind, situation.context, situation.at_us):
            factor *= Fraction(adjustment.multiply)
    rules = [(same_kind(r.kind), r) for r in offer.sku.quantity_rules]
    size, rule = next(((of[1], r) for of, r in rules if of[0] == kind), (Fraction(1), None))
    least, step = (rule.min * size, rule.increment * size) if rule else (Fraction(0), Fraction(0))
    band = offer.sku.band
    if isinstance(amount, str) or band is None:
        return Rate(Fraction(str(amount)) * factor, least, step)
    if band.mode == "whole_request":
        if situation.band is None or situation.band not in amount:
            return CostReason.NO_LINE
        return Rate(Fraction(amount[situation.band]) * factor, least, step)
    if any(b.id not in amount for b in band.bands):
        return CostReason.NO_LINE
    bands = tuple((b.lowest, Fraction(amount[b.id]) * factor) for b in band.bands)
    return Rate(bands[0][1], least, step, bands, band.mode)


def _agreed(
    offer: Offer, kind: str, line: Line, situation: Situation
) -> tuple[Overlay, Rule, str] | None:
    """The rule that was negotiated for a line, of the one overlay that is for the account."""
    held = [
        (overlay, digest)
        for overlay, digest in offer.overlays
        if overlay.applies.account in (None, situation.account)
        and overlay.applies.holds(situation.at_us)
    ]
    for overlay, digest in held[:1]:
        for rule in sorted(overlay.rules, key=lambda r: r.specificity, reverse=True):
            if _rules(rule, offer.sku.sku, kind, line, situation):
                return overlay, rule, digest
    return None


def _rules(rule: Rule, sku: str, kind: str, line: Line, situation: Situation) -> bool:
    """Whether a rule is for that line. An amount for a kind is not one for its other contexts."""
    start, to = (None if at is None else microseconds(at) for at in (rule.start, rule.to))
    return (
        (rule.sku is None or fnmatchcase(sku, rule.sku))
        and (rule.line is None or rule.line == line.id)
        and (
            not rule.kinds or any(fnmatchcase(k, p) for k in (kind, line.kind) for p in rule.kinds)
        )
        and fits(rule.when, situation.context)
        and (start is None or start <= situation.at_us)
        and (to is None or situation.at_us < to)
        and (rule.amount is None or rule.line is not None or line.when.keys() <= rule.when.keys())
    )


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


def rate_id(offer: Offer, used: Sequence[Quoted], situation: Situation) -> str:
    """`sku@date` of the newest price in use, then the band, the context that is not assumed, and
    the agreements."""
    newest = max(quoted.price.start_us for quoted in used)
    moment = datetime.fromtimestamp(newest // 1_000_000, UTC)
    day = f"{moment:%Y-%m-%d}" if not newest % 86_400_000_000 else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    keys = sorted({key for quoted in used for key in quoted.line.when})
    keys += sorted({k for a in offer.sku.adjustments for k in a.when} - set(keys))
    context, assumed = situation.context, offer.assume
    banded = any(isinstance(quoted.price.amount, dict) for quoted in used)
    marks = [situation.band] if situation.band and banded else []
    marks += [context[k] for k in keys if k in context and context[k] != assumed.get(k)]
    marks += dict.fromkeys(name for quoted in used for name in quoted.names)
    return f"{offer.sku.sku}@{day}{''.join(f'#{mark}' for mark in marks)}"


def fits(when: Mapping[str, str | tuple[str, ...]], context: Context) -> bool:
    """Whether all of `when` holds."""
    return all(
        context.get(key) == wanted if isinstance(wanted, str) else context.get(key) in wanted
        for key, wanted in when.items()
    )


def _fits_key(when: Mapping[str, str | tuple[str, ...]], fact: Context) -> bool:
    return fits({key: when[key] for key in fact}, fact)


def _adjusts(adjustment: Adjustment, kind: str, context: Context, at_us: int) -> bool:
    return (
        adjustment.holds(at_us)
        and fits(adjustment.when, context)
        and any(fnmatchcase(kind, pattern) for pattern in adjustment.kinds)
    )


def _outside(dated: Sequence[Dated], at_us: int) -> CostReason:
    first = min(d.start_us for d in dated)
    return CostReason.BEFORE_HISTORY if at_us < first else CostReason.AFTER_HISTORY
