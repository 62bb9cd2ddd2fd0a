"""Splits the difference between two sums of money into causes, with nothing left over.

A cost is taken as a product along a tree: how much was done, which share of it in each branch
(levels of LEVELS), how many failed steps came on top, how many tokens a step took, and what a token
cost. The factors are changed from one side to the other one after another, in the order of CAUSES;
what the sum moves by at each is that cause. So all of them add up, whatever the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from agentcost_collector.model.money import round_half_even

LEVELS = ("feature_mix", "tenant_mix", "tool_mix", "model_mix")
"""Shares of what was done: of features, tenants, kinds and tools, models."""

CAUSES = ("volume", *LEVELS, "retries", "tokens_per_step", "price")
"""In the order in which they are changed."""

_RETRIES, _TOKENS, _PRICE = (CAUSES.index(x) for x in ("retries", "tokens_per_step", "price"))
_SIDES = (0, 1)


@dataclass(frozen=True)
class Work:
    """Steps that ended alike: all of them well, or all of them failed."""

    steps: int
    tokens: Sequence[int]
    """In classes that have prices of their own."""
    costs: Sequence[Fraction]
    """Dollars of each class."""


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


@dataclass
class _Node:
    weights: list[Fraction] = field(default_factory=lambda: [Fraction(0), Fraction(0)])
    children: dict[str | None, _Node] = field(default_factory=dict)
    cells: dict[int, Cell] = field(default_factory=dict)

    def share(self, of: _Node, side: int) -> Fraction:
        """Of a child; where nothing was done here on this side, as on the other."""
        side = side if self.weights[side] else 1 - side
        return of.weights[side] / self.weights[side]


def causes(
    base: Iterable[Cell], head: Iterable[Cell], scale: Fraction = Fraction(1)
) -> Mapping[str, int]:
    """CAUSES in pico-dollars: what the cost of `head` is more than `scale` times that of `base`.

    They add up to that difference, rounded. What only one side has counts as its share, or, where
    one side has nothing at all, as volume.
    """
    root = _Node()
    for side, cells, by in ((0, base, scale), (1, head, Fraction(1))):
        for cell in cells:
            _add(root, cell, side, by)
    sums = [round_half_even(_cost(root, moved)) for moved in range(len(CAUSES) + 1)]
    return {name: sums[at + 1] - sums[at] for at, name in enumerate(CAUSES)}


def _add(root: _Node, cell: Cell, side: int, scale: Fraction) -> None:
    node = root
    node.weights[side] += cell.weight * scale
    for value in cell.path:
        node = node.children.setdefault(value, _Node())
        node.weights[side] += cell.weight * scale
    node.cells[side] = cell


def _cost(root: _Node, moved: int) -> Fraction:
    """Dollars where the first `moved` of CAUSES are as in head, the others as in base."""
    volume = root.weights[_side(0, moved)]
    return volume * _each(root, 1, moved) if volume else Fraction(0)


def _each(node: _Node, cause: int, moved: int) -> Fraction:
    """Dollars for one unit of what was done in a branch."""
    if node.cells:
        return _leaf(node.cells, moved)
    side = _side(cause, moved)
    total = Fraction(0)
    for child in node.children.values():
        share = node.share(child, side)
        if share:
            total += share * _each(child, cause + 1, moved)
    return total


def _leaf(cells: Mapping[int, Cell], moved: int) -> Fraction:
    counted = cells.get(_side(_RETRIES, moved)) or next(iter(cells.values()))
    total = Fraction(0)
    for name in ("done", "failed"):
        steps = getattr(counted, name).steps
        if steps:
            both = [getattr(cells[side], name) if side in cells else NO_WORK for side in _SIDES]
            total += Fraction(steps, counted.weight) * _step(both, moved)
    return total


def _step(both: Sequence[Work], moved: int) -> Fraction:
    """Dollars of one step: tokens for a step times dollars for a token, over all classes."""
    known = [work for work in both if work.steps]
    total = Fraction(0)
    for of in range(len(known[0].tokens)):
        if any(work.costs[of] and not work.tokens[of] for work in known):
            work = _at(both, _side(_PRICE, moved))
            total += work.costs[of] / work.steps
            continue
        counted = _at(both, _side(_TOKENS, moved))
        side = _side(_PRICE, moved)
        with_tokens = [
            work for work in (both[side], both[1 - side]) if work.steps and work.tokens[of]
        ]
        if with_tokens:
            price = with_tokens[0].costs[of] / with_tokens[0].tokens[of]
            total += Fraction(counted.tokens[of], counted.steps) * price
    return total


def _at(both: Sequence[Work], side: int) -> Work:
    """Of a side, or of the other where that has none."""
    return both[side] if both[side].steps else both[1 - side]


def _side(cause: int, moved: int) -> int:
    return 1 if cause < moved else 0
