"""What stands in a set of entries: originals and reversals netted out."""

from __future__ import annotations

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
_BOOKED_IN_ORDER = ("step_id", "booked_at", "row_no")


def standing_charges(entries: pa.Table) -> pa.Table:
    """STANDING rows of ENTRIES, those with net 0 left out.

    Steps that were never reversed pass as they are. A step with a history is mostly a row, its
    reversal, the next row and so on: then the last row stands. Only what is not so is grouped.
    """
    reversed_ids = pc.unique(entries.filter(pc.less(entries["sign"], 0))["step_id"])
    if not len(reversed_ids):  # nothing to net out: grouping is the dear part
        return _original(entries)
    corrected = pc.is_in(entries["step_id"], value_set=reversed_ids)
    last, other = _last_of_histories(entries.filter(corrected))
    return concat([_original(entries.filter(pc.invert(corrected))), last, other], STANDING)


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
    for name in SIGNED:
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pc.negate(rows.column(at)))
    return rows


def same_rows(one: pa.Table, other: pa.Table, names: list[str]) -> np.ndarray:
    """For each row, whether `one` and `other` agree in every column of `names`; NULL is NULL."""
    same = np.ones(one.num_rows, bool)
    for name in names:
        a, b = one[name], other[name]
        if not a.equals(b):  # columns mostly agree whole, and that is seen fastest
            equal = pc.fill_null(pc.equal(a, b), False)
            both_null = pc.and_(pc.is_null(a), pc.is_null(b))
            same &= pc.or_(equal, both_null).to_numpy()
    return same


def _original(entries: pa.Table) -> pa.Table:
    rows = entries.select([*_KEYS, "sign"]).rename_columns([*_KEYS, "net"])
    return conform(rows, STANDING)


def _last_of_histories(entries: pa.Table) -> tuple[pa.Table, pa.Table]:
    """STANDING of steps where each reversal cancels the row before it, and of all others."""
    order = pc.sort_indices(entries, sort_keys=[(name, "ascending") for name in _BOOKED_IN_ORDER])
    entries = entries.take(order).combine_chunks()
    ids, sign = entries["step_id"].combine_chunks(), entries["sign"].to_numpy()
    begins = np.concatenate([[True], pc.not_equal(ids[1:], ids[:-1]).to_numpy(False)])
    step = np.cumsum(begins) - 1
    nth = np.arange(len(step)) - np.flatnonzero(begins)[step]
    sound = np.where(nth % 2, -1, 1) == sign
    minus = np.flatnonzero(sign < 0)
    reversals = negated(entries.take(pa.array(minus)))
    rows = entries.take(pa.array(np.maximum(minus - 1, 0)))
    sound[minus] &= same_rows(reversals, rows, _KEYS)
    is_sound = np.logical_and.reduceat(sound, np.flatnonzero(begins))[step]
    stands = is_sound & np.append(begins[1:], True) & (sign > 0)
    rest = entries.filter(pa.array(~is_sound))
    minus_rest = pc.less(rest["sign"], 0)
    both = [
        _original(rest.filter(pc.invert(minus_rest))),
        _original(negated(rest.filter(minus_rest))),
    ]
    return _original(entries.filter(pa.array(stands))), net_of(concat(both, STANDING), _KEYS, [])
