"""The difference between the charges that are wanted and those that stand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.config import Config
from agentcost_collector.book.standing import CONTENT, STANDING, negated, net_of, standing_charges
from agentcost_collector.model.partition import closed_date, closed_environment
from agentcost_collector.model.schemas import CHARGES, ENTRIES
from agentcost_collector.model.tables import concat, conform

FIRST = "first"

_DEFAULT = Config()
_ORDER = ("trace_id", "started_at", "step_id", "sign")


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
    CHARGES yields nothing. Rows of traces without any entry are `first`, all others `correction`.
    Sorted by trace_id, started_at, step_id, sign. `batch_seq` and `row_no` are 0: the ledger
    numbers its rows. Cost: O(wanted), plus about 30 us a charge of traces that have entries.
    """
    wanted = _with_closed_environment(conform(wanted, CHARGES), config)
    if not booked.num_rows:
        return _sorted(_added(wanted, FIRST, now_ns, config))
    touched = pc.is_in(wanted["trace_id"], value_set=pc.unique(booked["trace_id"]))
    fresh = wanted.filter(pc.invert(touched))
    changes = _difference(wanted.filter(touched), standing_charges(booked))
    above = np.maximum(changes["net"].to_numpy(), 0)
    below = np.maximum(-changes["net"].to_numpy(), 0)
    return _sorted(
        concat(
            [
                _added(fresh, FIRST, now_ns, config),
                _added(_repeated(changes, above), correction, now_ns, config),
                _reversed(_repeated(changes, below), correction, now_ns),
            ],
            ENTRIES,
        )
    )


def _with_closed_environment(charges: pa.Table, config: Config) -> pa.Table:
    at = charges.schema.get_field_index("environment")
    closed = closed_environment(charges.column(at), config.environments)
    return charges.set_column(at, charges.schema.field(at), closed)


def _difference(wanted: pa.Table, standing: pa.Table) -> pa.Table:
    """STANDING rows: net > 0 is missing in the ledger, net < 0 stands without being wanted."""
    asked = wanted.append_column("date", pa.nulls(wanted.num_rows, pa.date32())).append_column(
        "net", pa.array(np.ones(wanted.num_rows, np.int64))
    )
    at = STANDING.get_field_index("net")
    owed = standing.set_column(at, STANDING.field(at), pc.negate(standing["net"]))
    return net_of(pa.concat_tables([asked.cast(STANDING), owed]), CONTENT, ["date"])


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
