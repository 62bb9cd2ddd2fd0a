"""A real receiver, decoder and journal on free ports, and one way to send over any transport."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agentcost_collector.decode.otlp_json import json_to_protobuf
from agentcost_collector.intake import into_journal
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.receive.receiver import Receiver
from agentcost_collector.settings import Settings
from tests.decode.test_otlp_json import as_otlp_json

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WAIT_S = 60  # only a failing test waits that long
PROTOBUF, JSON = "application/x-protobuf", "application/json"
THREE = ("grpc", "http_protobuf", "http_json")
"""The transports; each also with `_gzip`, gRPC with `_deflate`."""
EVERY = (*THREE, "grpc_gzip", "grpc_deflate", "http_protobuf_gzip", "http_json_gzip")
START_NS = 1_790_000_000_000_000_000

RETRIED_GRPC = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE")
RETRIED_HTTP = (429, 502, 503, 504)
"""What OTLP clients send again (DATA_LOSS too, which nothing here answers)."""


@dataclass(frozen=True)
class Answer:
    """What a client was told, by any transport."""

    code: str | int
    """Name of the gRPC status, or the HTTP status."""
    response: ExportTraceServiceResponse | None = None
    status: Status | None = None
    headers: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.code in ("OK", 200)

    @property
    def retried(self) -> bool:
        """Whether clients send the request again."""
        return self.code in RETRIED_GRPC or self.code in RETRIED_HTTP

    @property
    def message(self) -> str:
        assert self.status is not None
        return self.status.message

    def detail(self, kind: type) -> Any:
        """The detail of that kind in the Status, or None."""
        assert self.status is not None
        for packed in self.status.details:
            found = kind()
            if packed.Unpack(found):
                return found
        return None

    def delay_ms(self) -> list[int]:
        """The delay in every place where clients look for one."""
        found = [self.detail(RetryInfo).retry_delay.ToMilliseconds()]
        if isinstance(self.code, int):
            return [*found, 1000 * int(self.headers["Retry-After"])]
        trailer = RetryInfo.FromString(self.headers["google.rpc.retryinfo-bin"])
        return [*found, trailer.retry_delay.ToMilliseconds()]


class Server:
    """Serves until `close`. While `gate` is clear nothing is stored; `faults` are raised first."""

    def __init__(self, data: Path, **settings: Any) -> None:
        listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}
        receive = {**listen, **settings.pop("receive", {})}
        self.settings = Settings(data=data, receive=receive, **settings)
        self.journal = Journal.open(self.settings.journal_path, self.settings.journal)
        self._reader = JournalReader.open(self.settings.journal_path, self.settings.journal)
        self._into_journal = into_journal(self.settings, self.journal)
        self._numbers = itertools.count(1)
        self.gate = threading.Event()
        self.gate.set()
        self.faults: deque[Exception] = deque()
        self.groups: list[int] = []
        self.entered = threading.Semaphore(0)
        self.receiver = Receiver(self.settings.receive, self._store, json_to_protobuf, time.time_ns)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.addresses = self._run(self.receiver.start()).result(WAIT_S)
        self.channel = grpc.insecure_channel(
            self.addresses.grpc, [("grpc.max_send_message_length", -1)]
        )
        self.http = http.client.HTTPConnection(self.addresses.http, timeout=WAIT_S)

    def close(self) -> None:
        self.gate.set()
        self.channel.close()
        self.http.close()
        self._run(self.receiver.stop(1)).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()
        self._reader.close()
        self.journal.close()

    def _run(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _store(self, payloads: Sequence[Payload]) -> Sequence[Outcome]:
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        if self.faults:
            raise self.faults.popleft()
        outcomes = self._into_journal(payloads)
        self.groups.append(len(payloads))
        return outcomes

    # --- what is sent -----------------------------------------------------------------------------

    def span(self, **fields: Any) -> Span:
        """A valid span under ids that no other span of this server has."""
        number = next(self._numbers)
        usual = {
            "trace_id": (10**6 + number).to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "name": f"span {number}",
            "start_time_unix_nano": START_NS,
            "end_time_unix_nano": START_NS + 10**9,
        }
        return Span(**{**usual, **fields})

    def send(self, body: bytes, way: str) -> Answer:
        """Sends protobuf bytes, as OTLP/JSON where the way says so."""
        if "json" in way:
            body = as_otlp_json(body)
        return self.send_raw(body, way)

    def send_spans(self, way: str, *spans: Span) -> Answer:
        """Sends spans under one resource and scope."""
        return self.send(request_of(*spans).SerializeToString(), way)

    def send_raw(self, body: bytes, way: str, headers: dict[str, str] | None = None) -> Answer:
        """Sends exactly these bytes, compressed where the way says so."""
        if way.startswith("grpc"):
            return call(self.channel, body, way)
        sent = {"Content-Type": JSON if "json" in way else PROTOBUF, **(headers or {})}
        if way.endswith("gzip"):
            body, sent = gzip.compress(body, 1), {**sent, "Content-Encoding": "gzip"}
        return self.request("POST", "/v1/traces", body, sent)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Any HTTP request on the one connection of this server."""
        self.http.request(method, path, body, headers or {}, encode_chunked=False)
        response = self.http.getresponse()
        return read_http(response.status, response.read(), dict(response.getheaders()))

    # --- what was kept ----------------------------------------------------------------------------

    def rows(self, *spans: Span, after: int = 0) -> list[dict[str, Any]]:
        """The rows that another reader of the journal finds for these spans, in their order, behind
        position `after`."""
        wanted = {(s.trace_id.hex(), s.span_id.hex()): n for n, s in enumerate(spans)}
        found = [
            row
            for batch in self._reader.after(after, 2**40)
            for row in batch.spans.to_pylist()
            if (row["trace_id"], row["span_id"]) in wanted
        ]
        return sorted(found, key=lambda row: wanted[row["trace_id"], row["span_id"]])

    def set_aside(self) -> int:
        """Spans in quarantine, ever."""
        return self._reader.totals().spans_quarantined

    def head(self) -> int:
        """Position of the last batch."""
        return self._reader.head()


def request_of(*spans: Span) -> ExportTraceServiceRequest:
    """A request with these spans under one resource and one scope."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request


def call(channel: grpc.Channel, body: bytes, way: str = "grpc", **options: Any) -> Answer:
    """One gRPC call."""
    squeeze = {"grpc_gzip": grpc.Compression.Gzip, "grpc_deflate": grpc.Compression.Deflate}
    export = channel.unary_unary(EXPORT)
    try:
        answer = export(body, timeout=WAIT_S, compression=squeeze.get(way), **options)
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        status = Status.FromString(trailers.get("grpc-status-details-bin", b""))
        return Answer(error.code().name, None, status, trailers)
    return Answer("OK", ExportTraceServiceResponse.FromString(answer))


def read_http(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    """An HTTP answer; a body that is not what its media type says fails the test."""
    kind: Any = ExportTraceServiceResponse if code == 200 else Status
    if headers["content-type"] == PROTOBUF:
        read = kind.FromString(body)
    else:
        assert headers["content-type"] == JSON, headers
        read = json_format.Parse(body, kind())
        json.loads(body)
    headers = {key.title(): value for key, value in headers.items()}
    return Answer(code, read if code == 200 else None, None if code == 200 else read, headers)
