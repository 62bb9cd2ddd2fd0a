"""Many copies of decoded spans under fresh ids, column by column: fast enough for millions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.ids import SPAN_ID_BYTES, TRACE_ID_BYTES, hex_ids
from agentcost_collector.model.schemas import SPANS


def copies(spans: pa.Table, count: int, first: int, start_ns: int, gap_ns: int) -> pa.Table:
    """`count` copies of SPANS under random ids; parents and links follow within a copy.

    Copy number n of all, counted from `first`, starts at `start_ns` + n * `gap_ns`. Equal
    arguments make equal copies.
    """
    rows = spans.num_rows
    copy = np.repeat(np.arange(count), rows)
    many = spans.take(pa.array(np.tile(np.arange(rows), count)))
    source = np.random.default_rng(first)
    links = many["links"].combine_chunks()
    target = links.flatten()
    of_link = copy[pc.list_parent_indices(links).to_numpy()]
    traces = _Fresh(
        source, TRACE_ID_BYTES, count, [spans["trace_id"], *_targets(spans, "trace_id")]
    )
    ids = _Fresh(
        source,
        SPAN_ID_BYTES,
        count,
        [spans["span_id"], spans["parent_span_id"], *_targets(spans, "span_id")],
    )
    linked = pa.StructArray.from_arrays(
        [traces(target.field("trace_id"), of_link), ids(target.field("span_id"), of_link)],
        names=["trace_id", "span_id"],
    )
    shift = (first + copy) * gap_ns + start_ns - pc.min(spans["start_ns"]).as_py()
    columns = {name: many[name] for name in SPANS.names}
    columns["trace_id"] = traces(many["trace_id"], copy)
    for name in ("span_id", "parent_span_id"):
        columns[name] = ids(many[name], copy)
    for name in ("start_ns", "end_ns", "received_at_ns"):
        columns[name] = pc.add(many[name], pa.array(shift))
    columns["links"] = pa.ListArray.from_arrays(links.offsets, linked).cast(
        SPANS.field("links").type
    )
    return pa.table(columns, schema=SPANS)


class _Fresh:
    """A random id for every pair of recorded id and copy."""

    def __init__(
        self, source: np.random.Generator, width: int, count: int, recorded: list[pa.ChunkedArray]
    ) -> None:
        self._known = pc.unique(pa.chunked_array([c for ids in recorded for c in ids.chunks]))
        self._known = self._known.drop_null()
        raw = source.bytes(width * len(self._known) * count)
        packed = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(width), len(self._known) * count, [None, pa.py_buffer(raw)]
        )
        self._made = hex_ids(packed.cast(pa.binary()), width)[0]

    def __call__(self, ids: pa.ChunkedArray | pa.Array, copy: np.ndarray) -> pa.Array:
        at = pc.index_in(ids, value_set=self._known)
        at = at.combine_chunks() if isinstance(at, pa.ChunkedArray) else at
        return self._made.take(pc.add(at.cast(pa.int64()), pa.array(copy * len(self._known))))


def _targets(spans: pa.Table, name: str) -> list[pa.ChunkedArray]:
    return [pa.chunked_array([spans["links"].combine_chunks().flatten().field(name)])]
