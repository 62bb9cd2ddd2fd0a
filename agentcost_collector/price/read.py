"""Rate card files: YAML in, checked cards out, every fault with its file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.digest import card_digest
from agentcost_collector.price.terms import AnyCard

Place = tuple[str | int, ...]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CARD: TypeAdapter[AnyCard] = TypeAdapter(AnyCard)
_NESTING_MAX = 32
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class CardFile:
    """One card with the places of its parts."""

    path: Path
    card: AnyCard
    content: dict[str, Any]
    """The card as plain values, as its file says it."""
    digest: str
    lines: dict[Place, int]

    def at(self, *place: str | int) -> str:
        """`file:line` of a part, or of the nearest part around it."""
        return f"{self.path}:{_line(self.lines, place)}"


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
    lines: dict[Place, int] = {(): 1}
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from wrong
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {getattr(wrong, 'problem', wrong)}") from wrong
    content = _value(root, (), lines, path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path}:1: a rate card is a mapping; begin with `schema:`")
    return card_of(path, content, lines)


def card_of(path: Path, content: dict[str, Any], lines: dict[Place, int] | None = None) -> CardFile:
    """A card by its content. Raises ConfigError naming file and line."""
    lines = lines or {(): 1}
    try:
        card = _CARD.validate_python(content)
    except ValidationError as wrong:
        raise ConfigError(_sentence(path, lines, wrong)) from wrong
    return CardFile(path, card, content, card_digest(content), lines)


def card_files(directory: Path) -> Iterator[Path]:
    """The files of a folder that are rate cards. Raises ConfigError where there is no folder."""
    if not directory.is_dir():
        raise ConfigError(
            f"{directory}: no such folder of rate cards; create it or correct the path"
        )
    yield from sorted(p for p in directory.iterdir() if p.suffix in (".yaml", ".yml"))


def _value(node: yaml.Node | None, place: Place, lines: dict[Place, int], path: Path) -> Any:
    """Plain value of a YAML node; `lines` learns where each part stands."""
    if node is None:
        return None
    line = lines[place] = node.start_mark.line + 1
    if len(place) > _NESTING_MAX:
        raise ConfigError(f"{path}:{line}: nested too deeply for a rate card")
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, i), lines, path) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in node.value:
            if key.value in found:
                raise ConfigError(
                    f"{path}:{key.start_mark.line + 1}: key '{key.value}' is given twice;"
                    " keep one of them"
                )
            found[key.value] = _value(item, (*place, key.value), lines, path)
        return found
    return _scalar(node, f"{path}:{line}")


def _scalar(node: yaml.Node, where: str) -> Any:
    if node.tag == _TEXT_TAG:
        return node.value
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError) as wrong:
        raise ConfigError(f"{where}: '{node.value}' cannot be read; quote it") from wrong
    if isinstance(value, float):
        raise ConfigError(
            f"{where}: {node.value} is a floating point number; write it as a quoted decimal,"
            f" '{node.value}'"
        )
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError(f"{where}: {node.value} has no time zone; add Z for UTC")
    if not isinstance(value, str | int | bool | date | None):
        raise ConfigError(f"{where}: '{node.value}' is not a value that a rate card may have")
    return value


def _sentence(path: Path, lines: dict[Place, int], wrong: ValidationError) -> str:
    """The first fault in words: where, what, what to do.

    A list also counts as too short where its items are at fault: those are named instead.
    """
    faults = [e for e in wrong.errors() if not (e["type"] == "too_short" and e["input"])]
    first = min(faults, key=lambda e: _line(lines, _within(e["loc"])))
    place = _known(lines, _within(first["loc"]))
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        what = "is not a key of the rate card schema; remove it or correct its spelling"
    elif first["type"] == "missing":
        what = f"`{first['loc'][-1]}` is missing; add it"
    elif first["type"] == "string_type":
        what = f"must be text; write it in quotes, '{first['input']}'"
    return f"{path}:{lines[place]}: {'.'.join(map(str, place)) or 'the card'}: {what}"


def _within(place: Place) -> Place:
    """The place in the file: the first step only says which kind of card it is."""
    return place[1:]


def _line(lines: dict[Place, int], place: Place) -> int:
    return lines[_known(lines, place)]


def _known(lines: dict[Place, int], place: Place) -> Place:
    """The nearest part around `place` that stands in the file."""
    while place not in lines:
        place = place[:-1]
    return place
