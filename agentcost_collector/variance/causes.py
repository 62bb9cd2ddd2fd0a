"""Splits the difference between two sums of money into causes, with nothing left over.

A cost is taken as a product along a tree: how much was done, which share of it in each branch
(levels of LEVELS), how many failed steps came on top, how many tokens a step took, and what a token
cost. The factors are changed from one side to the other one after another, in the order of CAUSES;
what the sum moves by at each is that cause. So all of them add up, whatever the numbers are. The
sums in between are worked out in integers with 40 decimals, the first and the last one exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

LEVELS = ("feature_mix", "tenant_mix", "tool_mix", "model_mix")
"""Shares of what was done: of features, tenants, kinds and tools, models."""

CAUSES = ("volume", *LEVELS, "retries", "tokens_per_step", "price")
"""In the order in which they are changed."""

_RETRIES, _TOKENS, _PRICE = (CAUSES.index(x) for x in ("retries", "tokens_per_step", "price"))
_SIDES = (0, 1)
_ONE = 10**40


@dataclass(frozen=True)
class Work:
    """Steps that ended alike: all of them well, or all of them failed."""

    steps: int
    tokens: Sequence[int]
    """In classes that have prices of their own."""
    costs: Sequence[int]
    """Pico-dollars of each class."""


NO_WORK = Work(0, (), ())


@dataclass(frozen=True)
class Cell:
    """One branch of the tree on one side."""

    path: tuple[str | None, ...]
    """Its value at each of LEVELS."""
    done: Work
    failed: Work

    @property
    def weight(self) -> int:
        """How much was done: steps that did not fail; where all failed, those."""
        return self.done.steps or self.failed.steps

    @property
    def cost(self) -> int:
        """Pico-dollars of all of it."""
        return sum(self.done.costs) + sum(self.failed.costs)


@dataclass
class _Node:
    weights: list[int] = field(default_factory=lambda: [0, 0])
    children: dict[str | None, _Node] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)
    each: list[int] = field(default_factory=list)
    """Of a cell: pico-dollars for one unit of it, times _ONE, where none, one, two or three of the
    last three causes are moved."""

    def share(self, of: _Node, side: int) -> int:
        """Of a child, times _ONE; where nothing was done here on this side, as on the other."""
        side = side if self.weights[side] else 1 - side
        return of.weights[side] * _ONE // self.weights[side]


def causes(
    base: Iterable[Cell], head: Iterable[Cell], scale: Fraction = Fraction(1)
) -> Mapping[str, int]:
    """CAUSES in pico-dollars: what the cost of `head` is more than `scale` times that of `base`.

    They add up to that difference, rounded. What only one side has counts as its share, or, where
    one side has nothing at all, as volume.
    """
    root = _Node()
    costs = [0, 0]
    for side, cells in ((0, base), (1, head)):
        for cell in cells:
            _add(root, cell, side)
            costs[side] += cell.cost
    between = [_cost(root, moved, scale) for moved in range(1, len(CAUSES))]
    sums = [round(costs[0] * scale), *between, costs[1]]
    return {name: sums[at + 1] - sums[at] for at, name in enumerate(CAUSES)}


def _add(root: _Node, cell: Cell, side: int) -> None:
    node = root
    node.weights[side] += cell.weight
    for value in cell.path:
        node = node.children.setdefault(value, _Node())
        node.weights[side] += cell.weight
    node.cells[side] = cell


def _cost(root: _Node, moved: int, scale: Fraction) -> int:
    """Pico-dollars where the first `moved` of CAUSES are as in head, the others as in base."""
    side = _side(0, moved)
    volume = root.weights[side] * (Fraction(1) if side else scale)
    if not volume:
        return 0
    return round(volume * _each(root, 1, moved) / _ONE)


def _each(node: _Node, cause: int, moved: int) -> int:
    """Pico-dollars for one unit of what was done in a branch, times _ONE."""
    if node.cells:
        node.each = node.each or [_leaf(node.cells, _RETRIES + n) for n in range(4)]
        return node.each[max(0, moved - _RETRIES)]
    side = _side(cause, moved)
    total = 0
    for child in node.children.values():
        share = node.share(child, side)
        if share:
            total += share * _each(child, cause + 1, moved) // _ONE
    return total


def _leaf(cells: Mapping[int, Cell], moved: int) -> int:
    if len(cells) == 1 or moved in (_RETRIES, len(CAUSES)):  # all of it is of one side
        (cell,) = cells.values() if len(cells) == 1 else (cells[_side(_RETRIES, moved)],)
        return cell.cost * _ONE // cell.weight
    counted = cells[_side(_RETRIES, moved)]
    total = 0
    for name in ("done", "failed"):
        steps = getattr(counted, name).steps
        if steps:
            both = [getattr(cells[side], name) for side in _SIDES]
            total += steps * _step(both, moved) // counted.weight
    return total


def _step(both: Sequence[Work], moved: int) -> int:
    """Pico-dollars of one step, times _ONE: tokens for a step times the price of a token, over all
    classes."""
    known = [work for work in both if work.steps]
    total = 0
    for of in range(len(known[0].tokens)):
        if any(work.costs[of] and not work.tokens[of] for work in known):
            work = _at(both, _side(_PRICE, moved))
            total += work.costs[of] * _ONE // work.steps
            continue
        counted = _at(both, _side(_TOKENS, moved))
        side = _side(_PRICE, moved)
        priced = next((w for w in (both[side], both[1 - side]) if w.steps and w.tokens[of]), None)
        if priced:
            amount = counted.tokens[of] * priced.costs[of] * _ONE
            total += amount // (counted.steps * priced.tokens[of])
    return total


def _at(both: Sequence[Work], side: int) -> Work:
    """Of a side, or of the other where that has none."""
    return both[side] if both[side].steps else both[1 - side]


def _side(cause: int, moved: int) -> int:
    return 1 if cause < moved else 0
