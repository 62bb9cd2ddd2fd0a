"""Spans out of quarantine: rows of REJECTS that are valid, or can be made so, back to SPANS."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.ids import SPAN_ID_BYTES, TRACE_ID_BYTES
from agentcost_collector.model.partition import AHEAD_NS
from agentcost_collector.model.schemas import SPANS


def released_spans(rejects: pa.Table, repair: bool, now_ns: int) -> tuple[pa.Table, np.ndarray]:
    """REJECTS to SPANS, and the rows of `rejects` that these spans are made of, ascending.

    Without `repair` only rows that would be valid if they came now; with it every row:

    - a trace id of 8 bytes gets 8 zero bytes in front, as is the custom for 64-bit ids;
    - another id that is wrong gets a digest of itself in its place, the same for the same id; one
      that is empty or all zero a digest of the span, which so has a trace or an id of its own;
    - a time out of range, or ahead of now by more than AHEAD_NS, becomes the span's other time, or
      else the time of receipt.

    About 20 us a row; rejects are few.
    """
    rows = np.arange(rejects.num_rows) if repair else np.flatnonzero(_valid(rejects, now_ns))
    taken = rejects.take(pa.array(rows))
    columns = dict(zip(taken.column_names, taken.columns, strict=True)) | _repaired(taken, now_ns)
    return pa.table([columns[n] for n in SPANS.names], schema=SPANS).combine_chunks(), rows


def _valid(rejects: pa.Table, now_ns: int) -> np.ndarray:
    fits = pc.less_equal(
        pc.max_element_wise(rejects.column("start_ns"), rejects.column("end_ns")),
        pa.scalar(now_ns + AHEAD_NS, pa.uint64()),
    )
    for name, width in (("trace_id", TRACE_ID_BYTES), ("span_id", SPAN_ID_BYTES)):
        ids = rejects.column(name)
        fits = pc.and_(fits, pc.match_substring_regex(ids, f"^[0-9a-f]{{{2 * width}}}$"))
        fits = pc.and_(fits, pc.match_substring_regex(ids, "[^0]"))
    return np.asarray(fits.to_numpy(), dtype=bool)


def _repaired(rejects: pa.Table, now_ns: int) -> dict[str, pa.Array]:
    """Ids and times of every row; those that are right stay."""
    names = ("trace_id", "span_id", "start_ns", "end_ns", "received_at_ns", "name", "attributes")
    rows = list(zip(*(rejects.column(name).to_pylist() for name in names), strict=True))
    traces, spans, times = [], [], []
    for trace_id, span_id, start, end, received, name, attributes in rows:
        itself = f"{trace_id} {span_id} {start} {end} {name} {attributes}"
        padded = trace_id.zfill(2 * TRACE_ID_BYTES) if len(trace_id) == 16 else trace_id
        traces.append(_id(padded, itself, TRACE_ID_BYTES))
        spans.append(_id(span_id, itself, SPAN_ID_BYTES))
        sane = [at if at <= now_ns + AHEAD_NS else None for at in (start, end)]
        first = next((at for at in sane if at is not None), received)
        last = next((at for at in reversed(sane) if at is not None), received)
        times.append((first, last))
    return {
        "trace_id": pa.array(traces, pa.string()),
        "span_id": pa.array(spans, pa.string()),
        "start_ns": pa.array([start for start, _ in times], pa.int64()),
        "end_ns": pa.array([end for _, end in times], pa.int64()),
    }


def _id(given: str, span: str, width: int) -> str:
    """`given` where it is an id of `width` bytes, else a digest that is one."""
    known = given.strip("0") != ""
    if known and len(given) == 2 * width:
        return given
    return blake2b((given if known else span).encode(), digest_size=width).hexdigest()
