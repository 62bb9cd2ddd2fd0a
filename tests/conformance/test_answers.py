"""Items 16 to 31: what a sender is told."""

from __future__ import annotations

import errno
import resource
import sqlite3

import pytest
from google.rpc.error_details_pb2 import BadRequest

from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.receive.config import Config
from tests.conformance.server import JSON, PROTOBUF, THREE, request_of

OUR_FAULTS = [
    TransientError("The disk is full."),
    CorruptionError("Page 3 differs."),
    OSError(errno.EIO, "I/O error"),
    sqlite3.OperationalError("database is locked"),
    MemoryError(),
    RecursionError(),
    KeyError("secret"),
    AssertionError(),
]
MALFORMED = b"\x0a\xff\xff"


@pytest.mark.parametrize("way", THREE)
def test_16_success_says_nothing(server, way):
    """Success is an empty ExportTraceServiceResponse: partial_success is not set."""
    answer = server.send_spans(way, server.span())
    assert answer.ok
    assert not answer.response.HasField("partial_success")


@pytest.mark.parametrize("way", THREE)
def test_17_empty_requests(server, way):
    """No resource spans, and envelopes without spans, are a success without a word."""
    empty = request_of()
    del empty.resource_spans[:]
    for request in (empty, request_of()):
        before = server.head()
        answer = server.send(request.SerializeToString(), way)
        assert answer.ok
        assert not answer.response.HasField("partial_success")
        assert server.head() == before


@pytest.mark.parametrize("way", THREE)
def test_18_partial_success(server, way):
    """Spans that cannot be used are counted in rejected_spans, with why and what to do; the others
    are kept."""
    good = server.span()
    answer = server.send_spans(way, good, server.span(span_id=b"short"))
    assert answer.ok
    partial = answer.response.partial_success
    assert partial.rejected_spans == 1
    assert "1 of 2 spans" in partial.error_message
    assert "a span id is 8 bytes" in partial.error_message
    assert len(server.rows(good)) == 1


def test_19_a_warning(server):
    """A request that was accepted, but hardly meant so, is a success with no rejected spans and a
    message."""
    answer = server.send_raw(b'{"resource_spans": []}', "http_json")
    assert answer.ok
    assert answer.response.partial_success.rejected_spans == 0
    assert "lowerCamelCase" in answer.response.partial_success.error_message


@pytest.mark.parametrize("way", THREE)
def test_20_success_means_stored(server, way):
    """When the answer is there another reader finds the span in the journal's file."""
    span = server.span()
    assert server.send_spans(way, span).ok
    assert len(server.rows(span)) == 1


@pytest.mark.parametrize("way", THREE)
def test_21_put_off(server, way):
    """What may work later is UNAVAILABLE or 503, with the delay."""
    server.faults.append(TransientError("The disk is full."))
    answer = server.send_spans(way, server.span())
    assert answer.code in ("UNAVAILABLE", 503)
    assert answer.message == "The disk is full."
    assert set(answer.delay_ms()) == {1000}


@pytest.mark.parametrize("way", THREE)
def test_22_refused_for_good(server, way):
    """What can never be read is INVALID_ARGUMENT or 400, with a BadRequest that says why."""
    answer = server.send_raw(MALFORMED, way)
    assert answer.code in ("INVALID_ARGUMENT", 400)
    violation = answer.detail(BadRequest).field_violations[0]
    assert (violation.field, violation.description) == ("body", answer.message)


@pytest.mark.parametrize("fault", OUR_FAULTS, ids=lambda fault: type(fault).__name__)
def test_23_our_faults_by_grpc(server, fault):
    """Whatever goes wrong here is UNAVAILABLE on gRPC, never UNKNOWN, and the same span sent again
    is kept; the text of an unforeseen exception is not told."""
    span = server.span()
    server.faults.append(fault)
    answer = server.send_spans("grpc", span)
    assert answer.code == "UNAVAILABLE"
    assert "secret" not in answer.message
    assert server.rows(span) == []
    assert server.send_spans("grpc", span).ok
    assert len(server.rows(span)) == 1


@pytest.mark.parametrize("way", ["http_protobuf", "http_json"])
@pytest.mark.parametrize("fault", OUR_FAULTS, ids=lambda fault: type(fault).__name__)
def test_24_our_faults_by_http(server, way, fault):
    """Whatever goes wrong here is 503 on HTTP, never 500, and the same span sent again is kept."""
    span = server.span()
    server.faults.append(fault)
    answer = server.send_spans(way, span)
    assert answer.code == 503
    assert "secret" not in answer.message
    assert server.rows(span) == []
    assert server.send_spans(way, span).ok


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("code", "method", "path", "headers", "body"),
    [
        (400, "POST", "/v1/traces", {}, MALFORMED),
        (404, "POST", "/v1/logs", {}, b""),
        (405, "PUT", "/v1/traces", {}, b""),
        (415, "POST", "/v1/traces", {"Content-Encoding": "zstd"}, b""),
        (503, "POST", "/v1/traces", {}, b"fault"),
    ],
)
def test_25_every_refusal_has_a_status(server, media, code, method, path, headers, body):
    """Every 4xx and 5xx answer is a google.rpc.Status with a sentence, encoded as the request."""
    if body == b"fault":
        server.faults.append(KeyError())
        body = b"{}" if media == JSON else b""
    answer = server.request(method, path, body, {"Content-Type": media, **headers})
    assert answer.code == code
    assert answer.headers["Content-Type"] == media
    assert answer.message.endswith(".")


@pytest.mark.parametrize("media", [PROTOBUF, JSON])
def test_26_media_type_of_success(server, media):
    """A success has the media type of the request."""
    body = b"{}" if media == JSON else b""
    answer = server.request("POST", "/v1/traces", body, {"Content-Type": media})
    assert (answer.code, answer.headers["Content-Type"]) == (200, media)


def test_27_the_delay():
    """Senders are asked back in one second: some give up after ten in all."""
    assert Config().retry_delay_s == 1


@pytest.mark.parametrize("way", THREE)
def test_28_the_delay_is_where_clients_look(server, way):
    """RetryInfo is in the Status and, on gRPC, in a trailer of its own; on HTTP in Retry-After."""
    server.faults.append(TransientError("Later."))
    answer = server.send_spans(way, server.span())
    assert len(answer.delay_ms()) == 2
    assert len(set(answer.delay_ms())) == 1


HOSTILE = {
    "no protobuf": MALFORMED,
    "a group without an end": b"\x0b" * 100,
    "a field cut short": b"\x0a\x05abc",
    "field number 0": b"\x02\x00",
    "a varint of eleven bytes": b"\x08" + b"\xff" * 11,
    "250,000 empty spans": b"\x0a\xa6\xc2\x1e\x12\xa2\xc2\x1e" + b"\x12\x00" * 250_000,
    "1,100,000 empty attributes": (
        b"\x0a\x8a\xa3\x86\x01\x12\x85\xa3\x86\x01\x12\x80\xa3\x86\x01" + b"\x4a\x00" * 1_100_000
    ),
}


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_30_what_is_wrong_for_ever_is_never_put_off(server, way, body):
    """A request whose content is at fault is never answered so that it is sent again, for it would
    stand in the way of everything behind it."""
    answer = server.send_raw(body, way)
    assert (answer.ok, answer.retried) == (False, False)
    assert answer.message


@pytest.mark.parametrize("way", THREE)
def test_31_a_full_disk(serve, way):
    """Where the journal cannot grow, requests are put off and nothing of them is kept; once there
    is space they are taken."""
    server = serve()
    big = [server.span(name="n" * 200, attributes=[]) for _ in range(300)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        answer = server.send_spans(way, *big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.code in ("UNAVAILABLE", 503)
    assert set(answer.delay_ms()) == {1000}
    assert server.rows(*big) == []
    assert server.send_spans(way, *big).ok
    assert len(server.rows(*big)) == 300
