"""Items 1 to 15: how requests travel."""

from __future__ import annotations

import gzip
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from agentcost_collector.receive import grpc_server, http_protocol
from agentcost_collector.receive.config import Config
from tests.conformance.http2 import DATA, END_STREAM, GOAWAY, PING, SETTINGS, Http2, message
from tests.conformance.server import (
    EVERY,
    JSON,
    PROTOBUF,
    THREE,
    WAIT_S,
    call,
    request_of,
)

SMALL = {"request_bytes_max": 20_000, "retry_delay_s": 0.1}


@pytest.mark.parametrize("way", EVERY)
def test_01_gzip_and_no_compression(server, way):
    """Plain and gzip (on gRPC also deflate) are taken on every transport."""
    span = server.span()
    assert server.send_spans(way, span).ok
    assert len(server.rows(span)) == 1


def test_02_default_addresses():
    """gRPC on 4317 and HTTP on 4318, reachable from this machine only."""
    assert (Config().grpc, Config().http) == ("127.0.0.1:4317", "127.0.0.1:4318")


def test_03_service_and_unknown_methods(server):
    """TraceService/Export is served; any other method or service is UNIMPLEMENTED."""
    assert call(server.channel, b"").ok
    for path in ("trace.v1.TraceService/Import", "metrics.v1.MetricsService/Export"):
        export = server.channel.unary_unary(f"/opentelemetry.proto.collector.{path}")
        with pytest.raises(grpc.RpcError) as refused:
            export(b"", timeout=WAIT_S)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs", "/"])
def test_04_paths(server, path, media):
    """POST /v1/traces is served; other signals are a permanent 404 that says where traces go."""
    answer = server.request("POST", path, b"", {"Content-Type": media})
    assert (answer.code, answer.retried) == (404, False)
    assert "/v1/traces" in answer.message


def test_05_both_encodings_on_one_port(server):
    """Binary and JSON are told apart by Content-Type, on one connection."""
    spans = [server.span(), server.span()]
    sock = server.http.sock
    assert server.send_spans("http_protobuf", spans[0]).ok
    assert server.send_spans("http_json", spans[1]).ok
    assert sock is None or server.http.sock is sock
    assert len(server.rows(*spans)) == 2


def test_06_http_manners(server):
    """The connection stays open, also after refusals; other methods are 405 with Allow, other
    media types 415; parameters of the media type are accepted."""
    wrong = server.request("PUT", "/v1/traces", b"", {"Content-Type": PROTOBUF})
    assert (wrong.code, wrong.headers["Allow"]) == (405, "POST")
    sock = server.http.sock
    assert server.request("POST", "/v1/traces", b"", {"Content-Type": "text/plain"}).code == 415
    parameters = {"Content-Type": f"{JSON}; charset=utf-8"}
    assert server.request("POST", "/v1/traces", b"{}", parameters).ok
    assert server.http.sock is sock


@pytest.mark.parametrize("way", EVERY)
def test_07_request_size_after_decompression(serve, way):
    """A request of exactly the limit is taken; one byte more, counted after decompression, is
    refused for good, however small it was on the wire. The default is 64 MiB."""
    assert Config().request_bytes_max == 64 * 2**20
    server = serve(receive=SMALL | {"request_bytes_max": 200_000})
    exact = b" " * 199_998 + b"{}" if "json" in way else b"\x12" + b"\xbc\x9a\x0c" + b"\0" * 199_996
    assert len(exact) == 200_000
    assert server.send_raw(exact, way).ok
    answer = server.send_raw(exact + (b" " if "json" in way else b"\x12\0"), way)
    assert (answer.ok, answer.retried) == (False, False)


@pytest.mark.parametrize("way", ["grpc", "grpc_gzip", "grpc_deflate"])
def test_08_over_the_limit_by_grpc(serve, way):
    """Over the limit is RESOURCE_EXHAUSTED without RetryInfo, which is not sent again."""
    answer = serve(receive=SMALL).send_raw(b"\0" * 20_001, way)
    assert answer.code == "RESOURCE_EXHAUSTED"
    assert "google.rpc.retryinfo-bin" not in answer.headers


@pytest.mark.parametrize("way", ["http_protobuf", "http_json", "http_protobuf_gzip"])
def test_09_over_the_limit_by_http(serve, way):
    """Over the limit is 413 with a Status in the request's encoding, which has the limit and the
    setting."""
    answer = serve(receive=SMALL).send_raw(b" " * 20_001, way)
    assert (answer.code, answer.headers["Content-Type"]) == (
        413,
        JSON if "json" in way else PROTOBUF,
    )
    assert "20000 bytes" in answer.message
    assert "request_bytes_max" in answer.message


@pytest.mark.parametrize("way", THREE)
def test_10_answers_are_short(server, way):
    """However much is wrong in a request, the answer stays within a few hundred bytes."""
    spans = [server.span(trace_id=b"x" * n, name="n" * 1000) for n in range(17, 117)]
    answer = server.send_spans(way, *spans)
    assert answer.response.partial_success.error_message
    assert answer.response.ByteSize() < 1000


def test_11_a_thousand_requests_at_once(serve):
    """1,000 unary calls of one client are all in flight while a commit is stuck; a request that
    needs no commit is answered before them; then few commits store them all."""
    server = serve()
    server.gate.clear()
    body = request_of(server.span()).SerializeToString()
    export = server.channel.unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    )
    calls = [export.future(body, timeout=WAIT_S) for _ in range(1000)]
    assert server.entered.acquire(timeout=WAIT_S)
    assert server.request("POST", "/v1/logs", b"", {"Content-Type": PROTOBUF}).code == 404
    assert not any(call.done() for call in calls)
    server.gate.set()
    assert {call.result() for call in calls} == {b""}
    assert sum(server.groups) == 1000
    assert len(server.groups) <= 100


@pytest.mark.parametrize("way", THREE)
def test_12_bytes_in_flight_are_bounded(serve, way):
    """While the memory for requests is taken, the next ones are put off before they are read."""
    server = serve(receive=SMALL | {"bytes_in_flight_max": 160_000})
    server.gate.clear()
    body = b"\x12\x80\x9c\x01" + b"\0" * 19_968
    with ThreadPoolExecutor() as pool:
        first = pool.submit(call, server.channel, body)
        assert server.entered.acquire(timeout=WAIT_S)
        answer = server.send_raw(b" " * 19_000, way)
        assert answer.code in ("UNAVAILABLE", 503)
        assert min(answer.delay_ms()) == 100
        assert "memory for requests is taken" in answer.message
        server.gate.set()
        assert first.result().ok


@pytest.mark.parametrize(("shortest_ms", "polite"), [(0, True), (None, False)])
def test_13_pings_of_clients(serve, monkeypatch, shortest_ms, polite):
    """Pings every 10 seconds are no reason to close a connection: the shortest time between pings,
    which the server does observe, is below that."""
    assert grpc_server._PING_INTERVAL_MS_MIN < 10_000
    if shortest_ms is not None:
        monkeypatch.setattr(grpc_server, "_PING_INTERVAL_MS_MIN", shortest_ms)
    assert pings_are_answered(serve()) is polite


def pings_are_answered(server):
    with Http2(server.addresses.grpc) as client:
        for number in range(5):
            client.frame(PING, number.to_bytes(8, "big"))
            while (frame := client.receive())[0] == SETTINGS:
                pass
            if frame[0] == GOAWAY:
                return False
            assert frame == (PING, 1, number.to_bytes(8, "big"))
    return True


@pytest.mark.parametrize("way", ["http_protobuf", "http_json"])
@pytest.mark.parametrize("encoding", ["zstd", "snappy", "br", "gzip, gzip"])
def test_14_other_content_encodings(server, way, encoding):
    """A compression that is not offered is refused for good, with a Status that names it."""
    answer = server.send_raw(b"{}", way, {"Content-Encoding": encoding})
    assert (answer.code, answer.retried) == (415, False)
    assert repr(encoding) in answer.message


@pytest.mark.parametrize("encoding", ["snappy", "zstd"])
def test_14_other_encodings_by_grpc(server, encoding):
    """On gRPC the library answers a compression that is not offered: INTERNAL, not sent again."""
    with Http2(server.addresses.grpc) as client:
        client.open_call(grpc_encoding=encoding)
        client.frame(DATA, message(b"abc", compressed=True), END_STREAM, 1)
        assert b"grpc-status\x0213" in client.answer()


@pytest.mark.parametrize("way", ["http_protobuf", "http_json"])
def test_14_gzip_members(server, way):
    """A gzip body of several members is whole; a truncated one is 400."""
    plain = b"{} " if "json" in way else b"\x12\0\x12\0"
    members = gzip.compress(plain[:2]) + gzip.compress(plain[2:])
    encoding = {"Content-Encoding": "gzip"}
    assert server.send_raw(members, way, encoding).ok
    answer = server.send_raw(members[:-1], way, encoding)
    assert (answer.code, answer.retried) == (400, False)


def test_15_a_slow_http_body(serve):
    """A body that does not arrive in time is answered, so that it is sent again, and the
    connection is closed."""
    server = serve(receive={"body_wait_s": 0.05})
    client = http.client.HTTPConnection(server.addresses.http, timeout=WAIT_S)
    client.putrequest("POST", "/v1/traces")
    client.putheader("Content-Type", PROTOBUF)
    client.putheader("Content-Length", "100")
    client.endheaders(b"\x12")
    response = client.getresponse()
    assert (response.status, response.getheader("Connection")) == (503, "close")
    client.close()


def test_15_a_slow_http_head(server, monkeypatch):
    """A head that does not arrive in time, or is too long, is answered with a Status and the
    connection is closed."""
    monkeypatch.setattr(http_protocol.HttpProtocol, "head_wait_s", 0.05)
    assert raw_http(server, b"POST /v1/traces HTTP/1.1\r\nHost: a\r\n").startswith(b"HTTP/1.1 503 ")
    monkeypatch.undo()
    head = b"POST /v1/traces HTTP/1.1\r\n" + b"a: b\r\n" * 20_000
    assert raw_http(server, head).startswith(b"HTTP/1.1 431 ")
    answer = raw_http(server, b"\x16\x03\x01 this is TLS")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"message"' in answer


def raw_http(server, sent):
    host, _, port = server.addresses.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as sock:
        sock.sendall(sent)
        with sock.makefile("rb") as file:
            return file.read()


def test_15_a_slow_grpc_message(serve):
    """A message that stops in the middle is answered UNAVAILABLE, holds no memory afterwards, and
    others were served meanwhile."""
    server = serve(receive={"body_wait_s": 0.05})
    with Http2(server.addresses.grpc) as client:
        client.open_call()
        client.frame(DATA, message(b"abc", claimed=1000), 0, 1)
        assert call(server.channel, b"").ok
        assert b"grpc-status\x0214" in client.answer()
    assert server.receiver._grpc._admission.bytes_now == 0


def test_15_a_grpc_message_cut_short(server):
    """A call that ends in the middle of its message, or without any, is answered."""
    for sent in (message(b"abc", claimed=1000), b""):
        with Http2(server.addresses.grpc) as client:
            client.open_call()
            client.frame(DATA, sent, END_STREAM, 1)
            assert b"grpc-status" in client.answer()
    assert call(server.channel, b"").ok
