"""Text that is safe to print: names and values in spans are anyone's."""

from __future__ import annotations

from collections.abc import Iterable

from agentcost_collector.model.printable import amount, printable

__all__ = ["aligned", "amount", "counted", "printable"]


def aligned(facts: Iterable[tuple[str, object]]) -> str:
    """One fact a line: name, then value, in columns; both made `printable`."""
    pairs = [(printable(name), printable(str(value))) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)


def counted(number: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
