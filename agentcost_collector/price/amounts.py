"""Quantities times rates, exactly, rounded half-even to the pico-dollar once per line.

Whole columns are computed in int64; a row whose product could leave int64 goes the slow way with
Python integers. Both ways give the same amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

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


def amount(quantity: int, rate: Rate, scale: int, total: int) -> int:
    """Pico-dollars of one quantity, with integers of any size; `total` is what bands measure."""
    return round_half_even(billed_units(quantity, rate, scale) * dollars(rate, total))


def billed_units(quantity: int, rate: Rate, scale: int) -> Fraction:
    """The units that are charged for: after minimum and increment, zero for zero."""
    units = Fraction(quantity, scale)
    if not units:
        return units
    units = max(units, rate.min)
    return -(-units // rate.increment) * rate.increment if rate.increment else units


def dollars(rate: Rate, total: int) -> Fraction:
    """Price of one unit; in mode `excess` the mean of the bands by what lies in each."""
    if rate.mode != "excess" or total <= 0:
        return rate.usd
    edges = [max(low - 1, 0) for low, _ in rate.bands] + [total]
    shares = [max(min(high, total) - low, 0) for low, high in pairwise(edges)]
    return sum(
        (Fraction(share, total) * usd for share, (_, usd) in zip(shares, rate.bands, strict=True)),
        Fraction(0),
    )


def over_period(before: Fraction, units: Fraction, rate: Rate) -> Fraction:
    """Dollars of units of a period that come after `before` others, at the price of their bands;
    in mode `period_volume` the last unit's band has the price of all."""
    if rate.mode == "period_volume":
        reached = [usd for low, usd in rate.bands if low <= before + units]
        return units * reached[-1]
    end = before + units
    lows = [Fraction(max(low - 1, 0)) for low, _ in rate.bands]
    total = Fraction(0)
    for (_, usd), low, high in zip(rate.bands, lows, [*lows[1:], end], strict=True):
        share = min(end, high) - max(low, before)
        total += max(share, Fraction(0)) * usd
    return total


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
    minimum, increment = rate.min * scale, rate.increment * scale or Fraction(1)
    least, step = int(minimum), int(increment)
    if rate.mode == "excess" or minimum != least or increment != step:
        return 1, 1, 0, 0, 1
    if max(num, den, least, step) > _RULE_MAX:
        return 1, 1, 0, 0, 1
    most = min(_PRODUCT_MAX, _LINE_MAX * den) // max(num, 1)
    return num, den, min(most, _RULE_MAX - 1), least, step
