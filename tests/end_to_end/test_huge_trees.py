"""Hostile shapes of trees through a running service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost, parse_facts
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import Collector, running

pytestmark = pytest.mark.slow

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START_NS = 1_795_371_865 * 10**9
SPANS_PER_REQUEST = 5_000
CALL_EVERY = 10
"""Every so many spans one is a model call; the others are tools, so that no call hangs beneath
another one without a tool between, which would make them one."""

Parent = Callable[[int], int | None]
SHAPES: dict[str, tuple[int, Parent]] = {
    "wide": (100_000, lambda n: 0 if n else None),
    "bushy": (20_000, lambda n: (n - 1) // 110 * 10 if n else None),
    "deep": (10_000, lambda n: n - 1 if n else None),
    "cycle": (10_000, lambda n: (n - 1) % 10_000),
    "tail into a cycle": (10_000, lambda n: n - 1 if n else 5_000),
    "self-parents": (10_000, lambda n: n),
}


def requests_of_shape(trace: int, spans: int, parent: Parent) -> Iterator[bytes]:
    """One trace, children before parents, some spans to a request."""
    for end in range(spans, 0, -SPANS_PER_REQUEST):
        request = ExportTraceServiceRequest()
        into = request.resource_spans.add().scope_spans.add()
        into.scope.name = "shapes"
        for n in range(max(0, end - SPANS_PER_REQUEST), end):
            span = into.spans.add(
                trace_id=trace.to_bytes(16, "big"),
                span_id=(n + 1).to_bytes(8, "big"),
                name="work",
                start_time_unix_nano=START_NS + n,
                end_time_unix_nano=START_NS + 10**9 - n,
            )
            above = parent(n)
            if above is not None:
                span.parent_span_id = (above + 1).to_bytes(8, "big")
            is_call = n % CALL_EVERY == CALL_EVERY - 1
            kind = span.attributes.add(key="openinference.span.kind")
            kind.value.string_value = "LLM" if is_call else "TOOL"
            if is_call:
                span.attributes.add(key="llm.model_name").value.string_value = "gpt-4o-mini"
                span.attributes.add(key="llm.token_count.prompt").value.int_value = n
        yield request.SerializeToString()


def peak_mb(collector: Collector) -> int:
    """The most memory that any of the collector's processes has had."""
    supervisor = collector.process.pid
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in children]
    return max(int(text.split("VmHWM:")[1].split()[0]) for text in status) // 1024


def test_hostile_trees_are_settled(tmp_path):
    """Chains, fans, cycles and self-parents of up to 100,000 spans: all stored, every call counted
    once, nothing lost, in bounded time and memory."""
    data = tmp_path / "data"
    total = sum(spans for spans, _ in SHAPES.values())
    with running(data, assemble__settle_ms="1000", assemble__idle_ms="2000") as collector:
        with grpc.insecure_channel(collector.grpc) as channel:
            export = channel.unary_unary(METHOD)
            for trace, (spans, parent) in enumerate(SHAPES.values(), 1):
                for body in requests_of_shape(trace, spans, parent):
                    export(body, timeout=60, wait_for_ready=True)
        until(lambda: span_rows(data) == total, f"{total} stored spans")
        until(
            lambda: parse_facts(agentcost("status", "--data", data).stdout)["spans open"] == "0",
            "settled spans",
        )
        facts = parse_facts(agentcost("status", "--data", data).stdout)
        assert peak_mb(collector) < 1_500
        assert collector.stop() == 0
    assert (facts["conservation"], facts["spans acknowledged"]) == ("ok", str(total))
    calls = "SELECT trace_id, count(*), count(DISTINCT span_id) FROM steps WHERE kind = 'llm'"
    rows = open_views(data).sql(f"{calls} GROUP BY 1").fetchall()
    found = {int(trace_id, 16): counts for trace_id, *counts in rows}
    assert found == {
        trace: [spans // CALL_EVERY] * 2 for trace, (spans, _) in enumerate(SHAPES.values(), 1)
    }
