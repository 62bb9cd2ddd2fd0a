"""What a foreign list says about one thing that is sold, in the terms of our cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Span:
    """One amount and when it holds."""

    start: datetime
    amount: str | dict[str, str]
    """Dollars per `per` units, or one amount for each band."""
    to: datetime | None = None
    named: bool = False
    """The list names that day; else it is when we first saw the amount."""


@dataclass(frozen=True)
class Listed:
    """What one kind of unit costs in one context."""

    id: str
    kind: str
    per: int
    when: Mapping[str, str]
    prices: tuple[Span, ...]


@dataclass(frozen=True)
class Offered:
    """A model as the list prices it."""

    sku: str
    operation: str
    equals: tuple[str, ...]
    regex: tuple[str, ...]
    examples: tuple[str, ...]
    """Names that it surely answers to."""
    provider_named: bool
    bands: tuple[tuple[str, int], ...]
    """Id and smallest total of each band, ascending; empty: one price for every request."""
    lines: tuple[Listed, ...]
    left_out: tuple[str, ...]
    """What the list says and this draft does not, each with its reason."""
