"""Traces of which evidence may be gone: what is booked of them stands for ever."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.standing import standing_charges
from agentcost_collector.model.schemas import CHARGES
from agentcost_collector.model.tables import concat


def closed_traces(booked: pa.Table, retired_before: date) -> pa.Array:
    """Traces with ENTRIES dated before the first day of which evidence is kept, or on it: a part
    of what they were worked out from may have ended the day before."""
    old = pc.less_equal(booked["date"], pa.scalar(retired_before, pa.date32()))
    return pc.unique(booked["trace_id"].filter(old))


def with_standing(wanted: pa.Table, booked: pa.Table, closed: pa.Array) -> pa.Table:
    """CHARGES that book nothing but new steps for the traces `closed`.

    What stands of them by ENTRIES stays wanted as it is, and of `wanted` only what was never
    booked; of other traces all of `wanted`.
    """
    booked = booked.filter(pc.is_in(booked["trace_id"], value_set=closed))
    if not booked.num_rows:
        return wanted
    known = pc.and_(
        pc.is_in(wanted["trace_id"], value_set=closed),
        pc.is_in(wanted["step_id"], value_set=booked["step_id"].combine_chunks()),
    )
    standing = standing_charges(booked).select(CHARGES.names)
    return concat([wanted.filter(pc.invert(known)), standing], CHARGES)
