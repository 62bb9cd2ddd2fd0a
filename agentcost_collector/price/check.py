"""What can be wrong with rate cards although each of them loads: the checks of `rates check`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.card import RateCard, Sku
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import Offer, RateBook
from agentcost_collector.price.read import CardFile, card_files, read_card
from agentcost_collector.price.released import changed_since_release

_DATES = ("-2026-01-01", "-20260101", "@20260101", "-latest")


def faults_of(directories: Sequence[Path], known: Collection[str] = ()) -> list[str]:
    """Every fault as one sentence with file and line; empty where the cards are in order.

    `known`: further model names that must not match two SKUs, beside those that the cards name.
    """
    files: list[CardFile] = []
    faults: list[str] = []
    for directory in directories:
        for path in card_files(directory):
            try:
                files.append(read_card(path))
            except ConfigError as wrong:
                faults.append(str(wrong))
        faults += changed_since_release(directory)
    if faults:
        return faults
    try:
        book = load_rate_book(directories)
    except ConfigError as wrong:
        return [str(wrong)]
    places = {
        sku.sku: file.at("skus", index, "sku")
        for file in files
        for index, sku in enumerate(_skus(file))
    }
    return [*_gaps(files), *_double_meanings(book, places, known)]


def _skus(file: CardFile) -> tuple[Sku, ...]:
    return file.card.skus if isinstance(file.card, RateCard) else ()


def _gaps(files: Sequence[CardFile]) -> Iterator[str]:
    """Prices of a line that end before the next begins."""
    for file in files:
        for index, sku in enumerate(_skus(file)):
            for number, line in enumerate(sku.lines):
                for at, (price, following) in enumerate(pairwise(line.prices)):
                    if price.to is not None and price.to < following.start:
                        place = file.at("skus", index, "lines", number, "prices", at)
                        yield (
                            f"{place}: line '{line.id}' of '{sku.sku}' has no price from"
                            f" {price.to:%Y-%m-%dT%H:%M:%SZ} to"
                            f" {following.start:%Y-%m-%dT%H:%M:%SZ}; close the gap or split the SKU"
                        )


def _double_meanings(
    book: RateBook, places: dict[str, str], known: Collection[str]
) -> Iterator[str]:
    """Names that two SKUs of one seller, kind of step and region answer to."""
    named = {n.lower() for o in book.offers if o.match.model for n in o.match.model.equals}
    names = {*named, *(name.lower() for name in known)}
    answering = _Answering(book.offers)
    told: set[frozenset[str]] = set()
    for name in sorted({*names, *(f"{n}{tail}" for n in names for tail in _DATES)}):
        meant: dict[tuple[str, str, str], Offer] = {}
        for offer in answering.to(name):
            for key in _sellers(offer):
                other = meant.setdefault(key, offer)
                pair = frozenset((other.sku.sku, offer.sku.sku))
                if other is offer or pair in told:
                    continue
                told.add(pair)
                yield (
                    f"{places[offer.sku.sku]}: model '{name}' matches '{offer.sku.sku}' and"
                    f" '{other.sku.sku}' at {places[other.sku.sku]}; narrow one of them"
                )


class _Answering:
    """Offers by the names that they answer to."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._named: dict[str, list[Offer]] = defaultdict(list)
        self._patterns = [
            (re.compile(pattern, re.IGNORECASE), offer)
            for offer in offers
            if offer.match.model
            for pattern in offer.match.model.regex
        ]
        for offer in offers:
            for name in offer.match.model.equals if offer.match.model else ():
                self._named[name.lower()].append(offer)

    def to(self, name: str) -> list[Offer]:
        """By name or by regex, each once."""
        fitting = (offer for pattern, offer in self._patterns if pattern.fullmatch(name))
        return list(dict.fromkeys([*self._named.get(name, ()), *fitting]))


def _sellers(offer: Offer) -> Iterator[tuple[str, str, str]]:
    regions = ("any",) if offer.match.region == "any" else offer.match.region
    for provider in offer.match.provider or ("",):
        for kind in offer.step_kinds:
            for region in regions:
                yield provider, kind, region
