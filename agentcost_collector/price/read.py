"""Rate card files: YAML in, checked cards out, every fault with its file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.digest import card_digest
from agentcost_collector.price.terms import AnyCard
from agentcost_collector.yaml_file import YamlFile, in_words, read_yaml

_CARD: TypeAdapter[AnyCard] = TypeAdapter(AnyCard)


@dataclass(frozen=True, slots=True)
class CardFile:
    """One card with the places of its parts."""

    file: YamlFile
    card: AnyCard
    digest: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.file.path

    @property
    def content(self) -> dict[str, Any]:
        """The card as plain values, as its file says it."""
        return self.file.content

    def at(self, *place: str | int) -> str:
        """`file:line` of a part, or of the nearest part around it."""
        return self.file.at(*place)


def read_cards(directories: Sequence[Path]) -> list[CardFile]:
    """All cards of the folders; a later folder's card replaces an earlier one of the same id.

    Raises ConfigError naming file and line.
    """
    cards: dict[str, CardFile] = {}
    for directory in directories:
        here: dict[str, CardFile] = {}
        for path in card_files(directory):
            read = read_card(path)
            first = here.setdefault(read.card.card_id, read)
            if first is not read:
                raise ConfigError(
                    f"{read.at('card_id')}: card_id '{read.card.card_id}' is also in"
                    f" {first.path.name}; give each card its own"
                )
        cards |= here
    return [cards[key] for key in sorted(cards)]


def read_card(path: Path) -> CardFile:
    """One card. Raises ConfigError naming file and line."""
    return card_of(read_yaml(path, "a rate card"))


def card_of(file: YamlFile) -> CardFile:
    """The card that a file says. Raises ConfigError naming file and line."""
    try:
        card = _CARD.validate_python(file.content)
    except ValidationError as wrong:
        # the first step of a place only says which kind of card it is
        faults = [{**fault, "loc": fault["loc"][1:]} for fault in wrong.errors()]
        raise ConfigError(in_words(file, faults, "the rate card schema")) from wrong
    return CardFile(file, card, card_digest(file.content))


def card_files(directory: Path) -> Iterator[Path]:
    """The files of a folder that are rate cards. Raises ConfigError where there is no folder."""
    if not directory.is_dir():
        raise ConfigError(
            f"{directory}: no such folder of rate cards; create it or correct the path"
        )
    yield from sorted(p for p in directory.iterdir() if p.suffix in (".yaml", ".yml"))
