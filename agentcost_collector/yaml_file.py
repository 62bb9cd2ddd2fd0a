"""YAML files that people write by hand: plain values, the line of every part, faults in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
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
_RESOLVER: Any = yaml.resolver.Resolver()


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
        content = _Values(path, what, lines).all_of(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from wrong
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {getattr(wrong, 'problem', wrong)}") from wrong
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
    """Turns the events of a YAML parser into plain values; `lines` learns where each part stands.

    Events, since a tree of nodes costs several times what it takes to read them.
    """

    def __init__(self, path: Path, what: str, lines: dict[Place, int]) -> None:
        self._path = path
        self._what = what
        self._lines = lines
        self._anchors: dict[str, Any] = {}
        self._plain: dict[str, Any] = {}
        """What text without quotes means, for what was met so far."""

    def all_of(self, text: str) -> Any:
        """The value of a text that is one document; None where it is empty."""
        self._events = yaml.parse(text, Loader=_LOADER)
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise ConfigError(f"{self._at(after)}: a second document; make it a file of its own")
        return value

    def _value(self, event: Any, place: Place) -> Any:
        line = self._lines[place] = event.start_mark.line + 1
        if len(place) > _NESTING_MAX:
            raise ConfigError(f"{self._path}:{line}: nested too deeply for {self._what}")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                value.append(self._value(item, (*place, len(value))))
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise ConfigError(f"{self._at(event)}: no `&{event.anchor}` before; correct it")
            return self._anchors[event.anchor]
        else:
            value = self._mapping(place)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(key := next(self._events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise ConfigError(f"{self._at(key)}: a key must be text; quote it")
            if key.value in found:
                raise ConfigError(
                    f"{self._at(key)}: key '{key.value}' is given twice; keep one of them"
                )
            found[key.value] = self._value(next(self._events), (*place, key.value))
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        plain, quoted = event.implicit
        if quoted and event.tag is None:
            return event.value
        if not plain:
            return self._meant(event)
        if event.value not in self._plain:
            self._plain[event.value] = self._meant(event)
        return self._plain[event.value]

    def _meant(self, event: yaml.ScalarEvent) -> Any:
        where = self._at(event)
        tag = event.tag
        if tag is None or tag == "!":
            tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
        node = yaml.ScalarNode(tag, event.value)
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

    def _at(self, event: Any) -> str:
        return f"{self._path}:{event.start_mark.line + 1}"
