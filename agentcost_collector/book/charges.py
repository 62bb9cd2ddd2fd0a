"""The difference between the charges that are wanted and those that stand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.config import Config
from agentcost_collector.book.standing import (
    CONTENT,
    STANDING,
    negated,
    net_of,
    same_rows,
    standing_charges,
)
from agentcost_collector.model.partition import closed_date, closed_environment
from agentcost_collector.model.schemas import CHARGES, ENTRIES
from agentcost_collector.model.tables import concat, conform

FIRST = "first"

_DEFAULT = Config()
_ORDER = ("trace_id", "started_at", "step_id", "sign")
_TELLING = [name for name in CONTENT if name != "card_digest"]
"""An edition of the rate card that changes nothing for a step is no reason to book it again."""


def book_charges(
    wanted: pa.Table,
    booked: pa.Table,
    now_ns: int,
    correction: str = "late",
    config: Config = _DEFAULT,
) -> pa.Table:
    """ENTRIES that make `wanted` stand: negate what stands, add what is wanted, drop what cancels.

    `wanted` is CHARGES of some traces; `booked` is all ENTRIES of the same traces (a trace that
    is only in `booked` is reversed whole). A charge equal to a standing one in every column of
    CHARGES but `card_digest` yields nothing. Rows of traces without any entry are `first`, all
    others `correction`. Sorted by trace_id, started_at, step_id, sign. `journal` is empty and
    `batch_seq` and `row_no` are 0: the ledger names its rows. Cost: O(wanted), plus about 3 us a
    charge of traces that have entries.
    """
    wanted = _with_closed_environment(conform(wanted, CHARGES), config)
    if not booked.num_rows:
        return _sorted(_added(wanted, FIRST, now_ns, config))
    touched = pc.is_in(wanted["trace_id"], value_set=pc.unique(booked["trace_id"])).to_numpy()
    fresh = _rows(wanted, np.flatnonzero(~touched))
    touched_rows = _rows(wanted, np.flatnonzero(touched))
    missing, unwanted = _difference(touched_rows, standing_charges(booked))
    return _sorted(
        concat(
            [
                _added(fresh, FIRST, now_ns, config),
                _added(missing, correction, now_ns, config),
                _reversed(unwanted, correction, now_ns),
            ],
            ENTRIES,
        )
    )


def _with_closed_environment(charges: pa.Table, config: Config) -> pa.Table:
    at = charges.schema.get_field_index("environment")
    closed = closed_environment(charges.column(at), config.environments)
    return charges.set_column(at, charges.schema.field(at), closed)


def _difference(wanted: pa.Table, standing: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of CHARGES that do not stand, and of STANDING that are not wanted, as often as needed.

    Matched by step_id, which is unique in a sound ledger; what is not unique is netted by content.
    """
    unsound = standing.filter(pc.not_equal(standing["net"], 1))["step_id"].combine_chunks()
    odd = pa.concat_arrays([_repeated_ids(wanted), _repeated_ids(standing), unsound])
    if len(odd):
        wanted_odd, standing_odd = (
            pc.is_in(rows["step_id"], value_set=odd) for rows in (wanted, standing)
        )
        netted = _net_difference(wanted.filter(wanted_odd), standing.filter(standing_odd))
        wanted = wanted.filter(pc.invert(wanted_odd))
        standing = standing.filter(pc.invert(standing_odd))
    else:
        netted = _net_difference(wanted.slice(0, 0), standing.slice(0, 0))
    at = pc.index_in(wanted["step_id"], value_set=standing["step_id"].combine_chunks())
    there = pc.is_valid(at).to_numpy()
    found = pc.drop_null(at).to_numpy()
    known = [n for n in _TELLING if not _is_null(wanted[n]) or not _is_null(standing[n])]
    differs = ~same_rows(
        _rows(wanted.select(known), np.flatnonzero(there)),
        _rows(standing.select(known), found),
        known,
    )
    missing, unwanted = ~there, np.ones(standing.num_rows, bool)
    missing[there] = unwanted[found] = differs
    return (
        concat([wanted.filter(pa.array(missing)), netted[0]], CHARGES),
        concat([standing.filter(pa.array(unwanted)), netted[1]], STANDING),
    )


def _repeated_ids(rows: pa.Table) -> pa.Array:
    counts = pc.value_counts(rows["step_id"].combine_chunks())
    return counts.field("values").filter(pc.greater(counts.field("counts"), 1))


def _is_null(column: pa.ChunkedArray) -> bool:
    """Whether nothing is in it, as in half of the columns of charges."""
    return column.null_count == len(column)


def _rows(table: pa.Table, at: np.ndarray) -> pa.Table:
    """`table` where rows `at` are all of it in order, as they mostly are; else those rows."""
    if len(at) == table.num_rows and (at[:-1] < at[1:]).all():
        return table
    return table.take(pa.array(at))


def _net_difference(wanted: pa.Table, standing: pa.Table) -> tuple[pa.Table, pa.Table]:
    """As `_difference`, without trusting in step_id."""
    asked = wanted.append_column("date", pa.nulls(wanted.num_rows, pa.date32())).append_column(
        "net", pa.array(np.ones(wanted.num_rows, np.int64))
    )
    at = STANDING.get_field_index("net")
    owed = standing.set_column(at, STANDING.field(at), pc.negate(standing["net"]))
    changes = net_of(pa.concat_tables([asked.cast(STANDING), owed]), CONTENT, ["date"])
    net = changes["net"].to_numpy()
    return (
        _repeated(changes, np.maximum(net, 0)).select(CONTENT),
        _repeated(changes, np.maximum(-net, 0)),
    )


def _repeated(changes: pa.Table, times: np.ndarray) -> pa.Table:
    return changes.take(pa.array(np.repeat(np.arange(len(times)), times)))


def _added(charges: pa.Table, reason: str, now_ns: int, config: Config) -> pa.Table:
    # a step without an end is filed where it started, without either under the first day
    ended = pc.coalesce(charges["ended_at"], charges["started_at"]).cast(pa.int64()).fill_null(0)
    date = closed_date(ended.to_numpy() * 1000, config.date_min, now_ns)
    return _entries(charges.select(CONTENT), 1, reason, now_ns, date)


def _reversed(standing: pa.Table, reason: str, now_ns: int) -> pa.Table:
    """The reversal is filed under the day of the row that it reverses."""
    return _entries(negated(standing.select(CONTENT)), -1, reason, now_ns, standing["date"])


def _entries(content: pa.Table, sign: int, reason: str, now_ns: int, date: pa.Array) -> pa.Table:
    rows = content.num_rows
    booking = [
        pa.array(np.full(rows, sign, np.int8)),
        pa.repeat(pa.scalar(reason, pa.string()), rows),
        pa.array(np.full(rows, now_ns // 1000, np.int64)).cast(ENTRIES.field("booked_at").type),
        pa.repeat(pa.scalar("", pa.string()), rows),
        pa.array(np.zeros(rows, np.int64)),
        pa.array(np.zeros(rows, np.int32)),
        date,
    ]
    return pa.table([*content.columns, *booking], schema=ENTRIES)


def _sorted(entries: pa.Table) -> pa.Table:
    """Charges mostly arrive in order: looking costs a hundredth of sorting."""
    if not _in_order(entries):
        entries = entries.sort_by([(name, "ascending") for name in _ORDER])
    return entries.combine_chunks()


def _in_order(entries: pa.Table) -> bool:
    verdict = True  # of the last key: equal rows are in order
    for name in reversed(_ORDER):
        values = entries[name].combine_chunks()
        before, after = values[:-1], values[1:]
        verdict = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), verdict))
    # NULL, where a key is missing, counts as out of order
    return bool(pc.all(pc.fill_null(verdict, False)).as_py()) if entries.num_rows > 1 else True
