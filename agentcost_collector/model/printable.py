"""Text that is safe to print: names and values in spans are anyone's."""

from __future__ import annotations

from decimal import Decimal

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SURROGATES = range(0xD800, 0xE000)
_UNSAFE: dict[int, str | None] = {
    **dict.fromkeys([*_CONTROLS, *_DIRECTIONS, *_SURROGATES]),
    ord("\n"): " ",
    ord("\r"): " ",
    ord("\t"): " ",
}


def printable(text: str) -> str:
    """`text` on one line, without anything that moves the cursor or changes colour or direction."""
    return text.translate(_UNSAFE)


def amount(value: Decimal) -> str:
    """All digits that count, never in exponent form."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
