"""What stands in a set of entries: originals and reversals netted out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import CHARGES, SIGNED
from agentcost_collector.model.tables import concat, conform, empty

CONTENT = CHARGES.names
"""A charge is known by all of these columns; equal in every one means the same charge."""

STANDING = pa.schema([*CHARGES, ("date", pa.date32()), ("net", pa.int64())])
"""A charge, the day it is filed under, and how many times it stands. In a sound ledger each
charge is one row with net 1."""

_KEYS = [*CONTENT, "date"]


def standing_charges(entries: pa.Table) -> pa.Table:
    """STANDING rows of ENTRIES, those with net 0 left out.

    A step mostly has one row; with a history it has a row, its reversal, the next row and so on:
    then the last row stands. Only what is not so is grouped.
    """
    sign = entries["sign"].to_numpy()
    if (sign > 0).all():  # nothing to net out
        return _original(entries)
    entries = entries.combine_chunks()
    last, others = _last_of_histories(entries, sign)
    standing = _original(entries.take(pa.array(last)))
    if not len(others):
        return standing
    rest = entries.take(pa.array(others))
    minus = pc.less(rest["sign"], 0)
    parts = [rest.filter(pc.invert(minus)), negated(rest.filter(minus))]
    netted = net_of(concat(map(_original, parts), STANDING), _KEYS, [])
    return concat([standing, netted], STANDING)


def net_of(rows: pa.Table, keys: list[str], largest: list[str]) -> pa.Table:
    """One row per distinct `keys` whose `net` does not add up to 0, in order of appearance.

    Columns `largest` (not in `keys`) take their greatest value in each group. 10 us a row.
    """
    if not rows.num_rows:
        return empty(STANDING)
    used = [name for name in keys if rows[name].null_count < rows.num_rows]  # half are all NULL
    sums = [("net", "sum"), *((name, "max") for name in largest)]
    grouped = rows.group_by(used, use_threads=False).aggregate(sums)
    grouped = grouped.rename_columns([*used, "net", *largest])
    return conform(grouped.filter(pc.not_equal(grouped["net"], 0)), STANDING)


def negated(rows: pa.Table) -> pa.Table:
    """`rows` with every SIGNED column negated; NULL stays NULL."""
    for at, field in enumerate(rows.schema):
        if field.name in SIGNED:
            rows = rows.set_column(at, field, pc.negate(rows.column(at)))
    return rows


def same_rows(one: pa.Table, other: pa.Table, names: Sequence[str]) -> np.ndarray:
    """For each row, whether `one` and `other` agree in every column of `names`; NULL is NULL."""
    same = np.ones(one.num_rows, bool)
    for name in names:
        same &= _same(one[name], other[name])
    return same


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> np.ndarray | bool:
    if a.equals(b):  # columns mostly agree whole, and that is seen fastest
        return True
    equal = pc.fill_null(pc.equal(a, b), False)
    both_null = pc.and_(pc.is_null(a), pc.is_null(b))
    rows: np.ndarray = pc.or_(equal, both_null).to_numpy()
    return rows


def _original(entries: pa.Table) -> pa.Table:
    rows = entries.select([*_KEYS, "sign"]).rename_columns([*_KEYS, "net"])
    return conform(rows, STANDING)


def _last_of_histories(entries: pa.Table, sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of steps where each reversal cancels the row before it: the rows that stand. Of all other
    steps: every row. Both rise."""
    step = pc.dictionary_encode(entries["step_id"].combine_chunks()).indices.to_numpy()
    booked_at = entries["booked_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((entries["row_no"].to_numpy(), booked_at, step))
    begins = np.append(True, step[order[1:]] != step[order[:-1]])
    starts = np.flatnonzero(begins)
    nth = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    sound = np.where(nth % 2, -1, 1) == sign[order]
    pair = np.flatnonzero((sign[order] < 0) & ~begins)
    sound[pair] &= _cancels(entries, order[pair], order[pair - 1])
    is_sound = np.logical_and.reduceat(sound, starts)[np.cumsum(begins) - 1]
    stands = is_sound & np.append(begins[1:], True) & (sign[order] > 0)
    return np.sort(order[stands]), np.sort(order[~is_sound])


def _cancels(entries: pa.Table, reversals: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """For each pair of rows, whether the first is exactly the reversal of the second."""
    cancels = np.ones(len(reversals), bool)
    minus, plus = pa.array(reversals), pa.array(originals)
    for name in _KEYS:
        column = entries[name]
        if column.null_count < len(column):
            reversal = column.take(minus)
            cancels &= _same(pc.negate(reversal) if name in SIGNED else reversal, column.take(plus))
    return cancels
