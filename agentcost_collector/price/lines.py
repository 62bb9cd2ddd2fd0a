"""Amounts of all lines of all steps, by part of the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from agentcost_collector.model.reasons import CostReason
from agentcost_collector.model.units import INPUT_TOTAL, LEAVES, Leaf
from agentcost_collector.price.amounts import amount, amounts, compile_rates, count
from agentcost_collector.price.plan import Slots
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
        sets: Sequence[Slots],
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

        self.corrected = {row: self._exact(row) for row in np.flatnonzero(self.slow).tolist()}
        """Pico-dollars of the `slow` rows by part, of any size."""

    def _exact(self, row: int) -> dict[str, int]:
        parts = dict.fromkeys(PARTS, 0)
        total = prompt_total(self._steps, row)
        for leaf, rate in zip(LEAVES, self._sets[self._chosen[row]], strict=True):
            if isinstance(rate, Rate):
                quantity = quantity_of(self._steps, leaf, row)
                parts[leaf.part] += amount(quantity, rate, scale_of(leaf), total)
        return parts

    def _add(self, slot: int, leaf: Leaf, quantities: np.ndarray) -> None:
        some = quantities > 0
        if not some.any():
            return
        rates = [slots[slot] for slots in self._sets]
        table = compile_rates([r if isinstance(r, Rate) else None for r in rates], scale_of(leaf))
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
        found = np.array([holds(slots[slot]) for slots in self._sets], dtype=bool)
        return np.asarray(found[self._chosen])


def quantity_of(steps: pa.Table, leaf: Leaf, row: int) -> int:
    """What a step counts, in the smallest digit of its column; the step itself counts once."""
    return count(steps.column(leaf.column), row, scale_of(leaf)) if leaf.column else 1


def prompt_total(steps: pa.Table, row: int) -> int:
    """The whole prompt of one step, of any size."""
    return sum(count(steps.column(name), row, 1) for name in INPUT_TOTAL)


def scale_of(leaf: Leaf) -> int:
    """Counts of one unit: 1 for tokens, 10**9 for decimals with 9 digits."""
    return 10**leaf.type.scale if pa.types.is_decimal(leaf.type) else 1


def _code(rate: Rate | CostReason | None) -> int:
    return REASONS.index(rate) if isinstance(rate, CostReason) else NO_REASON
