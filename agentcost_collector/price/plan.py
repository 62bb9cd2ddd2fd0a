"""From an identity to its rates: which offers apply over time, and what each quantity costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentcost_collector.model.reasons import CostReason, CostStatus
from agentcost_collector.model.units import LEAVES, Leaf, kinds_of
from agentcost_collector.price.card import Line, Price
from agentcost_collector.price.identity import Identity, Usage
from agentcost_collector.price.ratebook import Offer, RateBook, Timeline
from agentcost_collector.price.rates import Rate, Situation, rate_id, rate_of, uncovered

_BY_MODEL = ("llm", "embedding", "rerank")
_COMPUTE = "compute"
_ORDINARY_TIERS = ("auto", "default", "on_demand", "standard", "standard_only")


@dataclass(frozen=True, slots=True)
class RateSet:
    """What every quantity of a step costs; one entry of `rates` for each of LEAVES.

    A CostReason stands where a quantity is billable and has no rate, None where it is not billed.
    """

    rates: tuple[Rate | CostReason | None, ...] = (None,) * len(LEAVES)
    status: CostStatus | None = None
    """Set where nothing can be priced: unpriced whatever the quantities, or unmetered where none of
    them is billable."""
    reason: CostReason | None = None
    rate_id: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How the steps of one identity are priced."""

    timeline: tuple[tuple[int, Offer | RateSet], ...]
    """What holds from each instant on; a RateSet where no offer is needed to know."""
    sources: dict[int, tuple[str, Offer] | CostReason]
    """Kind and offer of the quantities that are priced whatever the model."""

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
    return Plan(tuple(known), sources)


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
    if offer and main:
        reason = uncovered(offer, main)
        if reason:
            return _unpriced(reason)
    rates: list[Rate | CostReason | None] = []
    missing: list[CostReason] = []
    used: dict[Offer, list[tuple[Line, Price]]] = {}
    for slot, leaf in enumerate(LEAVES):
        source = _source(plan, offer, slot, leaf, identity)
        if not isinstance(source, tuple):
            rates.append(source)
            continue
        kind, seller = source
        situation = main if main and seller is offer else _plain(seller, identity, at_us)
        found = rate_of(seller, kind, situation)
        if isinstance(found, CostReason):
            missing.append(found)
            rates.append(found)
        else:
            rates.append(found[0])
            used.setdefault(seller, []).append(found[1])
    if not used:
        return _unpriced(min(missing, key=_rank, default=CostReason.NO_LINE))
    ids = [
        rate_id(o, lines, main if main and o is offer else _plain(o, identity, at_us))
        for o, lines in used.items()
    ]
    digests = dict.fromkeys(o.digest for o in used)
    return RateSet(tuple(rates), rate_id=",".join(ids), digest=",".join(digests))


def _without_prices(identity: Identity) -> RateSet | None:
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
        return (identity.unit,) if identity.unit else ()
    if leaf.kinds[0] == "tool.*.call":
        called = identity.tool if identity.kind == "tool" else None
        return (f"tool.{called.lower()}.call",) if called else ()
    return kinds_of(leaf, step_kind(identity))


def _source(
    plan: Plan, offer: Offer | None, slot: int, leaf: Leaf, identity: Identity
) -> tuple[str, Offer] | CostReason | None:
    """Who sells one quantity: the offer for the model, else a metered one."""
    kinds = leaf_kinds(leaf, identity)
    for kind in kinds:
        if offer and kind in offer.lines:
            return kind, offer
    if slot in plan.sources:
        return plan.sources[slot]
    counted = leaf.column and not (kinds and kinds[0].startswith("compute."))
    return CostReason.NO_LINE if counted else None


def _situation(
    offer: Offer, identity: Identity, at_us: int, band: str | None, window: Mapping[str, str]
) -> Situation:
    observed = {}
    tier = (identity.service_tier or "").lower()
    if tier == "batch":
        observed["processing"] = tier
    elif tier and tier not in _ORDINARY_TIERS:
        observed["service_tier"] = tier
    if identity.region:
        observed["region"] = identity.region.lower()
    return Situation(at_us, observed, {**offer.assume, **window}, band)


def _plain(offer: Offer, identity: Identity, at_us: int) -> Situation:
    """For offers that are found by kind of unit: they know regions, no tiers."""
    observed = {"region": identity.region.lower()} if identity.region else {}
    return Situation(at_us, observed, offer.assume, None)


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
