"""What stands in a set of entries: originals and reversals netted out."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import CHARGES, SIGNED
from agentcost_collector.model.tables import conform, empty

CONTENT = CHARGES.names
"""A charge is known by all of these columns; equal in every one means the same charge."""

STANDING = pa.schema([*CHARGES, ("date", pa.date32()), ("net", pa.int64())])
"""A charge, the day it is filed under, and how many times it stands. In a sound ledger each
charge is one row with net 1."""


def standing_charges(entries: pa.Table) -> pa.Table:
    """STANDING rows of ENTRIES, those with net 0 left out. Reversals cost 10 us an entry."""
    originals = entries.filter(pc.greater(entries["sign"], 0))
    reversals = negated(entries.filter(pc.less(entries["sign"], 0)))
    keys = [*CONTENT, "date"]
    rows = pa.concat_tables([originals, reversals]).select([*keys, "sign"])
    rows = rows.rename_columns([*keys, "net"])
    if not reversals.num_rows:  # nothing to net out: grouping is the dear part
        return conform(rows, STANDING)
    return net_of(rows, keys, [])


def net_of(rows: pa.Table, keys: list[str], largest: list[str]) -> pa.Table:
    """One row per distinct `keys` whose `net` does not add up to 0, in order of appearance.

    Columns `largest` (not in `keys`) take their greatest value in each group.
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
