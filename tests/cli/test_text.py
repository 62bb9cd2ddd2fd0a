"""Nothing that comes from a span can steer a terminal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agentcost_collector.cli.text import aligned, amount, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé 漢字 🙂", "plain text, ünïcödé 漢字 🙂"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x9b31m", "31m"),
        ("a\nb\r\nc\td", "a b  c d"),
        ("bell\x07null\x00del\x7f", "bellnulldel"),
        ("abc\u202etxt.exe\u2066x\u200f", "abctxt.exex"),
        ("line\u2028break", "linebreak"),
        ("half\ud800pair", "halfpair"),
    ],
)
def test_controls_are_taken_out(text: str, shown: str) -> None:
    """Escapes, control characters and direction marks go, letters of any script stay."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("0.000350000000", "0.00035"), ("0E-12", "0"), ("7.896E-9", "0.000000007896"), ("100", "100")],
)
def test_amounts_are_whole(value: str, shown: str) -> None:
    """All digits that count, no exponent, no trailing zeros, and hundreds stay hundreds."""
    assert amount(Decimal(value)) == shown


def test_facts_stand_in_columns() -> None:
    """Values begin in one column; nothing gives nothing."""
    assert aligned([("a", 1), ("long name", "x")]) == "a          1\nlong name  x"
    assert aligned([]) == ""
