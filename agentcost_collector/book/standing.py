"""What stands in a set of entries: originals and reversals netted out."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import CHARGES, SIGNED

CONTENT = CHARGES.names
"""A charge is known by all of these columns; equal in every one means the same charge."""

STANDING = pa.schema([*CHARGES, ("date", pa.date32()), ("net", pa.int64())])
"""A charge, the day it is filed under, and how many times it stands (1 in a sound ledger)."""


def standing_charges(entries: pa.Table) -> pa.Table:
    """STANDING rows of ENTRIES, those with net 0 left out. Cost: about 10 us an entry."""
    originals = entries.filter(pc.greater(entries["sign"], 0))
    reversals = negated(entries.filter(pc.less(entries["sign"], 0)))
    keys = [*CONTENT, "date"]
    rows = pa.concat_tables([originals, reversals]).select([*keys, "sign"])
    return net_of(rows.rename_columns([*keys, "net"]), keys, [])


def net_of(rows: pa.Table, keys: list[str], largest: list[str]) -> pa.Table:
    """One row per distinct `keys` whose `net` does not add up to 0, in order of appearance.

    Columns `largest` (not in `keys`) take their greatest value in each group.
    """
    sums = [("net", "sum"), *((name, "max") for name in largest)]
    grouped = rows.group_by(keys, use_threads=False).aggregate(sums)
    grouped = grouped.rename_columns([*keys, "net", *largest]).select(STANDING.names)
    return grouped.filter(pc.not_equal(grouped["net"], 0)).cast(STANDING)


def negated(rows: pa.Table) -> pa.Table:
    """`rows` with every SIGNED column negated; NULL stays NULL."""
    for name in SIGNED:
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pc.negate(rows.column(at)))
    return rows
