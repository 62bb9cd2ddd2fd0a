"""What other shapes of traffic cost: compressed, over HTTP, large and small spans, one span to a
request; and how long senders and readers wait at a steady 10,000 spans a second.

CPU of all processes of a real service, the sender apart.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rich.console import Console
from rich.table import Table

from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.settings import Settings
from tests.bench.load import SENDERS, connected
from tests.bench.service import SOON, Service, serving
from tests.support.amplify import SPANS_PER_REQUEST, amplify, spans_in
from tests.support.recordings import MEASURED

SECOND_NS = 10**9
LARGE_BYTES, SMALL_BYTES = 10 * 1024, 300
SINGLE = 20  # one request in so many spans where each request is one span
PER_SECOND = 10_000
_RUN_SPANS = 12  # of the recordings, on average
_OF_RUN = ("gen_ai.", "llm.", "openinference.span.kind", "traceloop.")
_IN_FLIGHT, _BYTES_IN_FLIGHT = 64, 32 * 2**20


@dataclass(frozen=True)
class Shape:
    """Requests and how they are sent."""

    name: str
    send: Callable[[Service, Sequence[bytes]], None]
    made: Callable[[ExportTraceServiceRequest], None] | None = None
    compressed: bool = False
    single: bool = False


def over_grpc(service: Service, bodies: Sequence[bytes], compressed: bool = False) -> None:
    """Four connections, 64 requests in flight, fewer of large ones."""
    used = grpc.Compression.Gzip if compressed else None
    room = threading.Semaphore(min(_IN_FLIGHT, _BYTES_IN_FLIGHT // max(map(len, bodies))))
    with connected(service.collector.grpc) as exports:
        calls = []
        for number, body in enumerate(bodies):
            room.acquire()
            call = exports[number % SENDERS](body, compression=used)
            call.add_done_callback(lambda _: room.release())
            calls.append(call)
        for call in calls:
            call.result()


def over_http(service: Service, bodies: Sequence[bytes], compressed: bool = False) -> None:
    """Eight connections that are kept, one request at a time on each."""
    left = iter(bodies)
    lock = threading.Lock()
    headers = {"Content-Type": "application/x-protobuf"}
    headers |= {"Content-Encoding": "gzip"} if compressed else {}
    wrong: list[int] = []

    def work() -> None:
        connection = http.client.HTTPConnection(service.collector.http)
        while True:
            with lock:
                body = next(left, None)
            if body is None:
                return
            connection.request("POST", "/v1/traces", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                wrong.append(answer.status)

    threads = [threading.Thread(target=work) for _ in range(2 * SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


def enlarge(request: ExportTraceServiceRequest) -> None:
    """Every span carries content, up to LARGE_BYTES."""
    words = "the quick brown fox jumps over the lazy dog and asks for a quote; "
    for number, span in enumerate(spans_in(request)):
        missing = LARGE_BYTES - span.ByteSize()
        text = f"{number} " + words * (missing // len(words) + 1)
        span.attributes.add(key="gen_ai.prompt.0.content").value.string_value = text[:missing]


def shrink(request: ExportTraceServiceRequest) -> None:
    """Every span keeps what fits into SMALL_BYTES, that of agents first."""
    for span in spans_in(request):
        kept = sorted(span.attributes, key=lambda each: not each.key.startswith(_OF_RUN))
        del span.attributes[:], span.events[:]
        _fill(span, kept)


def _fill(span: Span, attributes: Sequence[object]) -> None:
    size = span.ByteSize()
    for each in attributes:
        more = each.ByteSize() + 3  # type: ignore[attr-defined]
        if size + more <= SMALL_BYTES:
            span.attributes.append(each)  # type: ignore[arg-type]
            size += more


SHAPES = (
    Shape("gRPC", over_grpc),
    Shape("gRPC, gzip", partial(over_grpc, compressed=True)),
    Shape("HTTP", over_http),
    Shape("HTTP, gzip", partial(over_http, compressed=True), compressed=True),
    Shape("gRPC, spans of 10 KiB", over_grpc, enlarge),
    Shape("gRPC, spans of 300 bytes", over_grpc, shrink),
    Shape("gRPC, one span a request", over_grpc, single=True),
)


def main(arguments: list[str]) -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shapes", description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--seconds", type=int, default=60, help="of steady load, default: 60")
    options = parser.parse_args(arguments)
    names = ("", "spans", "bytes/span", "CPU us/span", "requests/s", "spans/s")
    table = Table(*names)
    for shape in SHAPES:
        cells = list(measured(shape, options.spans))
        sys.stderr.write(f"{shape.name}: {cells}\n")
        table.add_row(shape.name, *cells)
    Console(width=100).print(table)
    Console(width=100).print(steady(options.seconds))


def measured(shape: Shape, spans: int) -> Iterator[str]:
    """The cells of a row."""
    requests = map(ExportTraceServiceRequest.FromString, amplify(MEASURED, spans))
    bodies, count, size = [], 0, 0
    for request in requests:
        if shape.made:
            shape.made(request)
        for body in _alone(request) if shape.single else [request.SerializeToString()]:
            size += len(body)
            bodies.append(gzip.compress(body, 6) if shape.compressed else body)
        count += sum(1 for _ in spans_in(request))
        if shape.single and count >= spans // SINGLE:
            break
    with (
        tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder,
        serving(Path(folder) / "data", **SOON) as service,
    ):
        before_s, begin_s = service.cpu_s(), time.monotonic()
        shape.send(service, bodies)
        took_s = time.monotonic() - begin_s
        used_s = service.used_s(before_s)
    yield f"{count:,}"
    yield f"{size / count:,.0f}"
    yield f"{used_s / count * 1e6:.1f}"
    yield f"{len(bodies) / took_s:,.0f}"
    yield f"{count / took_s:,.0f}"


def _alone(request: ExportTraceServiceRequest) -> Iterator[bytes]:
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                one = ExportTraceServiceRequest()
                to = one.resource_spans.add(resource=resource_spans.resource)
                to.scope_spans.add(scope=scope_spans.scope, spans=[span])
                yield one.SerializeToString()


def steady(seconds: int) -> Table:
    """Milliseconds until a request is answered, and seconds from the end of a run to its entries,
    at PER_SECOND, with the settings that a service has by itself."""
    spans = seconds * PER_SECOND
    every_s = SPANS_PER_REQUEST / PER_SECOND
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        with serving(data) as service, connected(service.collector.grpc) as exports:
            start_ns = time.time_ns() + spans * 60_000  # making them takes less
            gap_ns = _RUN_SPANS * SECOND_NS // PER_SECOND
            bodies = list(amplify(_COMPLETE, spans, start_ns=start_ns, gap_ns=gap_ns))
            answered: list[float] = []
            calls = []
            begin_s = time.monotonic() + max(0, start_ns - time.time_ns()) / SECOND_NS + 1
            before_s = service.cpu_s()
            for number, body in enumerate(bodies):
                due_s = begin_s + number * every_s
                time.sleep(max(0.0, due_s - time.monotonic()))
                call = exports[number % SENDERS](body)
                call.add_done_callback(
                    lambda _, due_s=due_s: answered.append(time.monotonic() - due_s)
                )
                calls.append(call)
            for call in calls:
                call.result()
            used_s = service.used_s(before_s)
        lags = _lags_s(data)
    table = Table(f"at {PER_SECOND:,} spans/s for {seconds} s", "p50", "p99", "greatest")
    table.add_row("answer, ms", *_quantiles([1000 * s for s in answered]))
    table.add_row("end of a run to its entries, s", *_quantiles(lags))
    table.add_row("CPU us/span", f"{used_s / spans * 1e6:.1f}", "", "")
    return table


_COMPLETE = tuple(name for name in MEASURED if "never_arrives" not in name)


def _lags_s(data: Path) -> list[float]:
    """Of each trace, from the end of its last step to its first entry."""
    files = LedgerReader(Settings(data=data).ledger_path).snapshot().ledger_files
    rows = duckdb.execute(
        "SELECT epoch(min(booked_at)) - epoch(max(ended_at)) FROM read_parquet(?)"
        " GROUP BY trace_id",
        [list(files)],
    ).fetchall()
    return [float(lag) for (lag,) in rows]


def _quantiles(values: list[float]) -> list[str]:
    ordered = sorted(values)
    greatest = (statistics.median(ordered), ordered[int(len(ordered) * 0.99)], ordered[-1])
    return [f"{value:.1f}" for value in greatest]


if __name__ == "__main__":
    main(sys.argv[1:])
