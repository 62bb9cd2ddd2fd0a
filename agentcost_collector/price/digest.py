"""The canonical form of a card, so that two files that say the same have one digest."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

_AMOUNTS = ("amount", "multiply", "usd")


def card_digest(content: dict[str, Any]) -> str:
    """sha256 of the canonical form of a card's YAML content, 64 hex digits."""
    return hashlib.sha256(canonical(content)).hexdigest()


def canonical(content: dict[str, Any]) -> bytes:
    """UTF-8 JSON: keys sorted, no spaces, UTC instants, amounts without needless digits."""
    return json.dumps(
        _plain(content, ""), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return _amount(value) if key in _AMOUNTS else value
    if isinstance(value, dict):
        inside = key if key in _AMOUNTS else None
        return {k: _plain(v, inside or k) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v, key) for v in value]
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


@cache
def _amount(text: str) -> str:
    return f"{Decimal(text).normalize():f}"


@cache
def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
