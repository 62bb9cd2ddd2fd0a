"""Quotes as people and programs write them, and the answers as they read them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcost_collector.cli.text import amount, printable
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.units import INPUT_TOTAL_KIND, is_kind
from agentcost_collector.normalise import provider_of
from agentcost_collector.price.quote import COUNTED, Answer, Quote, price_quotes
from agentcost_collector.price.ratebook import RateBook

_KEYS = ("id", "provider", "model", "at", "usage", "context")
_CONTEXT = {"location": "region", "vertex_location": "region", "tier": "service_tier"}
_REMARK = re.compile(r"(?<=\S)\s*\([^()]*\)$")
_WHOLE = re.compile(r"^(token|embedding|rerank)\.|_tokens$")
_MOST = Decimal(10) ** 18
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of a file: a quote, or what is wrong with it."""

    id: object
    stated: Mapping[str, Any]
    quote: Quote | None
    fault: str | None = None


def read_lines(path: Path, now: datetime) -> list[Asked]:
    """Every line of a file of JSON lines that is not empty; `-` is standard input.

    Raises ConfigError where the file cannot be read.
    """
    try:
        source = sys.stdin.buffer if str(path) == "-" else path.open("rb")
        with source:
            lines = source.read().decode("utf-8").splitlines()
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from wrong
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append(_read_line(line, f"{path}:{number}", now))
    return found


def _read_line(line: str, place: str, now: datetime) -> Asked:
    stated: Any = None
    try:
        stated = json.loads(line, parse_float=Decimal, object_pairs_hook=_once)
        if not isinstance(stated, dict):
            raise ConfigError("a quote is a JSON object")
        return read_quote(stated, now)
    except (ValueError, RecursionError):
        fault = "not JSON; write one object on one line"
    except ConfigError as wrong:
        fault = str(wrong)
    known = stated if isinstance(stated, dict) else {}
    return Asked(known.get("id"), known, None, f"{place}: {fault}")


def read_quote(stated: Mapping[str, Any], now: datetime) -> Asked:
    """A quote from what somebody wrote. Raises ConfigError saying what is wrong."""
    for key in stated:
        if key not in _KEYS:
            raise ConfigError(f"'{key}' is no key of a quote; known are {', '.join(_KEYS)}")
    model = _text(stated, "model")
    model = _REMARK.sub("", model) if model and " " in model else model
    seller = _REMARK.sub("", _text(stated, "provider") or "")
    usage: dict[str, Decimal] = {}
    for name, quantity in _object(stated, "usage").items():
        if name not in (*COUNTED, INPUT_TOTAL_KIND) and not is_kind(name):
            raise ConfigError(f"usage '{name}' is neither a leaf kind nor a token column")
        if quantity is not None:
            usage[name] = _quantity(name, quantity)
    context = {
        _CONTEXT.get(key, key): str(value).strip()
        for key, value in _object(stated, "context").items()
        if value is not None
    }
    if not re.fullmatch(r"\d{1,18}", context.get("period_before", "0")):
        raise ConfigError("context 'period_before' should be a whole number of units")
    quote = Quote(
        provider_of(seller, model, None), model, _instant(stated.get("at"), now), usage, context
    )
    return Asked(stated.get("id"), stated, quote)


def answer(asked: Sequence[Asked], book: RateBook) -> list[tuple[Asked, Answer | None]]:
    """Each line with its answer; None where it could not be read."""
    answers = iter(price_quotes([a.quote for a in asked if a.quote is not None], book))
    return [(a, None if a.quote is None else next(answers)) for a in asked]


def write_json(answers: Sequence[tuple[Asked, Answer | None]], out: TextIO) -> None:
    """One line of JSON for each quote; amounts are strings with all their digits."""
    for asked, found in answers:
        out.write(json.dumps({"id": asked.id, **_plain(asked, found)}, default=str) + "\n")


def write_table(answers: Sequence[tuple[Asked, Answer | None]], out: TextIO) -> None:
    """For people: each quote with its lines and its total."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("quote", "kind", "quantity", "cost_usd", "rate"):
        right = name in ("quantity", "cost_usd")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for cells in _cells(answers):
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console(file=out, width=None if out.isatty() else 200, highlight=False).print(table)


def _cells(answers: Sequence[tuple[Asked, Answer | None]]) -> Iterator[tuple[str, ...]]:
    for number, (asked, found) in enumerate(answers, start=1):
        if found is None:
            continue
        name = str(asked.id if asked.id is not None else asked.stated.get("model") or number)
        for line in found.lines:
            cost = "" if line.amount_usd is None else amount(line.amount_usd)
            yield name, line.kind, amount(line.quantity), cost, line.rate_id or str(line.reason)
        total = "unknown" if found.cost_usd is None else amount(found.cost_usd)
        why = f" ({found.cost_reason})" if found.cost_reason else ""
        yield name, "total", "", total, f"{found.cost_status}{why}"


def _plain(asked: Asked, found: Answer | None) -> dict[str, Any]:
    if found is None:
        return {"cost_usd": None, "cost_status": "error", "cost_reason": None, "error": asked.fault}
    return {
        "cost_usd": _money(found.cost_usd),
        "cost_status": found.cost_status,
        "cost_reason": found.cost_reason,
        "list_cost_usd": _money(found.list_cost_usd),
        "lines": [
            {
                "kind": line.kind,
                "quantity": amount(line.quantity),
                "amount_usd": _money(line.amount_usd),
                "rate_id": line.rate_id,
                "reason": line.reason,
            }
            for line in found.lines
        ],
    }


def _money(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ConfigError("a key is given twice; keep one of them")
    return found


def _text(stated: Mapping[str, Any], key: str) -> str | None:
    value = stated.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"'{key}' should be text")
    return (value or "").strip() or None


def _object(stated: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = stated.get(key)
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"'{key}' should be an object of names and values")
    return value or {}


def _quantity(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value)) if isinstance(value, int | str | Decimal) else None
    except InvalidOperation:
        number = None
    if number is None or isinstance(value, bool) or not number.is_finite():
        raise ConfigError(f"usage '{name}' should be a number, not {value!r}")
    exponent = number.normalize().as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    if abs(number) >= _MOST or digits > (0 if _WHOLE.search(name) else _DIGITS):
        raise ConfigError(f"usage '{name}' is no count that can be: {value}")
    return number


def _instant(text: object, now: datetime) -> datetime:
    if text is None:
        return now
    try:
        at = datetime.fromisoformat(str(text))
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"'at' should be a time such as 2026-11-20T12:00:00Z, not {text!r}"
        ) from None
    return at
