"""Items 43 to 52: what is particular to OTLP/JSON."""

from __future__ import annotations

import base64
import json

import pytest

from tests.conformance.server import JSON

KEPT = "gen_ai.request.model"


def as_json(span, **changes):
    """A request with one span, some of its keys replaced."""
    plain = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "name": span.name,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": str(span.end_time_unix_nano),
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{**plain, **changes}]}]}]}


def send(server, document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return server.send_raw(body, "http_json")


def kept(server, span, **changes):
    """The row that is stored for the changed span."""
    answer = send(server, as_json(span, **changes))
    assert answer.ok
    assert not answer.response.HasField("partial_success")
    (row,) = server.rows(span)
    return row


def value_of(server, value):
    """The stored text of one attribute value, None where the attribute is absent."""
    row = kept(server, server.span(), attributes=[{"key": KEPT, "value": value}])
    return dict(row["attributes"]).get(KEPT)


def test_43_ids_are_hex(server):
    """Ids are hexadecimal in either case; an odd length, other characters and base64 are wrong ids,
    which cost their span alone."""
    span = server.span(trace_id=b"\xab\xcd" * 8, span_id=b"\xef\x01" * 4)
    kept(server, span, traceId="ABCDabcd" * 4, spanId="EF01ef01" * 2)
    for wrong in ("abc", "zz" * 16, base64.b64encode(b"\xab" * 16).decode(), ""):
        before = server.set_aside()
        answer = send(server, as_json(server.span(), traceId=wrong))
        assert answer.ok
        assert answer.response.partial_success.error_message
        assert server.set_aside() == before + 1


def test_44_enums_are_numbers(server):
    """Enums are integers; their names are not OTLP, and refused for good with the key named."""
    assert kept(server, server.span(), kind=3, status={"code": 2})["kind"] == 3
    answer = send(server, as_json(server.span(), kind="SPAN_KIND_CLIENT"))
    assert (answer.code, answer.retried) == (400, False)
    assert "kind must be an integer" in answer.message


def test_45_unknown_keys(server):
    """Unknown keys, whatever is in them, are ignored."""
    row = kept(server, server.span(), tomorrow={"a": [1, None, {}]}, flags="x")
    assert row["name"]


def test_46_snake_case_is_unknown(server):
    """snake_case keys are unknown keys: without resourceSpans nothing is kept, and the sender is
    warned; within a span they are ignored."""
    span = server.span()
    document = as_json(span)
    before = server.head()
    answer = send(server, {"resource_spans": document["resourceSpans"]})
    assert answer.ok
    assert "lowerCamelCase" in answer.response.partial_success.error_message
    assert server.head() == before
    assert kept(server, span, parent_span_id="00" * 7 + "01")["parent_span_id"] is None


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63 - 1])
def test_47_integers(server, number):
    """64-bit integers are exact as decimal text and as numbers."""
    assert value_of(server, {"intValue": str(number)}) == str(number)
    assert value_of(server, {"intValue": number}) == str(number)


@pytest.mark.parametrize("text", ["1e3", "0x10", "", " 1", "1.5", str(2**63)])
def test_47_what_is_no_integer(server, text):
    """Other spellings of integers are refused for good."""
    answer = send(
        server, as_json(server.span(), attributes=[{"key": KEPT, "value": {"intValue": text}}])
    )
    assert (answer.code, answer.retried) == (400, False)
    assert "intValue" in answer.message


@pytest.mark.parametrize("number", [0.5, "0.5", "NaN", "Infinity", "-Infinity"])
def test_48_bytes_and_doubles(server, number):
    """bytesValue is base64; doubles may be text, also NaN and the infinities."""
    assert value_of(server, {"bytesValue": base64.b64encode(b"\0\xff").decode()}) is not None
    assert value_of(server, {"doubleValue": number}) is not None


def test_49_null_is_absent(server):
    """null is as if the key were not there, at every level."""
    row = kept(server, server.span(), kind=None, attributes=None, status=None, parentSpanId=None)
    assert (row["kind"], row["attributes"], row["parent_span_id"]) == (0, [], None)
    assert send(server, {"resourceSpans": None}).ok


def test_50_repeated_keys(server):
    """Of a repeated JSON key the last one counts."""
    span = server.span()
    body = json.dumps(as_json(span)).replace('"name":', '"name": "first", "name":').encode()
    assert send(server, body).ok
    assert server.rows(span)[0]["name"] == span.name


BOMBS = {
    "100,000 opened arrays": b"[" * 100_000,
    "100,000 opened objects": b'{"a":' * 100_000,
    "arrays within an unknown key": b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "four million objects": b'{"resourceSpans":[' + b"{}," * 4_000_000 + b"{}]}",
    "a number of a million digits": b'{"resourceSpans":' + b"9" * 1_000_000 + b"}",
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_51_bombs(server, body):
    """Depth, number of elements and length of numbers are bounded; a bomb is refused for good and
    the next request is served."""
    answer = send(server, body)
    assert (answer.ok, answer.retried) == (False, False)
    kept(server, server.span())


def test_51_a_long_array(server):
    """Too many elements in one value cost that value only."""
    values = [{"intValue": 1}] * 100_000
    row = kept(
        server,
        server.span(),
        attributes=[
            {"key": KEPT, "value": {"arrayValue": {"values": values}}},
            {"key": "gen_ai.system", "value": {"stringValue": "s"}},
        ],
    )
    assert dict(row["attributes"]) == {"gen_ai.system": "s"}


def test_52_errors_are_json(server):
    """What is not JSON is 400 with a JSON Status, code and message."""
    server.http.request("POST", "/v1/traces", b"{", {"Content-Type": JSON})
    response = server.http.getresponse()
    assert (response.status, response.getheader("Content-Type")) == (400, JSON)
    found = json.loads(response.read())
    assert found["code"] == 3
    assert "is not JSON" in found["message"]
