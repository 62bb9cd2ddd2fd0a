"""Looking at traces while they are open."""

from __future__ import annotations

import pyarrow as pa

from agentcost_collector.assemble.config import Config
from agentcost_collector.assemble.open_traces import OpenTraces
from agentcost_collector.model.schemas import SPANS


def spans(trace: str, first: int, count: int) -> pa.Table:
    rows = [
        {
            "trace_id": trace * 32,
            "span_id": f"{number:016x}",
            "parent_span_id": "f" * 16,
            "start_ns": number,
            "end_ns": number + 1,
            "attributes": [],
            "links": [],
        }
        for number in range(first, first + count)
    ]
    return pa.Table.from_pylist(rows, schema=SPANS)


def test_only_what_grew_by_a_quarter_is_looked_at_again():
    """Traces below the least size are left alone; one is given whole, without repeats, and next
    when it has grown by a quarter; to look closes nothing and changes nothing of what closes."""
    traces = OpenTraces(Config())
    traces.add(1, spans("a", 0, 8), 0)
    traces.add(2, spans("b", 0, 3), 0)
    assert traces.grown(4).column("trace_id").unique().to_pylist() == ["a" * 32]
    assert traces.grown(4).num_rows == 0
    traces.add(3, spans("a", 8, 1), 1)
    assert traces.grown(4).num_rows == 0
    traces.add(4, spans("a", 8, 1), 2)  # sent again
    assert traces.grown(4).column("span_id").to_pylist() == [f"{n:016x}" for n in range(9)]
    assert (traces.traces, traces.spans) == (2, 13)
    closed = traces.close(3, oldest=13)
    assert (closed.spans.num_rows, closed.repeated) == (12, 1)
