"""From an identity to its rates: which offers apply over time, and what each quantity costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import NamedTuple

from agentcost_collector.model.reasons import CostReason, CostStatus
from agentcost_collector.model.units import LEAVES, Leaf, kinds_of, same_kind
from agentcost_collector.price.identity import Identity, Usage
from agentcost_collector.price.ratebook import Held, Offer, RateBook, Timeline
from agentcost_collector.price.rates import (
    Quoted,
    Rate,
    Situation,
    fits,
    rate_id,
    rate_of,
    uncovered,
)

_BY_MODEL = ("llm", "embedding", "rerank")
_COMPUTE = "compute"
_ORDINARY = {
    "service_tier": ("auto", "default", "on_demand", "standard", "standard_only"),
    "processing": ("online", "realtime", "standard"),
    "speed": ("standard", "default"),
    "inference_geo": ("global", "not_available"),
}
"""Values that say as much as silence."""
Slots = tuple[Rate | CostReason | None, ...]
"""One entry for each of LEAVES. A CostReason stands where a quantity is billable and has no rate,
None where it is not billed."""


class Origin(NamedTuple):
    """Where a rate comes from."""

    kind: str
    rate_id: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class RateSet:
    """What every quantity of a step costs, for steps of one identity at one time."""

    rates: Slots = (None,) * len(LEAVES)
    """Dollars to pay."""
    listed: Slots | None = None
    """Dollars by the published list, where something else is paid."""
    original: Slots | None = None
    """In the currency of the card, where that is not dollars."""
    currency: str | None = "USD"
    """None: of several cards, in several currencies."""
    status: CostStatus | None = None
    """Set where nothing can be priced: unpriced whatever the quantities, or unmetered where none of
    them is billable. `capacity` where what is reserved pays for the tokens."""
    reason: CostReason | None = None
    rate_id: str | None = None
    digest: str | None = None
    lines: tuple[Origin | None, ...] = (None,) * len(LEAVES)
    """Where each rate comes from."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the steps of one identity are priced."""

    timeline: tuple[tuple[int, Offer | RateSet], ...]
    """What holds from each instant on; a RateSet where no offer is needed to know."""
    sources: dict[int, tuple[str, Offer] | CostReason]
    """Kind and offer of the quantities that are priced whatever the model."""
    reserved: tuple[Held, ...] = ()
    """Capacity that may serve these steps."""

    @property
    def breaks(self) -> set[int]:
        """Every instant at which capacity begins or ends."""
        edges = {at for h in self.reserved for at in (h.terms.start_us, h.terms.to_us)}
        return {at for at in edges if at is not None}

    @property
    def clock(self) -> str:
        """`end` or `start`, by the first offer."""
        offers = [o for _, o in self.timeline if isinstance(o, Offer)]
        offers += [s[1] for s in self.sources.values() if isinstance(s, tuple)]
        return offers[0].clock if offers else "end"


def plan_for(identity: Identity, book: RateBook) -> Plan:
    """The plan of one identity."""
    early = _without_prices(identity)
    if early:
        return Plan(((0, early),), {})
    charged_as = step_kind(identity)
    timeline = _timeline(identity, charged_as, book)
    by_model = any(isinstance(o, Offer) for _, o in timeline)
    if charged_as == "rerank" and identity.usage is Usage.NONE:
        return Plan(((0, _no_usage(identity) if by_model else _no_fee({})),), {})
    sources = _sources(identity, charged_as, book)
    if not by_model:
        metered = any(isinstance(s, tuple) for s in sources.values())
        if charged_as in _BY_MODEL and (identity.usage is Usage.TOKENS or not metered):
            return Plan(((0, _unpriced(_why(timeline))),), {})
        return Plan((), sources) if metered else Plan(((0, _no_fee(sources)),), {})
    known = [(at, o if isinstance(o, Offer) else _unpriced(o)) for at, o in timeline]
    held = book.reserved(identity.provider, identity.model, identity.account)
    return Plan(tuple(known), sources, held)


def step_kind(identity: Identity) -> str:
    """The kind that a step is charged as: whatever reports tokens has called a model."""
    kind = identity.kind or "other"
    if kind in _BY_MODEL or identity.usage is not Usage.TOKENS:
        return kind
    return "embedding" if kind == "retrieval" else "llm"


def rate_set(
    plan: Plan,
    offer: Offer | None,
    identity: Identity,
    at_us: int,
    band: str | None,
    window: Mapping[str, str],
) -> RateSet:
    """What holds at one instant, in one band and window of the schedule."""
    main = _situation(offer, identity, at_us, band, window) if offer else None
    held = _held(plan, identity, main) if main else None
    if offer and main:
        known = held.terms.when if held else ()
        observed = {k: v for k, v in main.observed.items() if k not in known}
        reason = uncovered(offer, replace(main, observed=observed))
        if reason:
            return _unpriced(reason)
    found: list[Quoted | CostReason | None] = []
    missing: list[CostReason] = []
    used: dict[Offer, list[Quoted]] = {}
    for slot, leaf in enumerate(LEAVES):
        source = _source(plan, offer, slot, leaf, identity)
        if not isinstance(source, tuple):
            found.append(source)
            continue
        kind, seller = source
        situation = main if main and seller is offer else _plain(seller, identity, at_us)
        quoted = rate_of(seller, kind, situation)
        if isinstance(quoted, CostReason):
            missing.append(quoted)
        else:
            used.setdefault(seller, []).append(quoted)
            if leaf.column == "units" and identity.unit:
                quoted = _of_unit(quoted, same_kind(identity.unit)[1])
        found.append(quoted)
    if not used:
        return _unpriced(min(missing, key=_rank, default=CostReason.NO_LINE))
    ids = {
        o: rate_id(o, lines, main if main and o is offer else _plain(o, identity, at_us))
        for o, lines in used.items()
    }
    return _served(_assembled(found, used, ids), held)


def _assembled(
    found: Sequence[Quoted | CostReason | None],
    used: Mapping[Offer, Sequence[Quoted]],
    ids: Mapping[Offer, str],
) -> RateSet:
    quoted = [q for lines in used.values() for q in lines]
    agreed = any(q.names for q in quoted)
    currencies = {offer.currency for offer in used}
    foreign = currencies != {"USD"}
    seller = {id(q.line): offer for offer, lines in used.items() for q in lines}
    return RateSet(
        tuple(f.rate if isinstance(f, Quoted) else f for f in found),
        listed=tuple(f.listed if isinstance(f, Quoted) else f for f in found) if agreed else None,
        original=(
            tuple(f.original if isinstance(f, Quoted) else f for f in found) if foreign else None
        ),
        currency=currencies.pop() if len(currencies) == 1 else None,
        rate_id=",".join(ids.values()),
        digest=",".join(dict.fromkeys(d for q in quoted for d in q.digests)),
        lines=tuple(
            Origin(f.kind, f"{ids[seller[id(f.line)]]}/{f.line.id}", seller[id(f.line)])
            if isinstance(f, Quoted)
            else None
            for f in found
        ),
    )


def _of_unit(quoted: Quoted, size: Fraction) -> Quoted:
    """For quantities counted in a unit that is `size` times as large as the card's."""
    if size == 1:
        return quoted
    return replace(
        quoted,
        rate=quoted.rate.of_units(size),
        listed=quoted.listed.of_units(size),
        original=quoted.original.of_units(size),
    )


def _held(plan: Plan, identity: Identity, situation: Situation) -> Held | None:
    """The reserved capacity that serves the step."""
    for held in plan.reserved:
        terms = held.terms
        here = terms.region is None or (identity.region or "").lower() in terms.region
        if here and terms.holds(situation.at_us) and fits(terms.when, situation.context):
            return held
    return None


def _served(rates: RateSet, held: Held | None) -> RateSet:
    """What is left to pay where reserved capacity serves: nothing for the kinds that it is for."""
    if held is None:
        return rates
    free = Rate(Fraction(0))
    covered = [
        line is not None and any(fnmatchcase(line.kind, p) for p in held.terms.kinds)
        for line in rates.lines
    ]
    left = [free if covers else rate for covers, rate in zip(covered, rates.rates, strict=True)]
    owed = rates.original
    if owed is not None:
        owed = tuple(free if c else r for c, r in zip(covered, owed, strict=True))
    return replace(
        rates,
        rates=tuple(left),
        listed=rates.listed or rates.rates,
        original=owed,
        status=CostStatus.CAPACITY,
        rate_id=f"{rates.rate_id},{held.name}",
        digest=f"{rates.digest},{held.digest}",
    )


def _without_prices(identity: Identity) -> RateSet | None:
    if identity.usage is Usage.UNREADABLE:
        return _unpriced(CostReason.COUNT_UNREADABLE)
    if identity.usage is Usage.CONTRADICTORY:
        return _unpriced(CostReason.USAGE_INCONSISTENT)
    if identity.usage is Usage.NONE and identity.kind in ("llm", "embedding"):
        return _no_usage(identity)
    return None


def _timeline(identity: Identity, charged_as: str, book: RateBook) -> Timeline:
    if identity.model is None or (identity.usage is Usage.NONE and charged_as not in _BY_MODEL):
        return ()
    return book.find(identity.provider, charged_as, identity.model, identity.region)


def _sources(
    identity: Identity, charged_as: str, book: RateBook
) -> dict[int, tuple[str, Offer] | CostReason]:
    """Offers for the quantities that are sold whatever the model, by slot."""
    sources: dict[int, tuple[str, Offer] | CostReason] = {}
    for slot, leaf in enumerate(LEAVES):
        if leaf.column and identity.usage is Usage.NONE:
            continue
        compute = bool(leaf.kinds) and leaf.kinds[0].startswith("compute.")
        for kind in leaf_kinds(leaf, identity):
            found = book.metered(kind, _COMPUTE if compute else charged_as, identity.provider)
            if found is None and (kind in book.kinds and (compute or leaf.column == "units")):
                found = CostReason.NO_SKU
            if found is not None:
                sources[slot] = (kind, found) if isinstance(found, Offer) else found
                break
    return sources


def leaf_kinds(leaf: Leaf, identity: Identity) -> tuple[str, ...]:
    """Leaf kinds that a quantity of a step of this identity may be."""
    if leaf.column == "units":
        return (same_kind(identity.unit)[0],) if identity.unit else ()
    if leaf.kinds[0] == "tool.*.call":
        called = identity.tool if identity.kind == "tool" else None
        return (f"tool.{called.lower()}.call",) if called else ()
    return kinds_of(leaf, step_kind(identity))


def _source(
    plan: Plan, offer: Offer | None, slot: int, leaf: Leaf, identity: Identity
) -> tuple[str, Offer] | CostReason | None:
    """Who sells one quantity: the offer for the model, else a metered one."""
    kinds = leaf_kinds(leaf, identity)
    if not leaf.column and _counted(kinds, identity):
        return None
    for kind in kinds:
        if offer and kind in offer.lines:
            return kind, offer
    if slot in plan.sources and not (offer and plan.sources[slot] is CostReason.NO_SKU):
        return plan.sources[slot]
    counted = leaf.column and not (kinds and kinds[0].startswith("compute."))
    return CostReason.NO_LINE if counted else None


def _counted(kinds: Sequence[str], identity: Identity) -> bool:
    """Whether the step is not to be counted as one call or request: it says how many there were,
    or it is no call at all but only a meter beside one."""
    if identity.unit in kinds:
        return True
    return identity.usage is Usage.METERED and step_kind(identity) in ("llm", "embedding")


def _situation(
    offer: Offer, identity: Identity, at_us: int, band: str | None, window: Mapping[str, str]
) -> Situation:
    implied = {**offer.assume, **window}
    return Situation(at_us, observed(identity), implied, band, identity.account)


def observed(identity: Identity) -> dict[str, str]:
    """The facts that a step states, without those that say as much as silence."""
    facts = json.loads(identity.pricing_context or "{}")
    context = {key: value.strip().lower() for key, value in facts.items()}
    tier = (identity.service_tier or "").lower()
    if tier == "batch":
        context["processing"] = tier
    elif tier:
        context["service_tier"] = tier
    if identity.region:
        context["region"] = identity.region.lower()
    return {k: v for k, v in context.items() if v and v not in _ORDINARY.get(k, ())}


def _plain(offer: Offer, identity: Identity, at_us: int) -> Situation:
    """For offers that are found by kind of unit."""
    return Situation(at_us, observed(identity), offer.assume, None, identity.account)


def _why(timeline: Timeline) -> CostReason:
    """Why no offer was found for the model."""
    reason = timeline[0][1] if timeline else CostReason.NO_MODEL
    assert isinstance(reason, CostReason)
    return reason


def _no_fee(sources: Mapping[int, object]) -> RateSet:
    """No offer at all: a gap in the cards where some card prices the unit counted, else no fee."""
    reasons = {slot: s for slot, s in sources.items() if isinstance(s, CostReason)}
    rates = tuple(reasons.get(slot) for slot in range(len(LEAVES)))
    return RateSet(rates, status=CostStatus.UNMETERED, reason=CostReason.NO_RATE)


def _no_usage(identity: Identity) -> RateSet:
    return _unpriced(CostReason.CALL_FAILED if identity.failed else CostReason.NO_USAGE)


def _unpriced(reason: CostReason) -> RateSet:
    return RateSet(status=CostStatus.UNPRICED, reason=reason)


def _rank(reason: CostReason) -> int:
    return list(CostReason).index(reason)
