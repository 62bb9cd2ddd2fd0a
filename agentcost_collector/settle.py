"""Closed traces into ledger commits: what they should cost, minus what is booked for them.

traces --kernel--> charges --book--> entries --> ledger
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.assemble.repeats import unique_spans
from agentcost_collector.book.charges import book_charges
from agentcost_collector.book.closed import closed_traces, with_standing
from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.ledger.ledger import Booked, Ledger
from agentcost_collector.metrics import Metrics
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.model.tables import concat
from agentcost_collector.settings import Settings

_LINKING_TRACES = 1_000


class Settler:
    """Turns closed traces into ledger commits."""

    def __init__(
        self,
        ledger: Ledger,
        rulebook: Rulebook,
        settings: Settings,
        metrics: Metrics | None = None,
    ) -> None:
        self._ledger = ledger
        self._rulebook = rulebook
        self._settings = settings
        self._metrics = metrics or Metrics()

    def settle(self, closed: pa.Table, state: Mapping[str, int], now_ns: int) -> tuple[int, int]:
        """Books what these traces should cost minus what is booked for them.

        `closed`: SPANS of closed traces, exact repeats removed. Settled traces that link to them
        are worked out again: a linked run may say who pays, and may come last. `state`: the
        counters before. Returns (spans newly kept, entries written); both are 0 for a re-sent or
        replayed trace.
        """
        began = time.perf_counter()
        booked = self._ledger.booked(*_spread(closed))
        spans, fresh = closed, closed
        if booked.spans.num_rows:
            self._metrics.reopened(pc.count_distinct(booked.spans["trace_id"]).as_py())
            stored, _ = unique_spans(booked.spans)
            spans, _ = unique_spans(concat([stored, closed], SPANS))
            fresh = spans.slice(stored.num_rows)
        entries = self._entries(Booked(spans, booked.entries), SPANS.empty_table(), now_ns)
        linking = self._settle_linking(spans, fresh, state, now_ns)
        if fresh.num_rows or entries.num_rows:
            state = settled(state, closed.num_rows, closed.num_rows - fresh.num_rows)
            # a commit since `booked` may have made the index forget what was found then
            self._commit(fresh, entries, state, now_ns, found=not linking)
        self._metrics.settles.add(time.perf_counter() - began)
        return fresh.num_rows, linking + entries.num_rows

    def _settle_linking(
        self, spans: pa.Table, fresh: pa.Table, state: Mapping[str, int], now_ns: int
    ) -> int:
        """Books again what links to the traces of `fresh`, which `spans` holds whole; some at a
        time, and before those, so that after a crash all of it is done again."""
        linking = self._ledger.linking(pc.unique(fresh.column("trace_id")))
        settling = pc.unique(spans.column("trace_id"))
        others = pc.invert(pc.is_in(linking.column("trace_id"), value_set=settling))
        ids, starts, ends = _spread(linking.filter(others))
        written = 0
        for row in range(0, len(ids), _LINKING_TRACES):
            some = slice(row, row + _LINKING_TRACES)
            booked = self._ledger.booked(ids[some], starts[some], ends[some])
            entries = self._entries(booked, spans, now_ns)
            if entries.num_rows:
                self._commit(SPANS.empty_table(), entries, state, now_ns)
            written += entries.num_rows
        return written

    def _commit(
        self,
        spans: pa.Table,
        entries: pa.Table,
        state: Mapping[str, int],
        now_ns: int,
        found: bool = True,
    ) -> None:
        began = time.perf_counter()
        self._ledger.commit(spans, entries, state, now_ns, found)
        self._metrics.commits.add(time.perf_counter() - began)
        self._metrics.booked(entries)

    def _entries(self, traces: Booked, at_hand: pa.Table, now_ns: int) -> pa.Table:
        """What to book for whole traces. Spans of other traces that they link to, at hand or
        stored, may say who pays."""
        trace_ids = pc.unique(traces.spans.column("trace_id"))
        retired_before = self._ledger.spans_retired_before
        closed = [trace_ids.slice(0, 0)]
        links = traces.spans.column("links").combine_chunks()
        targets = _without(pc.unique(links.flatten().field("trace_id")).drop_null(), trace_ids)
        linked = at_hand.filter(pc.is_in(at_hand.column("trace_id"), value_set=targets))
        targets = _without(targets, pc.unique(linked.column("trace_id")))
        if len(targets):
            oldest = pc.min(traces.spans.column("start_ns")).as_py()
            stored = self._ledger.booked(targets, oldest)
            linked = concat([linked, stored.spans], SPANS)
            if retired_before:
                gone = closed_traces(stored.entries, retired_before)
                closed.append(linking_to(traces.spans, gone))
        charges = kernel(concat([traces.spans, linked], SPANS), self._rulebook)
        if linked.num_rows:
            charges = charges.filter(pc.is_in(charges.column("trace_id"), value_set=trace_ids))
        if retired_before:
            closed.append(closed_traces(traces.entries, retired_before))
            charges = with_standing(charges, traces.entries, pa.concat_arrays(closed))
        return book_charges(charges, traces.entries, now_ns, config=self._settings.book)


def settled(state: Mapping[str, int], spans: int, repeated: int) -> dict[str, int]:
    """The counters after so many more spans were settled, and so many of them dropped."""
    more = {"spans_settled": spans, "spans_repeated": repeated}
    return {**state, **{name: state.get(name, 0) + count for name, count in more.items()}}


def _spread(spans: pa.Table) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The traces, and the first start and the last end of each."""
    of = spans.group_by("trace_id").aggregate([("start_ns", "min"), ("end_ns", "max")])
    ids, starts, ends = (
        of.column(name).combine_chunks() for name in ("trace_id", "start_ns_min", "end_ns_max")
    )
    return ids, starts, ends


def _without(trace_ids: pa.Array, others: pa.Array) -> pa.Array:
    return trace_ids.filter(pc.invert(pc.is_in(trace_ids, value_set=others)))


def linking_to(spans: pa.Table, trace_ids: pa.Array) -> pa.Array:
    """Traces among SPANS that link to one of the given traces."""
    links = spans["links"].combine_chunks()
    hit = pc.is_in(links.flatten().field("trace_id"), value_set=trace_ids)
    rows = pc.list_parent_indices(links).filter(hit)
    return pc.unique(spans["trace_id"].combine_chunks().take(rows))


def slices_of_traces(spans: pa.Table, rows_max: int) -> Iterator[pa.Table]:
    """Cuts SPANS that are grouped by trace into pieces of whole traces, about `rows_max` rows."""
    if not spans.num_rows:
        return
    runs = pc.run_end_encode(spans.column("trace_id").combine_chunks()).run_ends.to_pylist()
    start = 0
    for end, following in zip(runs, [*runs[1:], None], strict=True):
        if following is None or following - start > rows_max:
            yield spans.slice(start, end - start)
            start = end
