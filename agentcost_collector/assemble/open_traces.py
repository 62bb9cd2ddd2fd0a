"""The open set: which traces are open and when they close."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.assemble.chunks import Chunk, Trace, gather, new_chunk
from agentcost_collector.assemble.config import Config
from agentcost_collector.assemble.ordering import span_order
from agentcost_collector.assemble.packing import PACKED, pack, shrink, unpack
from agentcost_collector.assemble.repeats import repeats
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.model.tables import codes, concat

_NS_PER_MS = 1_000_000
_TRACE_BYTES = 800
_SMALL_ROWS = 4_096
_SMALL_CHUNKS_MAX = 64
_PLAIN_BYTES_MAX = 64 * 1024 * 1024  # of rows; beyond it the oldest are compressed

CLOSED = pa.schema(
    [
        pa.field("trace_id", pa.string(), nullable=False),
        ("closed_by", pa.string()),  # root idle age limit end
        ("spans", pa.int64()),  # rows in Closed.spans
        ("first_position", pa.int64()),  # lowest position that held a span of it
    ]
)
"""One row per closed trace, sorted by trace_id."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What closed: whole traces, exact repeats removed."""

    spans: pa.Table
    """SPANS sorted by (trace_id, start_ns, span_id, received_at_ns)."""
    traces: pa.Table
    """One row per trace: trace_id, closed_by, spans, first_position; sorted by trace_id."""
    repeated: int
    """Exact repeats that were removed."""


@dataclass(frozen=True, slots=True)
class _Arrivals:
    """Traces that were last heard of at the same time."""

    number: int
    at_ns: int
    traces: list[Trace]

    def unchanged(self) -> Iterator[Trace]:
        """Those that are open and were not heard of since."""
        return (t for t in self.traces if t.arrival == self.number and not t.closed_by)


class OpenTraces:
    """Spans of traces that are not yet closed. Bounded; no I/O; driven by `now_ns`, which counts
    as standing still where it goes backwards."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._now_ns = 0
        self._position = 0
        self._waiting: list[tuple[int, pa.Table]] = []  # added at _now_ns, not yet taken in
        self._rows_waiting = 0
        self._adds = 0
        self._open: OrderedDict[str, Trace] = OrderedDict()  # oldest first
        self._settling: deque[_Arrivals] = deque()
        self._idling: deque[_Arrivals] = deque()
        self._small: list[Chunk] = []
        self._plain: dict[Chunk, int] = {}  # bytes of those that are not compressed, oldest first
        self._plain_bytes = 0
        self._sparse: dict[Chunk, None] = {}  # less than half of their rows are open
        self._spans = 0
        self._rows_held = 0  # open, or closed but in a chunk that is still needed
        self._row_bytes = 0
        self.rows_copied = 0
        """Rows copied so far, for closing and for clearing out. A measure of the work done."""

    @property
    def traces(self) -> int:
        """How many traces are open."""
        self._take_in()
        return len(self._open)

    @property
    def spans(self) -> int:
        """How many spans are open, repeats included."""
        self._take_in()
        return self._spans

    @property
    def bytes(self) -> int:
        """Memory of what is open: its rows, and a fixed cost per trace."""
        self._take_in()
        return self._row_bytes + _TRACE_BYTES * len(self._open)

    def lowest_position(self) -> int | None:
        """The lowest position that an open trace still needs; None where nothing is open."""
        self._take_in()
        return next(iter(self._open.values())).first_position if self._open else None

    def add(self, position: int, spans: pa.Table, now_ns: int) -> None:
        """Takes in the SPANS of a batch that arrived at `now_ns`. Positions never fall.

        Cost: one sort of the batch, and O(traces in it). Nothing closes here: the bounds hold
        after the next `close`.
        """
        assert position >= self._position, "positions must not fall"
        self._position = position
        if now_ns > self._now_ns:
            self._take_in()
            self._now_ns = now_ns
        if spans.num_rows:
            self._waiting.append((position, spans))
            self._rows_waiting += spans.num_rows
        if self._rows_waiting >= _SMALL_ROWS:
            self._take_in()

    def close(self, now_ns: int, oldest: int = 0) -> Closed:
        """The traces that are due at `now_ns`, and of the others the oldest, until they hold
        `oldest` spans.

        Cost: O(spans and traces that close, or are looked at for the first time since something
        arrived for them).
        """
        self._take_in()
        self._now_ns = max(self._now_ns, now_ns)
        closing: list[Trace] = []
        for closed_by, traces in (
            ("root", self._complete(self._settled())),
            ("idle", self._idle()),
            ("age", self._aged()),
            ("limit", self._over_limit()),
            ("end", self._oldest(oldest)),
        ):
            for trace in traces:
                trace.closed_by = closed_by
                del self._open[trace.trace_id]
                self._spans -= trace.spans
                self._row_bytes -= sum(
                    (stop - start) * chunk.row_bytes
                    for chunk, (start, stop) in trace.pieces.items()
                )
                closing.append(trace)
        return self._take_out(closing)

    def grown(self, spans_min: int) -> pa.Table:
        """SPANS of open traces as `Closed.spans` holds them, of those with at least `spans_min`
        that have grown by a quarter since they were here last: all looks at a trace together cost
        a few times what the last one does. Nothing closes.

        Cost: O(open traces) besides.
        """
        self._take_in()
        traces = [
            trace
            for trace in self._open.values()
            if trace.spans >= spans_min and 4 * trace.spans >= 5 * trace.looked_at
        ]
        for trace in traces:
            trace.looked_at = trace.spans
        traces.sort(key=lambda trace: trace.trace_id)
        return self._spans_of(traces)[0]

    # When a trace closes. Each rule yields traces that `close` then takes out, one by one.

    def _settled(self) -> list[Trace]:
        """Traces with a root that have just become quiet; the others wait to become idle."""
        rooted: list[Trace] = []
        while self._settling and self._passed(self._settling[0].at_ns, self._config.settle_ms):
            arrivals = self._settling.popleft()
            quiet = list(arrivals.unchanged())
            rooted += (trace for trace in quiet if trace.rooted)
            self._idling.append(_Arrivals(arrivals.number, arrivals.at_ns, quiet))
        return rooted

    def _complete(self, traces: list[Trace]) -> list[Trace]:
        """Those of `traces` in which every parent is present."""
        if not traces:
            return []
        ids = gather(traces, ("span_id", "parent_span_id"))
        both = [ids.table.column(name).chunk(0) for name in ids.table.schema.names]
        coded = codes(pa.concat_arrays(both)).indices.fill_null(-1).to_numpy()
        span, parent = coded.reshape(2, -1)[:, ids.rows].astype(np.int64)
        base = ids.traces * len(coded)  # codes are smaller than that
        child = parent >= 0
        known = pc.is_in(pa.array(base[child] + parent[child]), pa.array(base + span)).to_numpy(
            zero_copy_only=False
        )
        incomplete = set(ids.traces[child][~known].tolist())
        return [trace for index, trace in enumerate(traces) if index not in incomplete]

    def _idle(self) -> Iterator[Trace]:
        while self._idling and self._passed(self._idling[0].at_ns, self._config.idle_ms):
            yield from self._idling.popleft().unchanged()

    def _aged(self) -> Iterator[Trace]:
        while self._open:
            oldest = next(iter(self._open.values()))
            if not self._passed(oldest.first_ns, self._config.age_ms_max):
                return
            yield oldest

    def _over_limit(self) -> Iterator[Trace]:
        while self._open and (
            self._spans > self._config.open_spans_max or self.bytes > self._config.open_bytes_max
        ):
            yield next(iter(self._open.values()))

    def _oldest(self, spans: int) -> Iterator[Trace]:
        left = self._spans - spans
        while self._open and self._spans > left:
            yield next(iter(self._open.values()))

    def _passed(self, since_ns: int, wait_ms: int) -> bool:
        return self._now_ns - since_ns >= wait_ms * _NS_PER_MS

    # Where the rows are.

    def _take_in(self) -> None:
        """Opens traces for what was added at `_now_ns`. Small batches are taken in together: the
        fixed cost of one is that of several hundred spans."""
        if not self._waiting:
            return
        table = pack(concat([spans for _, spans in self._waiting], SPANS))
        positions = np.repeat(
            [position for position, _ in self._waiting],
            [spans.num_rows for _, spans in self._waiting],
        )
        self._waiting, self._rows_waiting = [], 0
        self._adds += 1
        traces, owner = self._traces_of(table, positions)
        self._keep(table, owner, traces)
        self._spans += table.num_rows
        self._settling.append(_Arrivals(self._adds, self._now_ns, traces))
        if len(self._small) > _SMALL_CHUNKS_MAX:
            self._merge_small()

    def _traces_of(self, table: pa.Table, positions: np.ndarray) -> tuple[list[Trace], np.ndarray]:
        """The open traces of newly arrived rows, and for each row the index of its trace."""
        ids = codes(table.column("trace_id"))
        owner = ids.indices.to_numpy()
        first = np.zeros(len(ids.dictionary), dtype=np.int64)
        first[owner[::-1]] = positions[::-1]  # written last: the first row of each trace
        rooted = np.zeros(len(first), dtype=bool)
        rooted[owner[table.column("parent_span_id").is_null().to_numpy()]] = True
        traces = []
        for trace_id, position, has_root, spans in zip(
            ids.dictionary.to_pylist(),
            first.tolist(),
            rooted.tolist(),
            np.bincount(owner).tolist(),
            strict=True,
        ):
            trace = self._open.get(trace_id)
            if trace is None:
                trace = self._open[trace_id] = Trace(trace_id, position, self._now_ns)
            trace.arrival = self._adds
            trace.rooted |= has_root
            trace.spans += spans
            traces.append(trace)
        return traces, owner

    def _keep(self, table: pa.Table, owner: np.ndarray, traces: list[Trace]) -> None:
        """Keeps the rows of `table`, each belonging to `traces[owner]`, in a new chunk."""
        chunk, starts, stops = new_chunk(table, owner, len(traces))
        chunk.traces = traces
        for trace, start, stop in zip(traces, starts, stops, strict=True):
            trace.pieces[chunk] = (start, stop)
        self._row_bytes += chunk.row_bytes * chunk.live
        self._rows_held += chunk.live
        if chunk.live < _SMALL_ROWS:
            self._small.append(chunk)
        else:
            self._plain[chunk] = chunk.row_bytes * chunk.live
            self._plain_bytes += self._plain[chunk]
        while self._plain_bytes > _PLAIN_BYTES_MAX:
            self._compress(next(iter(self._plain)))

    def _take_out(self, closing: list[Trace]) -> Closed:
        if not closing:
            return Closed(SPANS.empty_table(), CLOSED.empty_table(), 0)
        closing.sort(key=lambda trace: trace.trace_id)
        spans, removed = self._spans_of(closing)
        counts = [trace.spans for trace in closing]
        if removed:
            counts = pc.value_counts(spans.column("trace_id")).field("counts")
        traces = pa.table(
            [
                [trace.trace_id for trace in closing],
                [trace.closed_by for trace in closing],
                counts,
                [trace.first_position for trace in closing],
            ],
            schema=CLOSED,
        )
        self._clear(closing)
        return Closed(spans, traces, removed)

    def _spans_of(self, traces: list[Trace]) -> tuple[pa.Table, int]:
        """SPANS of `traces`, which are sorted by id, and how many exact repeats are left out."""
        if not traces:
            return SPANS.empty_table(), 0
        gathered = gather(traces, PACKED.names)
        rows, repeated = span_order(gathered)
        removed = 0
        if len(repeated):  # an exact repeat agrees in all that rows are sorted by
            candidates = unpack(gathered.table.take(pa.array(rows[repeated])))
            again = repeated[repeats(candidates)]
            rows, removed = np.delete(rows, again), len(again)
        spans = unpack(gathered.table.take(pa.array(rows)))
        self.rows_copied += gathered.table.num_rows + len(rows)
        return spans, removed

    def _clear(self, closed: list[Trace]) -> None:
        """Lets go of the rows of closed traces. Where more than half of all rows held are closed,
        the chunks that are mostly closed are rebuilt as one."""
        touched: dict[Chunk, None] = {}
        for trace in closed:
            for chunk, (start, stop) in trace.pieces.items():
                chunk.live -= stop - start
                touched[chunk] = None
            trace.pieces.clear()
        for chunk in touched:
            if not chunk.live:
                self._drop(chunk)
            elif 2 * chunk.live < len(chunk.rows):
                self._sparse[chunk] = None
        if self._sparse and self._rows_held > 2 * self._spans + _SMALL_ROWS:
            self._rebuild(list(self._sparse))

    def _compress(self, chunk: Chunk) -> None:
        self._plain_bytes -= self._plain.pop(chunk)
        self._row_bytes -= chunk.row_bytes * chunk.live
        chunk.compress()
        self._row_bytes += chunk.row_bytes * chunk.live

    def _drop(self, chunk: Chunk) -> None:
        self._plain_bytes -= self._plain.pop(chunk, 0)
        self._rows_held -= len(chunk.rows)
        self._sparse.pop(chunk, None)

    def _merge_small(self) -> None:
        """Makes one chunk of many small ones: a chunk of one row takes as much as fifty rows."""
        alive = [chunk for chunk in self._small if chunk.live]
        self._small = alive
        if len(alive) > _SMALL_CHUNKS_MAX // 2:
            self._rebuild(alive)

    def _rebuild(self, chunks: list[Chunk]) -> None:
        """Moves the open rows of `chunks` to a new chunk."""
        old = set(chunks)
        traces = list({t: None for chunk in chunks for t in chunk.traces if chunk in t.pieces})
        gathered = gather(traces, PACKED.names, old)
        table = gathered.table.take(pa.array(gathered.rows))
        self.rows_copied += gathered.table.num_rows + table.num_rows
        for trace in traces:
            for chunk in old & trace.pieces.keys():
                del trace.pieces[chunk]
        for chunk in chunks:
            self._row_bytes -= chunk.row_bytes * chunk.live
            chunk.live = 0
            self._drop(chunk)
        self._small = [chunk for chunk in self._small if chunk not in old]
        self._keep(shrink(table), gathered.traces, traces)
