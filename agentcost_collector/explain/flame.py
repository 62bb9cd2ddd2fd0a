"""The cost along the paths: collapsed stacks, and a flame graph as one SVG."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from agentcost_collector.model.money import pico, usd
from agentcost_collector.model.printable import amount, printable

Stack = tuple[str, ...]

_WIDTH = 12_000  # tenths of a unit of the picture
_ROW = 18
_LETTER = 66  # tenths of a unit that a letter of a label takes
_NARROWEST = 2  # tenths of a unit; what is narrower is not drawn
_NOT_XML = {0xFFFE: None, 0xFFFF: None}


def fold(charges: Iterable[Mapping[str, Any]]) -> dict[Stack, int]:
    """Pico-dollars per stack of span names from the root, sorted; only what cost more than 0.

    Names are on one line and without ";". Stacks that then read alike are one.
    """
    stacks: dict[Stack, int] = defaultdict(int)
    for charge in charges:
        if charge["cost_usd"] is not None:
            names = (charge["path"] or "").split(";")
            stacks[tuple(_name(name) for name in names)] += pico(charge["cost_usd"])
    return {stack: cost for stack, cost in sorted(stacks.items()) if cost > 0}


def folded_lines(stacks: Mapping[Stack, int]) -> Iterator[str]:
    """`root;child;leaf 2100000000`: the last word is the cost of that stack in pico-dollars."""
    for stack, cost in stacks.items():
        yield f"{';'.join(stack)} {cost}"


def svg(stacks: Mapping[Stack, int], title: str, caption: Sequence[str]) -> str:
    """A picture that needs nothing else: the root on top, width by cost, each box with a title.

    `stacks` as `fold` gives them, sorted. `title` and the lines of `caption` stand above.
    """
    total = sum(stacks.values())
    boxes = list(_boxes(stacks))
    top = _ROW * (len(caption) + 2)
    height = top + _ROW * (max((len(stack) for stack, _, _ in boxes), default=0) + 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH // 10} {height}"'
        f' width="{_WIDTH // 10}" height="{height}" role="img"'
        ' font-family="monospace" font-size="11">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{_WIDTH // 10}" height="{height}" fill="#ffffff"/>',
    ]
    for number, line in enumerate([title, *caption], 1):
        lines.append(f'<text x="4" y="{number * _ROW - 4}">{_text(line)}</text>')
    for stack, start, cost in boxes:
        left, right = start * _WIDTH // total, (start + cost) * _WIDTH // total
        if right - left >= _NARROWEST:
            lines.append(_box(stack, left, right - left, top, cost))
    return "\n".join([*lines, "</svg>", ""])


def _boxes(stacks: Mapping[Stack, int]) -> Iterator[tuple[Stack, int, int]]:
    """Every beginning of a stack: where it starts and what it costs, in pico-dollars. In sorted
    order all stacks with one beginning are neighbours."""
    starts: dict[Stack, int] = {}
    costs: dict[Stack, int] = defaultdict(int)
    at = 0
    for stack, cost in stacks.items():
        for length in range(1, len(stack) + 1):
            starts.setdefault(stack[:length], at)
            costs[stack[:length]] += cost
        at += cost
    for stack, start in starts.items():
        yield stack, start, costs[stack]


def _box(stack: Stack, left: int, width: int, top: int, cost: int) -> str:
    x, y = _tenths(left), top + (len(stack) - 1) * _ROW
    name = stack[-1]
    letters = (width - 60) // _LETTER
    label = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 2 else ""
    hue = zlib.crc32(name.encode()) % 40 + 20
    return (
        f"<g><title>{_text(name)}: ${amount(usd(cost))}</title>"
        f'<rect x="{x}" y="{y}" width="{_tenths(width)}" height="{_ROW - 1}"'
        f' fill="hsl({hue},80%,75%)" stroke="#ffffff" stroke-width="0.5"/>'
        f'<text x="{_tenths(left + 30)}" y="{y + 13}">{_text(label)}</text></g>'
    )


def _tenths(value: int) -> str:
    return f"{value // 10}.{value % 10}"


def _name(name: str) -> str:
    return printable(name).strip() or "(no name)"


def _text(text: str) -> str:
    return escape(printable(text).translate(_NOT_XML))
