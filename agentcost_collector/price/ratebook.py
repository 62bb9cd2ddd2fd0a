"""All rate cards together, compiled for look-up. Immutable and pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agentcost_collector.model.reasons import CostReason
from agentcost_collector.model.units import same_kind
from agentcost_collector.price.card import Line, Match, Sku
from agentcost_collector.price.names import spellings
from agentcost_collector.price.terms import ExchangeRate, Overlay, Reserved

REGION = "region"
_MEMO_MAX = 50_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A SKU with what its card says about all SKUs."""

    sku: Sku
    card_id: str
    issuer: str
    digest: str
    """Of the card, first 16 hex digits; of the table of deployments too, where that named it."""
    currency: str
    exchange: tuple[tuple[ExchangeRate, str], ...]
    """Dollars for the currency over time, each with the digest of its card; none for dollars."""
    overlays: tuple[tuple[Overlay, str], ...]
    """What was negotiated about the card, each with its digest; those of one account first."""
    clock: str
    """`end` or `start`: the instant of the step that decides the price."""
    assume: dict[str, str]
    step_kinds: frozenset[str]
    lines: dict[str, tuple[Line, ...]]
    """By leaf kind (of `same_kind`); an included kind has those of the kind that includes it."""
    breaks: tuple[int, ...]
    """Every instant at which anything that decides its prices begins or ends, ascending."""

    @property
    def match(self) -> Match:
        """Which steps it is for."""
        return self.sku.match

    def mentions(self, key: str) -> bool:
        """Whether any of its prices depends on that key of the context."""
        conditions = [line.when for line in self.sku.lines]
        conditions += [adjustment.when for adjustment in self.sku.adjustments]
        return any(key in when for when in conditions)


Timeline = tuple[tuple[int, Offer | CostReason], ...]
"""What holds from each instant on, ascending; the first entry holds since ever."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the customer's own cards say besides negotiated prices."""

    deployments: Mapping[tuple[str, str], Timeline]
    """By provider and lower-case name."""
    reserved: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Reserved capacity with its name on the ledger and the digest of its card."""

    terms: Reserved
    name: str
    digest: str

    def serves(self, provider: str | None, model: str | None, account: str | None) -> bool:
        """Whether steps of that kind may be served from it."""
        if provider not in self.terms.provider or self.terms.account not in (None, account):
            return False
        models = self.terms.model
        if models is None:
            return True
        name = (model or "").lower()
        return name in {m.lower() for m in models.equals} or any(
            re.fullmatch(pattern, name, re.IGNORECASE) for pattern in models.regex
        )


class RateBook:
    """All offers, found by provider and model or by the kind of unit that they price.

    Immutable, but for the memory of answers given before.
    """

    def __init__(
        self,
        offers: Sequence[Offer],
        aliases: dict[str, Timeline],
        terms: Terms,
        cards: Sequence[Mapping[str, Any]],
    ) -> None:
        self.offers = tuple(offers)
        self.deployments = frozenset(name for _, name in terms.deployments)
        """Names that customers gave, lower case."""
        self.cards = tuple(cards)
        """The cards as their files say them, in order of `card_id`."""
        self.kinds = frozenset(kind for offer in offers for kind in offer.lines)
        """Every leaf kind that some card prices."""
        self.by_period = tuple(
            o.sku.sku
            for o in offers
            if o.sku.allowances or (o.sku.band is not None and o.sku.band.over_period)
        )
        """SKUs whose prices depend on the total of a period."""
        self._aliases = aliases
        self._terms = terms
        self._named: dict[str, list[Offer]] = defaultdict(list)
        self._patterns: list[tuple[re.Pattern[str], Offer]] = []
        self._metered: dict[str, list[Offer]] = defaultdict(list)
        self._makers = frozenset(
            p for o in offers if not o.match.provider_named for p in o.match.provider or ()
        )
        self._memo: dict[Hashable, Any] = {}
        for offer in offers:
            self._index(offer)

    def find(
        self, provider: str | None, step_kind: str, model: str, region: str | None
    ) -> Timeline:
        """The offers for a model over time, or why there is none.

        Without a provider the name alone decides, as long as one offer answers to it.
        """
        for stated, name in spellings(model):
            found = self._find(self._seller(provider, stated), step_kind, name, region)
            if found is not None:
                return found
        return ((0, CostReason.NO_SKU),)

    def metered(self, kind: str, step_kind: str, provider: str | None) -> Offer | CostReason | None:
        """The offer that prices a kind of unit whatever the model; None where there is none."""
        fitting = [
            o
            for o in self._metered.get(kind, ())
            if step_kind in o.step_kinds
            and (o.match.provider is None or provider in o.match.provider)
        ]
        fitting = [o for o in fitting if o.match.provider is not None] or fitting
        if len(fitting) > 1:
            return CostReason.AMBIGUOUS
        return fitting[0] if fitting else None

    def metered_as(self, kind: str, provider: str | None) -> str | None:
        """The kind of step in which that provider, or else anyone, sells a kind of unit."""
        offers = self._metered.get(same_kind(kind)[0], [])
        own = [o for o in offers if o.match.provider and provider in o.match.provider]
        kinds = {k for o in own or offers for k in o.step_kinds}
        return min(kinds, default=None)

    def reserved(
        self, provider: str | None, model: str | None, account: str | None
    ) -> tuple[Held, ...]:
        """Capacity that may serve such steps, in the order of the cards."""
        return tuple(h for h in self._terms.reserved if h.serves(provider, model, account))

    def remember(self, key: Hashable, find: Callable[[], T]) -> T:
        """The answer to a question that the cards alone decide, found once and kept, bounded."""
        if key not in self._memo:
            if len(self._memo) >= _MEMO_MAX:
                self._memo.clear()
            self._memo[key] = find()
        answer: T = self._memo[key]
        return answer

    def _index(self, offer: Offer) -> None:
        models = offer.match.model
        if models is None:
            for kind in offer.lines:
                self._metered[kind].append(offer)
            return
        for name in models.equals:
            self._named[name.lower()].append(offer)
        for pattern in models.regex:
            self._patterns.append((re.compile(pattern, re.IGNORECASE), offer))

    def _seller(self, provider: str | None, stated: str | None) -> str | None:
        """A maker does not sell the models of another, so a name that states one overrules it."""
        if stated is None or (provider is not None and provider not in self._makers):
            return provider
        return stated

    def _find(
        self, provider: str | None, step_kind: str, name: str, region: str | None
    ) -> Timeline | None:
        ours = self._terms.deployments.get((provider or "", name), ())
        if _fitting([o for _, o in ours if isinstance(o, Offer)], provider, step_kind):
            return ours
        exact = _fitting(self._named.get(name, ()), provider, step_kind)
        offers = exact or _fitting(
            (o for pattern, o in self._patterns if pattern.fullmatch(name)), provider, step_kind
        )
        if not offers:
            timeline = self._aliases.get(name, ())
            sellers = [o for _, o in timeline if isinstance(o, Offer)]
            return timeline if sellers and _fitting(sellers, provider, step_kind) else None
        here = [o for o in offers if _in_region(o, region)]
        if len(here) == 1:
            return ((0, here[0]),)
        return ((0, CostReason.AMBIGUOUS if here else CostReason.UNKNOWN_CONTEXT),)


def _fitting(offers: Iterable[Offer], provider: str | None, step_kind: str) -> list[Offer]:
    """Offers for that kind of step by that seller, each once."""
    return [
        o
        for o in dict.fromkeys(offers)
        if step_kind in o.step_kinds
        and (
            not o.match.provider_named
            if provider is None
            else o.match.provider is None or provider in o.match.provider
        )
    ]


def _in_region(offer: Offer, region: str | None) -> bool:
    wanted = region or offer.assume.get(REGION)
    return offer.match.region == "any" or wanted in offer.match.region
