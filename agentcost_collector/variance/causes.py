"""Splits the difference between two sums of money into causes, with nothing left over.

A cost is taken as a product along a tree: how much was done, which share of it in each branch
(levels of LEVELS), how many failed steps came on top, how many tokens a step took, and what a token
cost. The factors are changed from one side to the other one after another, in the order of CAUSES;
what the sum moves by at each is that cause. So all of them add up, whatever the numbers are. The
sums in between are worked out in integers with 40 decimals, the first and the last one exactly.

Integers of any size are kept in arrays of `object`: one row per branch, all trees at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

LEVELS = ("feature_mix", "tenant_mix", "tool_mix", "model_mix")
"""Shares of what was done: of features, tenants, kinds and tools, models."""

CAUSES = ("volume", *LEVELS, "retries", "tokens_per_step", "price")
"""In the order in which they are changed."""

BASE, HEAD = 0, 1
DONE, FAILED = 0, 1

_RETRIES = CAUSES.index("retries")
_ONE = 10**40


@dataclass(frozen=True)
class Branches:
    """Row = leaf of a tree, sorted by `of`; no two alike.

    Of each side (BASE, HEAD) and for steps that ended alike (DONE, FAILED): how many, their tokens
    in classes with prices of their own, and pico-dollars of each class.
    """

    of: np.ndarray
    """int64, rows x (1 + LEVELS): number of the tree, from 0 on, and codes of each level."""
    steps: np.ndarray
    """Integers as objects, rows x 2 x 2."""
    tokens: np.ndarray
    """Integers as objects, rows x 2 x 2 x classes."""
    costs: np.ndarray
    """Integers as objects, rows x 2 x 2 x classes."""

    def cost(self) -> np.ndarray:
        """Pico-dollars of each tree, trees x 2."""
        return _sums(self.costs.sum(axis=(2, 3)), _starts(self.of, 0))


def causes(branches: Branches, scales: Sequence[Fraction]) -> np.ndarray:
    """Trees x CAUSES, pico-dollars as objects: what the cost of HEAD is more than that of BASE
    times the scale of the tree.

    They add up to that difference, rounded. What only one side has counts as its share, or, where
    one side has nothing at all, as volume.
    """
    cost = branches.cost()
    sums = np.empty((len(cost), len(CAUSES) + 1), object)
    sums[:, 0] = [round(base * scale) for base, scale in zip(cost[:, BASE], scales, strict=True)]
    sums[:, -1] = cost[:, HEAD]
    volume, each = _each(branches, _weights(branches.steps))
    for moved, of_one in each.items():
        sums[:, moved] = [round(Fraction(v * e, _ONE)) for v, e in zip(volume, of_one, strict=True)]
    return np.diff(sums, axis=1)


def _each(branches: Branches, weights: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """What was done in HEAD in each tree, and pico-dollars for one unit of it, times _ONE, where
    the first 1, 2, ... of CAUSES are as in HEAD and the others as in BASE.

    From the leaves up. At a level, what is moved above it makes no difference.
    """
    each = dict(enumerate(_leaves(branches, weights), start=_RETRIES))
    of = branches.of
    for level in reversed(range(len(LEVELS))):
        starts = _starts(of, level)
        above = _sums(weights, starts)
        parent = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(weights))))
        shares = [_shares(weights, above[parent], side) for side in (BASE, HEAD)]
        cause = level + 1
        each = {
            moved: _sums(shares[cause < moved] * each[max(moved, cause + 1)] // _ONE, starts)
            for moved in range(cause, len(CAUSES))
        }
        weights, of = above, of[starts]
    return weights[:, HEAD], each


def _leaves(branches: Branches, weights: np.ndarray) -> list[np.ndarray]:
    """For one unit of each leaf: with failed steps, tokens and prices of BASE; failed steps moved;
    tokens too. What only one side has is always of that side."""
    costs = branches.costs.sum(axis=(2, 3))
    has = weights != 0
    side = np.where(has[:, BASE], BASE, HEAD)
    rows = np.arange(len(side))
    before = costs[rows, side] * _ONE // _divisor(weights[rows, side])
    both = np.flatnonzero(has.all(axis=1))
    leaves = [before]
    for tokens_of in (BASE, HEAD):
        moved = before.copy()
        moved[both] = _moved(branches, weights, both, tokens_of)
        leaves.append(moved)
    return leaves


def _moved(branches: Branches, weights: np.ndarray, rows: np.ndarray, tokens_of: int) -> np.ndarray:
    """Of leaves that both sides have: failed steps of HEAD, tokens of that side, prices of BASE."""
    total = np.zeros(len(rows), object)
    for kind in (DONE, FAILED):
        at = np.flatnonzero(branches.steps[rows, HEAD, kind] != 0)
        of = rows[at]
        steps, tokens, costs = (
            values[of, :, kind] for values in (branches.steps, branches.tokens, branches.costs)
        )
        step = sum(
            _of_class(steps, tokens[:, :, n], costs[:, :, n], tokens_of)
            for n in range(tokens.shape[2])
        )
        total[at] += steps[:, HEAD] * step // _divisor(weights[of, HEAD])
    return total


def _of_class(
    steps: np.ndarray, tokens: np.ndarray, costs: np.ndarray, tokens_of: int
) -> np.ndarray:
    """Pico-dollars of one class for one step, times _ONE; all arrays are rows x 2, HEAD has steps.

    Tokens of a step times the price of a token; where a side has a cost without tokens, that of a
    step. What BASE has no steps or no tokens of is taken from HEAD.
    """
    rows = np.arange(len(steps))
    known = steps != 0
    base = np.where(known[:, BASE], BASE, HEAD)
    flat = costs[rows, base] * _ONE // _divisor(steps[rows, base])
    counted = base if tokens_of == BASE else np.full(len(rows), HEAD)
    priced = np.where(known[:, BASE] & (tokens[:, BASE] != 0), BASE, HEAD)
    amount = tokens[rows, counted] * costs[rows, priced] * _ONE
    by_token = amount // _divisor(steps[rows, counted] * tokens[rows, priced])
    no_tokens = tokens[rows, priced] == 0
    is_flat = (known & (costs != 0) & (tokens == 0)).any(axis=1)
    result: np.ndarray = np.where(is_flat, flat, np.where(no_tokens, 0, by_token))
    return result


def _weights(steps: np.ndarray) -> np.ndarray:
    """How much was done: steps that did not fail; where all failed, those. Rows x 2."""
    done: np.ndarray = np.where(steps[:, :, DONE] != 0, steps[:, :, DONE], steps[:, :, FAILED])
    return done


def _shares(weights: np.ndarray, whole: np.ndarray, side: int) -> np.ndarray:
    """Times _ONE; where nothing was done above on this side, as on the other."""
    sides = np.where(whole[:, side] != 0, side, 1 - side)
    rows = np.arange(len(sides))
    shares: np.ndarray = weights[rows, sides] * _ONE // _divisor(whole[rows, sides])
    return shares


def _divisor(values: np.ndarray) -> np.ndarray:
    """Without zeros: what is divided by them is zero too, or not used."""
    divisor: np.ndarray = np.where(values == 0, 1, values)
    return divisor


def _starts(of: np.ndarray, level: int) -> np.ndarray:
    """Rows at which the first `level` + 1 columns change, the first row among them."""
    changes = (of[1:, : level + 1] != of[:-1, : level + 1]).any(axis=1)
    return np.flatnonzero(np.append(True, changes)[: len(of)])


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    sums: np.ndarray = np.add.reduceat(values, starts, axis=0) if len(starts) else values[:0]
    return sums
