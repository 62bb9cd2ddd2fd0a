"""Whatever way the same spans come, and however often, the ledger says the same."""

from __future__ import annotations

import gzip
import http.client
import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost, parse_facts
from tests.decode.test_otlp_json import as_otlp_json
from tests.end_to_end.waiting import until
from tests.support.collector import Collector, running
from tests.support.recordings import names, requests_of

pytestmark = pytest.mark.slow

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
QUICK = {"assemble__settle_ms": "100", "assemble__idle_ms": "300", "poll_ms": "20"}
BOOKING = ("entry_reason", "booked_at", "journal", "batch_seq", "row_no")


class Sender:
    """One connection of each kind to a collector."""

    def __init__(self, collector: Collector) -> None:
        self._channel = grpc.insecure_channel(collector.grpc)
        self._export = self._channel.unary_unary(METHOD)
        self._http = http.client.HTTPConnection(collector.http, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._http.close()

    def send(self, body: bytes, way: str) -> None:
        """Sends until acknowledged; anything else fails the test."""
        if way.startswith("grpc"):
            squeeze = grpc.Compression.Gzip if way == "grpc gzip" else None
            self._export(body, timeout=60, wait_for_ready=True, compression=squeeze)
            return
        headers = {"Content-Type": "application/x-protobuf"}
        if way.startswith("json"):
            body, headers = as_otlp_json(body), {"Content-Type": "application/json"}
        if way.endswith("gzip"):
            body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
        self._http.request("POST", "/v1/traces", body, headers)
        response = self._http.getresponse()
        assert response.status == 200, response.read()
        response.read()


WAYS = ("grpc", "grpc gzip", "protobuf", "protobuf gzip", "json", "json gzip")


def send_all(collector: Collector, requests: Sequence[tuple[bytes, str]], threads: int) -> None:
    """Shares the requests out between connections that send at the same time."""

    def share(first: int) -> None:
        with Sender(collector) as sender:
            for body, way in requests[first::threads]:
                sender.send(body, way)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(share, n) for n in range(threads)]:
            done.result()


def span_by_span(body: bytes) -> list[bytes]:
    """A request for each span of a request."""
    parts = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                request = ExportTraceServiceRequest()
                into = request.resource_spans.add(resource=resource_spans.resource)
                into.scope_spans.add(scope=scope_spans.scope, spans=[span])
                parts.append(request.SerializeToString())
    return parts


def settled(data: Path, acknowledged: int | None = None) -> bool:
    """Everything that was acknowledged is settled; at every moment the counts add up."""
    facts = parse_facts(agentcost("status", "--data", data).stdout)
    numbers = {key: int(facts[f"spans {key}"]) for key in ("waiting", "open", "settled")}
    assert min(numbers.values()) >= 0, facts
    assert sum(numbers.values()) == int(facts["spans acknowledged"]), facts
    assert facts["conservation"] == "ok", facts
    assert acknowledged in (None, int(facts["spans acknowledged"])), facts
    return not numbers["waiting"] and not numbers["open"]


def steps_of(data: Path) -> pa.Table:
    """What stands, without when and how it was booked."""
    table = open_views(data).sql("SELECT * FROM steps ORDER BY ALL").to_arrow_table()
    kept = [name for name in table.schema.names if name not in BOOKING]
    rows = table.select(kept)
    return rows.sort_by([("trace_id", "ascending"), ("step_id", "ascending")])


def test_any_order_and_any_number_of_times(tmp_path):
    """In order and once; then every span on its own, shuffled, five times at once over several
    connections and transports, half of it settled and a restart in between, and all again."""
    bodies = [body for name in names() for body in requests_of(name)]
    once, often = tmp_path / "once", tmp_path / "often"
    with running(once, assemble__settle_ms="2000", assemble__idle_ms="2000") as collector:
        send_all(collector, [(body, "grpc") for body in bodies], 1)
        until(lambda: settled(once), "settled spans")
    parts = [part for body in bodies for part in span_by_span(body)]
    source = random.Random(11)
    ways = itertools.cycle(WAYS)
    copies = [(part, next(ways)) for part in source.sample(parts, len(parts)) for _ in range(5)]
    half = len(copies) // 2
    with running(often, **QUICK) as collector:
        send_all(collector, copies[:half], 5)
        until(lambda: settled(often, half), "settled spans")
    with running(often, **QUICK) as collector:
        settled(often)
        send_all(collector, copies[half:], 5)
        until(lambda: settled(often, len(copies)), "settled spans")
        version = LedgerReader(often / "ledger").snapshot().version
        send_all(collector, [(body, "grpc") for body in bodies], 3)
        until(lambda: settled(often, len(copies) + len(parts)), "settled spans")
    assert LedgerReader(often / "ledger").snapshot().version == version
    expected, found = steps_of(once), steps_of(often)
    assert expected.num_rows > 100
    for name in expected.schema.names:
        assert found.column(name).equals(expected.column(name)), name
