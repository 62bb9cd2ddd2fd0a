"""Text that is safe to print: names and values in spans are anyone's."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from agentcost_collector.model.printable import printable

__all__ = ["aligned", "amount", "printable"]


def amount(value: Decimal) -> str:
    """All digits that count, never in exponent form."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def aligned(facts: Iterable[tuple[str, object]]) -> str:
    """One fact a line: name, then value, in columns; both made `printable`."""
    pairs = [(printable(name), printable(str(value))) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)
