"""Quantities times rates, exactly, rounded half-even to the pico-dollar once per line.

Whole columns are computed in int64; a row whose product could leave int64 goes the slow way with
Python integers. Both ways give the same amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from agentcost_collector.model.money import PICO, round_half_even
from agentcost_collector.price.rates import Rate

_PRODUCT_MAX = (1 << 62) - 1
_LINE_MAX = 1 << 58  # so that the sum of all lines of a step stays in int64
_RULE_MAX = 1 << 60
_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one kind of quantity, one entry for each rate set, as integers.

    An amount is quantity * num / den pico-dollars; quantities above `most` go the slow way.
    """

    rates: tuple[Rate | None, ...]
    scale: int
    """Counts of one unit: 1 for tokens, 10**9 for decimals with 9 digits."""
    num: np.ndarray
    den: np.ndarray
    most: np.ndarray
    least: np.ndarray
    step: np.ndarray


def compile_rates(rates: Sequence[Rate | None], scale: int) -> Rates:
    """Integer form of the rates; None is a rate of nothing."""
    rows = [_integers(rate, scale) for rate in rates]
    columns = [np.array(c, dtype=np.int64) for c in zip(*rows, strict=True)]
    return Rates(tuple(rates), scale, *columns)


def amounts(quantities: np.ndarray, rates: Rates, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Pico-dollars of each quantity at its chosen rate, and the rows that must go the slow way.

    Quantities are not negative. Rows that must go the slow way have the amount 0.
    """
    num, most = rates.num[chosen], rates.most[chosen]
    billed = _billed(quantities, rates, chosen)
    slow = (billed > most) & (billed > 0)
    product = np.where(slow, 0, billed) * num
    if (rates.den == 1).all():
        return product, slow
    den = rates.den[chosen]
    whole, rest = np.divmod(product, den)
    up = (rest > den - rest) | ((rest == den - rest) & (whole & 1 == 1))
    return whole + up, slow


def amount(quantity: int, rate: Rate, scale: int) -> int:
    """Pico-dollars of one quantity, with integers of any size."""
    if not quantity:
        return 0
    billed = max(quantity, rate.min * scale)
    if rate.increment:
        step = rate.increment * scale
        billed = -(-billed // step) * step
    return round_half_even(Fraction(billed, scale) * rate.usd)


def counts(column: pa.ChunkedArray) -> np.ndarray:
    """A column of one chunk as int64 counts of its smallest digit; NULL is 0.

    Decimals beyond int64 become its greatest or least value; the greatest goes the slow way.
    """
    array = column.chunk(0)
    words = np.frombuffer(array.buffers()[1], dtype=np.int64)
    if pa.types.is_decimal(column.type):
        low, high = words.reshape(-1, 2)[array.offset : array.offset + len(array)].T
        edge = np.where(high < 0, _INT64.min, _INT64.max)
        found = np.where(high == low >> 63, low, edge)
    else:
        found = words[array.offset : array.offset + len(array)]
    if not array.null_count:
        return found
    return np.where(array.is_valid().to_numpy(zero_copy_only=False), found, 0)


def count(column: pa.ChunkedArray, row: int, scale: int) -> int:
    """As `counts` for one row, of any size."""
    return int(Fraction(column[row].as_py() or 0) * scale)


def _billed(quantities: np.ndarray, rates: Rates, chosen: np.ndarray) -> np.ndarray:
    """Quantities after minimum and increment; those beyond reason are left for the slow way."""
    if not (rates.least.any() or (rates.step > 1).any()):
        return quantities
    step, least = rates.step[chosen], rates.least[chosen]
    safe = (quantities > 0) & (quantities < _RULE_MAX)
    raised = np.maximum(quantities, least)
    raised = np.where(safe, -(-raised // step) * step, quantities)
    return np.where(safe, raised, quantities)


def _integers(rate: Rate | None, scale: int) -> tuple[int, int, int, int, int]:
    if rate is None:
        return 0, 1, _PRODUCT_MAX, 0, 1
    pico = rate.usd * PICO / scale
    num, den = pico.numerator, pico.denominator
    least, step = rate.min * scale, max(rate.increment * scale, 1)
    if max(num, den, least, step) > _RULE_MAX:
        return 1, 1, 0, 0, 1
    most = min(_PRODUCT_MAX, _LINE_MAX * den) // max(num, 1)
    return num, den, min(most, _RULE_MAX - 1), least, step
