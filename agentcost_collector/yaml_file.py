"""YAML files that people write by hand: plain values, the line of every part, faults in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from agentcost_collector.model.errors import ConfigError

Place = tuple[str | int, ...]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NESTING_MAX = 32
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file says, and where each part of it stands."""

    path: Path
    content: dict[str, Any]
    lines: dict[Place, int]

    def at(self, *place: str | int) -> str:
        """`file:line` of a part, or of the nearest part around it."""
        return f"{self.path}:{self.lines[self.known(place)]}"

    def known(self, place: Place) -> Place:
        """The nearest part around `place` that stands in the file."""
        while place not in self.lines:
            place = place[:-1]
        return place


def read_yaml(path: Path, what: str) -> YamlFile:
    """A file whose top is a mapping; `what` it is, for errors: "a rate card".

    Keys are given once, numbers are integers (money is quoted text), times have a zone.
    Raises ConfigError naming file and line.
    """
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
    content = _Values(path, what, lines).value(root, ())
    if not isinstance(content, dict):
        raise ConfigError(f"{path}:1: {what} is a mapping; begin with `schema:`")
    return YamlFile(path, content, lines)


def in_words(
    file: YamlFile,
    faults: Sequence[ErrorDetails | dict[str, Any]],
    what: str,
    model: type[BaseModel] | None = None,
) -> str:
    """The first of pydantic's faults as one sentence: where, what, what to do.

    A list also counts as too short where its items are at fault: those are named instead. With
    the `model` of the whole file a misspelt key is answered with the one that is meant.
    """
    named = [e for e in faults if not (e["type"] == "too_short" and e["input"])]
    first = min(named, key=lambda e: file.lines[file.known(e["loc"])])
    place = file.known(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"is not a key of {what}; {_meant(model, first['loc'])}"
    elif first["type"] == "missing":
        message = f"`{first['loc'][-1]}` is missing; add it"
    elif first["type"] == "string_type":
        message = f"must be text; write it in quotes, '{first['input']}'"
    return f"{file.at(*place)}: {'.'.join(map(str, place)) or what}: {message}"


def _meant(model: type[BaseModel] | None, loc: Place) -> str:
    """What to do about an unknown key at `loc`."""
    known: list[str] = []
    for holder in _models(model):
        at: Any = holder
        for part in loc[:-1]:
            at = _within(at, part)
        known += [key for inner in _models(at) for key in _fields(inner)]
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known are {', '.join(known)}" if known else "remove it or correct its spelling"


def _within(annotation: Any, part: str | int) -> Any:
    """The annotation of a part: a field of a model, else what a mapping or list holds."""
    for model in _models(annotation):
        if part in _fields(model):
            return _fields(model)[str(part)]
    return annotation


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Annotations by the key that a file has."""
    return {str(f.validation_alias or n): f.annotation for n, f in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation such as `dict[str, M]` or `M | None` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


class _Values:
    """Turns YAML nodes into plain values; `lines` learns where each part stands."""

    def __init__(self, path: Path, what: str, lines: dict[Place, int]) -> None:
        self._path = path
        self._what = what
        self._lines = lines

    def value(self, node: yaml.Node | None, place: Place) -> Any:
        if node is None:
            return None
        line = self._lines[place] = node.start_mark.line + 1
        if len(place) > _NESTING_MAX:
            raise ConfigError(f"{self._path}:{line}: nested too deeply for {self._what}")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        return self._scalar(node, f"{self._path}:{line}")

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            where = f"{self._path}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{where}: a key must be text; quote it")
            if key.value in found:
                raise ConfigError(f"{where}: key '{key.value}' is given twice; keep one of them")
            found[key.value] = self.value(item, (*place, key.value))
        return found

    def _scalar(self, node: yaml.Node, where: str) -> Any:
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
            raise ConfigError(f"{where}: '{node.value}' is not a value that {self._what} may have")
        return value
