"""The customer's own cards, sorted by what they change, and checked against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.reasons import CostReason
from agentcost_collector.price.card import Dated, RateCard, microseconds
from agentcost_collector.price.ratebook import Held, Offer, Terms, Timeline
from agentcost_collector.price.read import CardFile
from agentcost_collector.price.terms import (
    Capacity,
    Deployment,
    Deployments,
    ExchangeRate,
    ExchangeRates,
    Overlay,
)

DIGEST_CHARS = 16


class Customer:
    """Overlays, capacity, deployments and exchange rates of all files.

    Raises ConfigError where two of them contradict each other.
    """

    def __init__(self, files: Sequence[CardFile]) -> None:
        self.exchange = _exchange(files)
        """Currency -> rates in order of time, each with the digest of its card."""
        self.overlays = _overlays(files)
        """Card id -> overlays of it; those of one account first."""
        self._files = files

    def breaks(self, card: RateCard) -> set[int]:
        """Every instant at which prices of the card change for the customer alone."""
        dated: list[Dated] = [rate for rate, _ in self.exchange.get(card.currency, ())]
        overlays = [overlay for overlay, _ in self.overlays.get(card.card_id, ())]
        dated += [overlay.applies for overlay in overlays]
        edges = {at for d in dated for at in (d.start_us, d.to_us)}
        edges |= {
            microseconds(at)
            for overlay in overlays
            for rule in overlay.rules
            for at in (rule.start, rule.to)
            if at is not None
        }
        return {at for at in edges if at is not None}

    def terms(self, offers: Mapping[str, Offer]) -> Terms:
        """Deployments and capacity; `offers` by SKU."""
        held = [
            Held(reserved, f"{file.card.card_id}:{reserved.id}", file.digest[:DIGEST_CHARS])
            for file in self._files
            if isinstance(file.card, Capacity)
            for reserved in file.card.reserved
        ]
        return Terms(_deployments(self._files, offers), tuple(held))


def _exchange(
    files: Sequence[CardFile],
) -> dict[str, tuple[tuple[ExchangeRate, str], ...]]:
    found: dict[str, list[tuple[ExchangeRate, str]]] = defaultdict(list)
    home: dict[str, CardFile] = {}
    for file in files:
        if not isinstance(file.card, ExchangeRates):
            continue
        for index, rate in enumerate(file.card.rates):
            place = file.at("rates", index)
            if rate.src not in file.card.sources:
                raise ConfigError(f"{place}: source '{rate.src}' is not under `sources`; add it")
            if home.setdefault(rate.currency, file) is not file:
                raise ConfigError(
                    f"{place}: rates of {rate.currency} are also in"
                    f" {home[rate.currency].path.name}; keep them in one file"
                )
            earlier = found[rate.currency]
            if earlier and earlier[-1][0].start >= rate.start:
                raise ConfigError(
                    f"{place}: rates of {rate.currency} must be in ascending order of `from`"
                )
            earlier.append((rate, file.digest[:DIGEST_CHARS]))
    return {currency: tuple(rates) for currency, rates in found.items()}


def _overlays(files: Sequence[CardFile]) -> dict[str, tuple[tuple[Overlay, str], ...]]:
    lists = {f.card.card_id: f.card for f in files if isinstance(f.card, RateCard)}
    found: dict[str, list[tuple[Overlay, str]]] = defaultdict(list)
    for file in files:
        overlay = file.card
        if not isinstance(overlay, Overlay):
            continue
        if overlay.base not in lists:
            raise ConfigError(
                f"{file.at('base')}: there is no card '{overlay.base}' of kind list; correct it"
            )
        _check_rules(file, overlay, lists[overlay.base])
        for other, _ in found[overlay.base]:
            if other.applies.account == overlay.applies.account and _meet(other, overlay):
                raise ConfigError(
                    f"{file.at('applies')}: '{other.card_id}' holds for the same account and card"
                    " at the same time; end one of them or join them"
                )
        found[overlay.base].append((overlay, file.digest[:DIGEST_CHARS]))
    return {
        base: tuple(sorted(both, key=lambda o: o[0].applies.account is None))
        for base, both in found.items()
    }


def _check_rules(file: CardFile, overlay: Overlay, base: RateCard) -> None:
    """A rule that names what the list does not have would never be used: refuse it."""
    names = {sku.sku: {line.id for line in sku.lines} for sku in base.skus}
    for index, rule in enumerate(overlay.rules):
        if rule.sku is not None and "*" not in rule.sku and rule.sku not in names:
            raise ConfigError(
                f"{file.at('rules', index)}: '{overlay.base}' has no sku '{rule.sku}'; correct it"
            )
        lines = names.get(rule.sku or "", set().union(*names.values()))
        if rule.line is not None and rule.line not in lines:
            raise ConfigError(
                f"{file.at('rules', index)}: no line '{rule.line}' in '{rule.sku or overlay.base}';"
                " correct it"
            )


def _meet(one: Overlay, other: Overlay) -> bool:
    first, second = sorted((one.applies, other.applies), key=lambda a: a.start_us)
    return first.to_us is None or second.start_us < first.to_us


def _deployments(
    files: Sequence[CardFile], offers: Mapping[str, Offer]
) -> dict[tuple[str, str], Timeline]:
    found: dict[tuple[str, str], list[tuple[int, Offer | CostReason]]] = {}
    for file in files:
        if not isinstance(file.card, Deployments):
            continue
        for index, named in enumerate(file.card.deployments):
            place = file.at("deployments", index)
            if named.sku not in offers:
                raise ConfigError(f"{place}: no card has a sku '{named.sku}'; correct it")
            key = (named.provider, named.name.lower())
            timeline = found.setdefault(key, [(0, CostReason.BEFORE_HISTORY)])
            if timeline[-1][0] > named.start_us or (
                timeline[-1][0] == named.start_us and isinstance(timeline[-1][1], Offer)
            ):
                raise ConfigError(
                    f"{place}: entries of '{named.name}' must be in ascending order of `from`"
                )
            if timeline[-1][0] == named.start_us:
                timeline.pop()
            timeline.append((named.start_us, _named(offers[named.sku], named, file.digest)))
            if named.to_us is not None:
                timeline.append((named.to_us, CostReason.AFTER_HISTORY))
    return {key: tuple(timeline) for key, timeline in found.items()}


def _named(offer: Offer, named: Deployment, digest: str) -> Offer:
    """The offer as the deployment has it: with what the name tells as its context."""
    return replace(
        offer,
        assume={**offer.assume, **named.set},
        digest=f"{offer.digest},{digest[:DIGEST_CHARS]}",
    )
