"""`agentcost send` exports as a good OTLP client does, and tells what was refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.cli.command import FIXTURES, agentcost, parse_facts, refusal

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RECORDING = FIXTURES / "crewai" / "crewai.otlp.bin"
PARTIAL = ExportTraceServiceResponse()
PARTIAL.partial_success.rejected_spans = 2
PARTIAL.partial_success.error_message = "two \x1b[31mbad ids"

GrpcAnswer = Callable[[grpc.ServicerContext], bytes]
HttpAnswer = tuple[int, dict[str, str], bytes]


def _recorded() -> list[bytes]:
    bodies, rest = [], RECORDING.read_bytes()
    while rest:
        length = int.from_bytes(rest[:4], "big")
        bodies.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return bodies


def _ok(_: grpc.ServicerContext) -> bytes:
    return b""


def _later(context: grpc.ServicerContext) -> bytes:
    info = Any()
    info.Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
    details = Status(code=14, message="full", details=[info]).SerializeToString()
    context.set_trailing_metadata((("grpc-status-details-bin", details),))
    context.abort(grpc.StatusCode.UNAVAILABLE, "full")
    raise AssertionError("abort raises")


def _never(context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a trace export")
    raise AssertionError("abort raises")


@contextmanager
def _grpc_collector(answers: list[GrpcAnswer]) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each request with the next of `answers`, then with success; keeps the bodies."""
    received: list[bytes] = []

    def export(body: bytes, context: grpc.ServicerContext) -> bytes:
        received.append(body)
        return answers.pop(0)(context) if answers else b""

    service, method = EXPORT[1:].split("/")
    handler = grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(export)}
    )
    server = grpc.server(ThreadPoolExecutor(1), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


@contextmanager
def _http_collector(
    answers: list[HttpAnswer],
) -> Iterator[tuple[str, list[tuple[str, str, bytes]]]]:
    """As _grpc_collector; keeps path, content type and body."""
    received: list[tuple[str, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], body))
            status, headers, answer = answers.pop(0) if answers else (200, {}, b"")
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_bytes_go_out_as_recorded() -> None:
    """Every request of a file arrives unchanged, in order, over gRPC and over HTTP."""
    bodies = _recorded()
    with _grpc_collector([]) as (endpoint, received):
        done = agentcost("send", RECORDING, "--endpoint", endpoint)
    assert (done.returncode, received) == (0, bodies)
    facts = parse_facts(done.stdout)
    assert (facts["requests"], facts["bytes"]) == (str(len(bodies)), str(sum(map(len, bodies))))
    with _http_collector([]) as (endpoint, posted):
        done = agentcost("send", RECORDING, "--http", "--endpoint", f"http://{endpoint}")
    assert done.returncode == 0
    assert posted == [("/v1/traces", "application/x-protobuf", body) for body in bodies]


def test_put_off_requests_are_sent_again() -> None:
    """UNAVAILABLE with a delay, and 503 with Retry-After, lead to the same request once more."""
    bodies = _recorded()
    with _grpc_collector([_later, _later]) as (endpoint, received):
        done = agentcost("send", RECORDING, "--endpoint", endpoint)
    assert (done.returncode, received) == (0, [bodies[0]] * 2 + bodies)
    with _http_collector([(503, {"Retry-After": "0"}, b"")]) as (endpoint, posted):
        done = agentcost("send", RECORDING, "--http", "--endpoint", endpoint)
    assert (done.returncode, [body for *_, body in posted]) == (0, [bodies[0], *bodies])


def test_refused_requests_do_not_stop_the_rest() -> None:
    """A refused request is told and counted, the others go on, the exit code is 1."""
    bodies = _recorded()
    with _grpc_collector([_never]) as (endpoint, received):
        done = agentcost("send", RECORDING, "--endpoint", endpoint)
    assert (done.returncode, received) == (1, bodies)
    assert "INVALID_ARGUMENT: not a trace export" in done.stderr
    facts = parse_facts(done.stdout)
    assert (facts["requests"], facts["requests refused"]) == (str(len(bodies) - 1), "1")
    refused = Status(code=3, message="not a trace export").SerializeToString()
    with _http_collector([(400, {}, refused)]) as (endpoint, _):
        done = agentcost("send", RECORDING, "--http", "--endpoint", endpoint)
    assert done.returncode == 1
    assert "400 Bad Request: not a trace export" in done.stderr


def test_rejected_spans_are_told() -> None:
    """A partial success names how many spans and why, in harmless characters; exit code 1."""
    with _grpc_collector([lambda _: PARTIAL.SerializeToString(), _ok]) as (endpoint, _):
        done = agentcost("send", RECORDING, "--endpoint", endpoint)
    assert done.returncode == 1
    assert done.stderr == f"{RECORDING}: 2 spans rejected: two [31mbad ids\n"
    assert parse_facts(done.stdout)["spans rejected"] == "2"


@pytest.mark.parametrize("http", [[], ["--http"]])
def test_nobody_there(http: list[str]) -> None:
    """A collector that does not answer is named, without a traceback; exit code 1."""
    done = agentcost("send", RECORDING, "--endpoint", "127.0.0.1:1", *http)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("agentcost: 127.0.0.1:1 does not take the traces: ")
    assert "is `agentcost serve` running?" in done.stderr


@pytest.mark.parametrize("endpoint", ["localhost", "host:x", "host:0", "http://h:1/v1", ":4317"])
def test_a_wrong_endpoint(endpoint: str) -> None:
    """What is not HOST:PORT is refused before anything is sent."""
    assert f"--endpoint {endpoint}: should be HOST:PORT" in refusal(
        "send", RECORDING, "--endpoint", endpoint
    )


def test_a_damaged_file(tmp_path: Path) -> None:
    """A file that ends too early is named and counted; what came before it and the other files
    are sent; exit code 1, as with replay."""
    cut = tmp_path / "cut.otlp.bin"
    cut.write_bytes(RECORDING.read_bytes()[:-1])
    whole = tmp_path / "whole.otlp.bin"
    whole.write_bytes(RECORDING.read_bytes())
    with _grpc_collector([]) as (endpoint, received):
        done = agentcost("send", tmp_path, "--endpoint", endpoint)
    assert done.returncode == 1
    assert f"{cut}: the frame at byte" in done.stderr
    assert received == [*_recorded()[:-1], *_recorded()]
    assert parse_facts(done.stdout)["files unreadable"] == "1"
