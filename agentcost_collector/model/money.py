"""Exact money. The only place that rounds or splits; no float comes near.

An amount is `decimal128(38, 12)`: US dollars to the pico-dollar. As an integer it is counted in
pico-dollars. Sums stay in decimal128(38, 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa

SCALE = 12
PICO = 10**SCALE
USD = pa.decimal128(38, SCALE)
QUANTITY = pa.decimal128(38, 9)

_WIDE = Context(prec=60)


def round_half_even(amount: Fraction) -> int:
    """Pico-dollars of an exact amount in dollars; ties go to the even neighbour."""
    return round(amount * PICO)


def usd(pico: int) -> Decimal:
    """Decimal dollars of an integer count of pico-dollars, always with 12 digits."""
    return Decimal(pico).scaleb(-SCALE, context=_WIDE)


def pico(amount: Decimal) -> int:
    """Pico-dollars of an amount in dollars of at most 12 decimals, exact at any size."""
    return int(amount.scaleb(SCALE, context=_WIDE))


def picos(amounts: pa.ChunkedArray) -> np.ndarray:
    """Pico-dollars of a USD column without NULLs, as integers of any size (dtype object)."""
    column = amounts.cast(USD).combine_chunks()
    if not len(column):
        return np.empty(0, object)
    words = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)
    low, high = words[column.offset : column.offset + len(column)].T
    exact: np.ndarray = high.astype(object) * 2**64 + low.view(np.uint64).astype(object)
    return exact


def decimals(
    scaled: np.ndarray, of_type: pa.Decimal128Type, valid: np.ndarray | None = None
) -> pa.Array:
    """A decimal column from int64 counts of its smallest digit; rows not `valid` are NULL."""
    low = np.ascontiguousarray(scaled, dtype=np.int64)
    words = np.empty((len(low), 2), dtype=np.int64)
    words[:, 0] = low
    words[:, 1] = low >> 63
    buffers = [None, pa.py_buffer(words)]
    if valid is not None and not valid.all():
        buffers[0] = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(of_type, len(low), buffers)


def split(total_pico: int, weights: Sequence[int]) -> list[int]:
    """Shares of `total_pico` by non-negative `weights`, adding up exactly (largest remainder).

    Ties go to the earlier share. Raises ValueError where all weights are zero.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("shares need non-negative weights that are not all zero")
    sign = -1 if total_pico < 0 else 1
    exact = [divmod(abs(total_pico) * w, whole) for w in weights]
    shares = [quotient for quotient, _ in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (-exact[i][1], i))
    for i in by_remainder[: abs(total_pico) - sum(shares)]:
        shares[i] += 1
    return [sign * s for s in shares]
