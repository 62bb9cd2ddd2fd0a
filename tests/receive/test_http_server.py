from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import socket

import pytest
from google.rpc.code_pb2 import INVALID_ARGUMENT, NOT_FOUND, UNAVAILABLE
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from agentcost_collector.model.access import OpenGate
from agentcost_collector.model.errors import TransientError
from agentcost_collector.model.payload import Outcome
from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.counts import Counts
from agentcost_collector.receive.http_server import Endpoint

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
SPAN_JSON = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"call"}]}]}]}'


class Client:
    """One connection that is kept open: every request on it also shows that it still is."""

    def __init__(self, running):
        self._connection = http.client.HTTPConnection(running.addresses.http, timeout=30)
        self._connection.connect()
        self._connection.auto_open = False

    def __call__(self, body=b"", media=PROTOBUF, path="/v1/traces", method="POST", **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if media is not None:
            sent["Content-Type"] = media
        chunked = not isinstance(body, bytes)
        self._connection.request(method, path, body, sent, encode_chunked=chunked)
        response = self._connection.getresponse()
        return response.status, response.read(), response.headers

    def close(self):
        self._connection.close()


@pytest.fixture
def call(running):
    client = Client(running)
    yield client
    client.close()


def accepted(call):
    """Whether the same connection still takes a request."""
    return call(b"good")[:2] == (200, b"")


def status_in(answer, as_json):
    _, body, headers = answer
    assert headers["Content-Type"] == (JSON if as_json else PROTOBUF)
    if as_json:
        found = json.loads(body)
        return found["code"], found["message"]
    found = Status.FromString(body)
    return found.code, found.message


def test_json_is_handed_on_as_protobuf(running, call):
    """OTLP/JSON, with parameters on its media type, reaches the store as protobuf."""
    http_status, body, headers = call(SPAN_JSON, f"{JSON}; charset=utf-8")
    assert (http_status, body, headers["Content-Type"]) == (200, b"{}", JSON)
    (stored,) = running.store.bodies
    (resource_spans,) = ExportTraceServiceRequest.FromString(stored).resource_spans
    assert resource_spans.scope_spans[0].spans[0].name == "call"


@pytest.mark.parametrize(
    "compressed",
    [
        gzip.compress(b"x" * 99_000),
        gzip.compress(b"x" * 50_000) + gzip.compress(b"x" * 49_000),
        gzip.compress(b"") + gzip.compress(b"x" * 99_000),
    ],
    ids=["one member", "two members", "an empty member first"],
)
@pytest.mark.parametrize("chunk_bytes", [1, 100_000])
def test_gzip_is_undone(running, call, compressed, chunk_bytes):
    """A gzip body of any number of members arrives whole, however it is cut into chunks."""
    chunks = (compressed[at : at + chunk_bytes] for at in range(0, len(compressed), chunk_bytes))
    assert call(chunks, Content_Encoding="GZIP", Transfer_Encoding="chunked")[:2] == (200, b"")
    assert running.store.bodies == [b"x" * 99_000]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gzip.compress(b"abc")[:-1], 400),
        (gzip.compress(b"abc" * 1000)[:15], 400),
        (gzip.compress(b"abc") + b"junk", 400),
        (gzip.compress(b"") * 1001, 400),
        (b"not gzip", 400),
        (gzip.compress(b"\0" * 100_001), 413),
        (gzip.compress(b"\0" * 50_000_000), 413),
    ],
    ids=["no end", "half", "junk after", "1001 members", "not gzip", "just over", "bomb"],
)
def test_bad_gzip_is_refused(running, call, body, expected, as_json):
    """Broken, cut or exploding gzip is refused for good, nothing of it is kept, and the
    connection goes on."""
    answer = call(body, JSON if as_json else PROTOBUF, Content_Encoding="gzip")
    assert answer[0] == expected
    _, message = status_in(answer, as_json)
    assert message
    assert accepted(call)
    assert running.store.bodies == [b"good"]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_over_the_limit_is_refused(running, call, as_json, chunked):
    """One byte over the limit is 413 with the limit in the message, with and without a length
    given; exactly the limit passes."""
    media = JSON if as_json else PROTOBUF
    size = 3_000_000 if chunked else 100_001
    body = (b"x" * 1000 for _ in range(size // 1000)) if chunked else b"x" * size
    answer = call(body, media, **({"Transfer_Encoding": "chunked"} if chunked else {}))
    assert answer[0] == 413
    assert "larger than 100000 bytes" in status_in(answer, as_json)[1]
    assert call(b"x" * 100_000)[0] == 200
    assert running.store.bodies == [b"x" * 100_000]


def test_empty_requests(running, call):
    """Zero bytes are a valid empty protobuf request, gzip or not, and not valid JSON."""
    assert call(b"")[:2] == (200, b"")
    assert call(b"", Content_Encoding="gzip")[:2] == (200, b"")
    assert call(b"", JSON)[0] == 400
    assert call(b"{}", JSON)[:2] == (200, b"{}")
    assert running.store.bodies == [b""] * 3


@pytest.mark.parametrize("media", ["text/plain", "application/grpc", "", None])
def test_another_media_type_is_415(running, call, media):
    """A body of an unknown kind is refused with what would be taken."""
    answer = call(b"x", media)
    assert answer[0] == 415
    assert "application/x-protobuf or application/json" in status_in(answer, as_json=True)[1]
    assert accepted(call)


@pytest.mark.parametrize("encoding", ["zstd", "deflate", "gzip, gzip", "br"])
def test_another_encoding_is_415(running, call, encoding):
    """A compression that is not offered is refused by name."""
    answer = call(b"x", Content_Encoding=encoding)
    assert answer[0] == 415
    assert f"not '{encoding}'" in status_in(answer, as_json=False)[1]
    assert accepted(call)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "path", ["/", "/v1/metrics", "/v1/logs", "/v1/traces/", "/v1/traces\u0041"]
)
def test_another_path_is_404(running, call, path, as_json):
    """A wrong path says where traces are taken, in the encoding of the request."""
    answer = call(b"x", JSON if as_json else PROTOBUF, path)
    assert answer[0] == 404
    code, message = status_in(answer, as_json)
    assert code == NOT_FOUND
    assert message.endswith("send traces to /v1/traces.")
    assert accepted(call)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/traces", "POST"),
        ("PUT", "/v1/traces", "POST"),
        ("OPTIONS", "/v1/traces", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_another_method_is_405(running, call, method, path, allowed):
    """A wrong method says which one is right."""
    answer = call(b"", JSON, path, method)
    assert answer[0] == 405
    assert answer[2]["Allow"] == allowed
    assert method in status_in(answer, as_json=True)[1]
    assert accepted(call)


def test_healthz(call):
    """A health check is answered without a body or a media type."""
    http_status, body, _ = call(media=None, path="/healthz", method="GET")
    assert (http_status, json.loads(body)) == (200, {"status": "ok"})
    assert call(media=None, path="/healthz", method="HEAD")[:2] == (200, b"")


@pytest.mark.parametrize("as_json", [False, True])
def test_malformed_is_400_with_the_reason(running, call, as_json):
    """What can never be read is 400 with the reason twice: as message and as BadRequest."""
    running.store.outcomes[b"bad"] = Outcome(malformed="3 bytes that are not protobuf")
    answer = call(b"bad", JSON if as_json else PROTOBUF)
    assert answer[0] == 400
    code, message = status_in(answer, as_json)
    assert code == INVALID_ARGUMENT
    detail = BadRequest()
    if as_json:
        assert message.startswith("The body is not OTLP/JSON")
        (found,) = json.loads(answer[1])["details"]
        assert found["@type"] == "type.googleapis.com/google.rpc.BadRequest"
        assert found["fieldViolations"][0]["description"] == message
    else:
        assert message == "3 bytes that are not protobuf"
        assert Status.FromString(answer[1]).details[0].Unpack(detail)
        assert detail.field_violations[0].description == message
    assert accepted(call)


def test_rejected_spans_are_a_partial_success(running, call):
    """Spans set aside are counted and explained in the answer, in either encoding."""
    empty = ExportTraceServiceRequest().SerializeToString()
    running.store.outcomes[empty] = Outcome(rejected_spans=2, message="two bad trace ids")
    http_status, body, _ = call(empty)
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    assert (http_status, partial.rejected_spans, partial.error_message) == (
        200,
        2,
        "two bad trace ids",
    )
    http_status, body, _ = call(b"{}", JSON)
    assert (http_status, json.loads(body)) == (
        200,
        {"partialSuccess": {"rejectedSpans": "2", "errorMessage": "two bad trace ids"}},
    )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "error", [TransientError("The disk is full."), ZeroDivisionError("secret")]
)
def test_failures_of_ours_are_503_with_a_delay(running, call, as_json, error):
    """A store that fails, in a foreseen way or not, makes the client come back, and what went
    wrong inside is told only where it is meant to be."""
    running.store.errors.append(error)
    answer = call(b"{}" if as_json else b"", JSON if as_json else PROTOBUF)
    assert (answer[0], answer[2]["Retry-After"]) == (503, "1")
    code, message = status_in(answer, as_json)
    assert code == UNAVAILABLE
    assert message == (
        "The disk is full."
        if isinstance(error, TransientError)
        else "The collector failed to handle the request; its log says why. Send it again."
    )
    if not as_json:
        retry = RetryInfo()
        assert Status.FromString(answer[1]).details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 250
    assert accepted(call)


def test_a_bug_in_the_json_reader_is_503(running, call):
    """An exception that the JSON conversion should not raise never makes a client drop data."""
    assert call(b'"our bug"', JSON)[0] == 503
    assert accepted(call)


def test_a_client_that_closes_after_sending_still_hears_why(running):
    """A refused request with `Connection: close` gets its whole answer before the end."""
    with socket.create_connection(running.addresses.http.split(":"), timeout=30) as client:
        body = b"x" * 5_000_000
        client.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            b"Content-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")


def drive(config, messages):
    """Run the endpoint on one request whose body comes as `messages`, and then nothing more.
    Returns what was sent, and the bytes still held."""

    async def receive():
        return next(coming, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def main():
        committer = Committer(lambda payloads: [Outcome()] * len(payloads), 1, 1)
        endpoint = Endpoint(config, admission, committer, OpenGate(), bytes, lambda: 0, Counts())
        committer.start()
        await endpoint(scope, receive, send)
        await committer.stop()
        endpoint.close()

    coming, sent, admission = iter(messages), [], Admission(config.body_bytes_max, 0)
    headers = [(b"content-type", b"application/x-protobuf")]
    scope = {"type": "http", "method": "POST", "path": "/v1/traces", "headers": headers}
    asyncio.run(main())
    return sent, admission.bytes_now


PART = {"type": "http.request", "body": b"x" * 10, "more_body": True}


def test_a_client_that_vanishes_frees_its_memory():
    """A body that breaks off is forgotten: nothing is held, nothing is stored, nothing is sent."""
    assert drive(Config(), [PART, {"type": "http.disconnect"}]) == ([], 0)


def test_a_body_that_never_ends_is_put_off():
    """A client too slow to send its body is told to try again, and the connection is closed."""
    (start, body), held = drive(Config(body_wait_s=0.01), [PART])
    assert start["status"] == 503
    assert (b"connection", b"close") in start["headers"]
    assert "did not arrive within" in Status.FromString(body["body"]).message
    assert held == 0


def test_a_whole_request_frees_its_memory():
    """Once a request is answered nothing of it is held."""
    (start, _), held = drive(Config(), [PART, {**PART, "more_body": False}])
    assert (start["status"], held) == (200, 0)
