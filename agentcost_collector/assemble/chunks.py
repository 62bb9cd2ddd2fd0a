"""Where the rows of open traces are kept: tables of many traces, and each trace's rows in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from agentcost_collector.assemble.packing import PACKED
from agentcost_collector.model.tables import concat

_COMPRESSED = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)


class Chunk:
    """Rows of several traces, PACKED. `rows[start:stop]` are the row numbers of one trace."""

    __slots__ = ("_kept", "live", "row_bytes", "rows", "traces")

    def __init__(self, table: pa.Table, rows: np.ndarray) -> None:
        self._kept: pa.Table | pa.Buffer = table
        self.rows = rows
        self.row_bytes = (table.nbytes + rows.nbytes) // len(rows)
        self.live = len(rows)
        self.traces: list[Trace] = []

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        if isinstance(self._kept, pa.Table):
            return self._kept.select(names)
        fields = [PACKED.get_field_index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        with pa.ipc.open_stream(self._kept, options=options) as reader:
            return reader.read_all().select(names)

    def compress(self) -> None:
        """From now on each look at the rows unpacks what it looks at."""
        assert isinstance(self._kept, pa.Table)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, PACKED, options=_COMPRESSED) as writer:
            writer.write_table(self._kept)
        self._kept = sink.getvalue()
        self.row_bytes = (self._kept.size + self.rows.nbytes) // len(self.rows) + 1


class Trace:
    """An open trace. One piece per chunk that holds rows of it."""

    __slots__ = (
        "arrival",
        "closed_by",
        "first_ns",
        "first_position",
        "looked_at",
        "pieces",
        "rooted",
        "spans",
        "trace_id",
    )

    def __init__(self, trace_id: str, position: int, now_ns: int) -> None:
        self.trace_id = trace_id
        self.first_position = position
        self.first_ns = now_ns
        self.arrival = 0
        self.rooted = False
        self.spans = 0
        self.looked_at = 0  # spans that it had when it was looked at last
        self.closed_by = ""
        self.pieces: dict[Chunk, tuple[int, int]] = {}


class Gathered(NamedTuple):
    """Rows of several traces: `table` at `rows`, row i belonging to trace number `traces[i]`.

    `table` can hold rows of other traces too.
    """

    table: pa.Table
    rows: np.ndarray
    traces: np.ndarray


def gather(
    traces: Iterable[Trace], columns: Sequence[str], chunks: Collection[Chunk] | None = None
) -> Gathered:
    """The rows of `traces` (only those in `chunks`, if given), some columns of PACKED, in no
    special order.

    Cost: O(pieces) in Python, O(rows) by columns. A chunk that is mostly wanted is taken whole.
    """
    wanted: dict[Chunk, list[tuple[int, int, int]]] = {}
    for index, trace in enumerate(traces):
        for chunk, (start, stop) in trace.pieces.items():
            if chunks is None or chunk in chunks:
                wanted.setdefault(chunk, []).append((start, stop, index))
    tables, rows, owners = [], [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    base = 0
    for chunk, pieces in wanted.items():
        starts, stops, owner = np.array(pieces, dtype=np.int64).T
        sizes = stops - starts
        ends = np.cumsum(sizes)
        at = chunk.rows[np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)]
        part = chunk.columns(columns)
        if 2 * len(at) < part.num_rows:
            part, at = part.take(pa.array(at)), np.arange(len(at))
        tables.append(part)
        rows.append(at + base)
        owners.append(np.repeat(owner, sizes))
        base += part.num_rows
    schema = pa.schema([PACKED.field(name) for name in columns])
    return Gathered(concat(tables, schema), np.concatenate(rows), np.concatenate(owners))


def new_chunk(
    table: pa.Table, owner: np.ndarray, owners: int
) -> tuple[Chunk, list[int], list[int]]:
    """A chunk of `table`, whose row i belongs to trace `owner[i]`, and for each of the `owners`
    where its rows start and stop."""
    stops = np.cumsum(np.bincount(owner, minlength=owners))
    starts = np.concatenate(([0], stops[:-1]))
    chunk = Chunk(table, np.argsort(owner, kind="stable").astype(np.int32))
    return chunk, starts.tolist(), stops.tolist()
