"""Amounts of all lines of all steps, by part of the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from agentcost_collector.model.reasons import CostReason
from agentcost_collector.model.units import LEAVES, Leaf
from agentcost_collector.price.amounts import amount, amounts, compile_rates, count
from agentcost_collector.price.plan import RateSet
from agentcost_collector.price.rates import Rate

PARTS = tuple(dict.fromkeys(leaf.part for leaf in LEAVES))
REASONS = tuple(CostReason)
NO_REASON = len(REASONS)


class Lines:
    """What came of every step; arrays by row."""

    def __init__(
        self,
        steps: pa.Table,
        quantities: Mapping[str, np.ndarray],
        sets: Sequence[RateSet],
        chosen: np.ndarray,
    ) -> None:
        self._steps, self._sets, self._chosen = steps, sets, chosen
        rows = steps.num_rows
        self.parts = {part: np.zeros(rows, dtype=np.int64) for part in PARTS}
        """Pico-dollars; not yet those of the `slow` rows."""
        self.slow = np.zeros(rows, dtype=bool)
        """The step needs integers beyond 64 bits."""
        self.priced = np.zeros(rows, dtype=bool)
        """Some quantity that is not zero has a rate."""
        self.charged = np.zeros(rows, dtype=bool)
        """Some quantity that is not zero has a rate that is not zero."""
        self.reason = np.full(rows, NO_REASON, dtype=np.int8)
        """Why a quantity that is not zero has no rate; the first in order of CostReason."""
        for slot, leaf in enumerate(LEAVES):
            if leaf.column in quantities:
                self._add(slot, leaf, quantities[leaf.column])
            elif not leaf.column:
                self._add(slot, leaf, self._of(slot, lambda r: r is not None).astype(np.int64))

    def exact(self, row: int) -> dict[str, int]:
        """Pico-dollars of one step by part, of any size."""
        parts = dict.fromkeys(PARTS, 0)
        for slot, leaf in enumerate(LEAVES):
            rate = self._sets[self._chosen[row]].rates[slot]
            if isinstance(rate, Rate):
                column, scale = leaf.column, _scale(leaf)
                quantity = count(self._steps.column(column), row, scale) if column else 1
                parts[leaf.part] += amount(quantity, rate, scale)
        return parts

    def _add(self, slot: int, leaf: Leaf, quantities: np.ndarray) -> None:
        some = quantities > 0
        if not some.any():
            return
        rates = [s.rates[slot] for s in self._sets]
        table = compile_rates([r if isinstance(r, Rate) else None for r in rates], _scale(leaf))
        found, slow = amounts(quantities, table, self._chosen)
        self.parts[leaf.part] += found
        self.slow |= slow
        self.priced |= some & self._of(slot, lambda r: isinstance(r, Rate))
        self.charged |= some & self._of(slot, lambda r: isinstance(r, Rate) and r.usd > 0)
        reasons = np.array([_code(r) for r in rates], dtype=np.int8)
        if (reasons < NO_REASON).any():
            worse = np.minimum(self.reason, reasons[self._chosen])
            self.reason = np.where(some, worse, self.reason)

    def _of(self, slot: int, holds: Callable[[Rate | CostReason | None], bool]) -> np.ndarray:
        """Whether something holds of the rate of each row."""
        found = np.array([holds(s.rates[slot]) for s in self._sets], dtype=bool)
        return np.asarray(found[self._chosen])


def _scale(leaf: Leaf) -> int:
    return 10**leaf.type.scale if pa.types.is_decimal(leaf.type) else 1


def _code(rate: Rate | CostReason | None) -> int:
    return REASONS.index(rate) if isinstance(rate, CostReason) else NO_REASON
