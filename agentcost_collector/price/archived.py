"""Sets of rate cards as they were, to work out again what they priced.

A set is archived as canonical JSON, `{"cards": [...]}` in order of `card_id`, under the digest of
the set. Entries name the cards that had a say by their own digests, so any set that holds these
cards will do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.reasons import CostReason
from agentcost_collector.price.customer import DIGEST_CHARS
from agentcost_collector.price.digest import canonical, card_digest
from agentcost_collector.price.load import compile_cards
from agentcost_collector.price.names import spellings
from agentcost_collector.price.ratebook import RateBook, Timeline
from agentcost_collector.price.read import card_of
from agentcost_collector.yaml_file import YamlFile

_BOOKS_MAX = 64


def archived_set(book: RateBook) -> tuple[str, bytes]:
    """Name and content under which the cards of a book are kept."""
    return _set_digest(book.cards), canonical({"cards": list(book.cards)})


class Archive:
    """The cards of all archived sets, by the digests that entries name them by."""

    def __init__(self, sets: Mapping[str, bytes]) -> None:
        self.damaged: list[str] = []
        """Names of sets that are not what was archived; their cards are not used."""
        self._cards: dict[str, dict[str, Any]] = {}
        self._books: dict[str, RateBook] = {}
        for name, content in sets.items():
            cards = _cards_of(content)
            if cards is None or _set_digest(cards) != name:
                self.damaged.append(name)
                continue
            self._cards |= {card_digest(card)[:DIGEST_CHARS]: card for card in cards}

    def missing(self, digests: str) -> list[str]:
        """Those of the digests, joined by commas, that no sound set holds."""
        return [digest for digest in digests.split(",") if digest not in self._cards]

    def book(self, digests: str) -> RateBook:
        """A book of exactly these cards. CorruptionError where one is missing or makes no sense."""
        if digests not in self._books:
            if len(self._books) >= _BOOKS_MAX:
                self._books.clear()
            self._books[digests] = self._compiled(digests)
        return self._books[digests]

    def _compiled(self, digests: str) -> RateBook:
        missing = self.missing(digests)
        if missing:
            raise CorruptionError(f"card {missing[0]} is not archived")
        cards = sorted((self._cards[d] for d in digests.split(",")), key=lambda c: c["card_id"])
        skus = {sku["sku"] for card in cards for sku in card.get("skus", ())}
        files = [
            replace(card_of(_as_file(_about(card, skus))), digest=card_digest(card))
            for card in cards
        ]
        return compile_cards(files, _Recalled)


def _as_file(card: dict[str, Any]) -> YamlFile:
    """An archived card has no lines any more."""
    return YamlFile(Path(card["card_id"]), card, {(): 1})


class _Recalled(RateBook):
    """A few cards of a larger set: who makes models and who sells those of others is not known, so
    a name that states a provider is looked for under both."""

    def find(
        self, provider: str | None, step_kind: str, model: str, region: str | None
    ) -> Timeline:
        for stated, name in spellings(model):
            for seller in dict.fromkeys((provider, stated or provider)):
                found = self._find(seller, step_kind, name, region)
                if found is not None:
                    return found
        return ((0, CostReason.NO_SKU),)


def _about(card: dict[str, Any], skus: set[str]) -> dict[str, Any]:
    """A table of deployments only of the SKUs at hand; any other card as it is."""
    if card["kind"] != "deployments":
        return card
    return {**card, "deployments": [d for d in card["deployments"] if d["sku"] in skus]}


def _cards_of(content: bytes) -> list[dict[str, Any]] | None:
    try:
        cards = json.loads(content)["cards"]
    except (ValueError, KeyError, TypeError):
        return None
    sound = isinstance(cards, list) and all(isinstance(c, dict) and "card_id" in c for c in cards)
    return cards if sound else None


def _set_digest(cards: Any) -> str:
    """sha256 over the digests of all cards, 64 hex digits."""
    named = [(card["card_id"], card_digest(card)) for card in cards]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()
