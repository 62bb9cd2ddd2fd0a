"""Items 32 to 42: what a request may hold, in either encoding."""

from __future__ import annotations

import math

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.conformance.server import START_NS, THREE, request_of

UNREAD = b"\xfa\x3e\x03abc"  # field 1007, that no version of OTLP has
KEPT = "gen_ai.request.model"


def attribute(key, **value):
    return KeyValue(key=key, value=AnyValue(**value))


def varint(number):
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(number, value):
    """A length-delimited field on the wire."""
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def request_around(span, more=b""):
    """A request with one span that is given as bytes, and `more` at every level."""
    return field(1, field(2, field(2, span) + more) + more) + more


def only(rows):
    (row,) = rows
    return row


@pytest.mark.parametrize("way", ["grpc", "http_protobuf"])
def test_32_unknown_fields_and_enums(server, way):
    """Unknown fields at every level are ignored; unknown enum numbers mean unspecified."""
    span = server.span()
    wire = span.SerializeToString() + UNREAD + b"\x30\x63" + b"\x7a\x02\x18\x63"  # kind, status 99
    assert server.send_raw(request_around(wire, UNREAD), way).ok
    row = only(server.rows(span))
    assert (row["kind"], row["status"]) == (0, 0)


def test_32_unknown_fields_and_enums_in_json(server):
    """Unknown JSON keys are ignored; unknown enum numbers mean unspecified."""
    span = server.span(kind=99, status={"code": 99})
    answer = server.send_spans("http_json", span)
    assert answer.ok
    row = only(server.rows(span))
    assert (row["kind"], row["status"]) == (0, 0)


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": b"x" * 15},
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"span_id": b"x" * 9},
    ],
    ids=str,
)
def test_33_ids(server, way, wrong):
    """A span whose ids are wrong is set aside, and said so; the others of the request are kept."""
    before, good = server.set_aside(), server.span()
    answer = server.send_spans(way, server.span(**wrong), good)
    assert answer.ok
    assert answer.response.partial_success.error_message
    assert server.set_aside() == before + 1
    assert len(server.rows(good)) == 1


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_33_no_parent(server, way, parent):
    """A parent id that is empty or all zero makes a root."""
    span = server.span(parent_span_id=parent)
    assert server.send_spans(way, span).ok
    assert only(server.rows(span))["parent_span_id"] is None


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("flags", [0, 1, 0x300, 0xFFFFFFFF])
def test_34_flags(server, way, flags):
    """Any flags, those not yet given a meaning included, change nothing."""
    span = server.span(flags=flags)
    answer = server.send_spans(way, span)
    assert answer.ok
    assert not answer.response.HasField("partial_success")
    assert len(server.rows(span)) == 1


@pytest.mark.parametrize("way", THREE)
def test_35_repeated_attribute_keys(server, way):
    """Of a repeated key the last value counts."""
    span = server.span(
        attributes=[attribute(KEPT, string_value="a"), attribute(KEPT, string_value="b")]
    )
    assert server.send_spans(way, span).ok
    assert only(server.rows(span))["attributes"] == [(KEPT, "b")]


@pytest.mark.parametrize("way", THREE)
def test_36_bare_spans(server, way):
    """No name, an end before the start, no kind, no resource, no scope, no service: accepted."""
    span = server.span(name="", end_time_unix_nano=START_NS - 5)
    answer = server.send_spans(way, span)
    assert not answer.response.HasField("partial_success")
    row = only(server.rows(span))
    assert (row["name"], row["end_ns"], row["kind"]) == ("", START_NS - 5, 0)


@pytest.mark.parametrize("way", ["grpc", "http_protobuf"])
def test_37_string_indexes(server, way):
    """Values and keys that point into the tables of profiles are absent; the span is kept."""
    span = server.span(attributes=[attribute(KEPT, string_value="m")])
    by_index = field(1, KEPT.encode()) + b"\x12\x02\x40\x01"
    key_index = b"\x12\x03\x0a\x01x\x18\x01"
    wire = span.SerializeToString() + field(9, by_index) + field(9, key_index)
    assert server.send_raw(request_around(wire), way).ok
    assert only(server.rows(span))["name"] == span.name


def nested(depth):
    value = AnyValue(string_value="deep").SerializeToString()
    for _ in range(depth):
        value = field(5, field(1, value))
    return value


@pytest.mark.parametrize("way", ["grpc", "http_protobuf"])
@pytest.mark.parametrize("depth", [1, 31, 50, 51, 500])
def test_38_deep_values(server, way, depth):
    """However deep a value is, its request and its span are kept."""
    span = server.span(attributes=[attribute("gen_ai.usage.input_tokens", int_value=7)])
    pair = field(1, KEPT.encode()) + field(2, nested(depth))
    wire = span.SerializeToString() + field(9, pair)
    assert server.send_raw(request_around(wire), way).ok
    assert dict(only(server.rows(span))["attributes"])["gen_ai.usage.input_tokens"] == "7"


@pytest.mark.parametrize("way", THREE)
def test_38_kinds_of_values(server, way):
    """Empty values, arrays, maps and bytes of an attribute cost neither span nor neighbours."""
    values = [
        {},
        {"bytes_value": b"\0\xff"},
        {"array_value": {"values": [AnyValue(), AnyValue(int_value=1)]}},
        {"kvlist_value": {"values": [attribute("a", double_value=0.5)]}},
    ]
    spans = [
        server.span(attributes=[attribute(KEPT, **v), attribute("gen_ai.system", bool_value=True)])
        for v in values
    ]
    assert server.send_spans(way, *spans).ok
    rows = server.rows(*spans)
    assert [dict(row["attributes"])["gen_ai.system"] for row in rows] == ["true"] * 4


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("dropped", [0, 3, 2**32 - 1])
def test_39_dropped_attributes(server, way, dropped):
    """That the SDK left attributes out is kept with the span, as far as a number reaches."""
    span = server.span(dropped_attributes_count=dropped)
    assert server.send_spans(way, span).ok
    assert only(server.rows(span))["dropped_attributes"] == min(dropped, 2**31 - 1)


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("time_ns", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_40_times(server, way, time_ns):
    """Any time is answered with success, and its span kept or set aside."""
    before, span, good = server.set_aside(), server.span(end_time_unix_nano=time_ns), server.span()
    assert server.send_spans(way, span, good).ok
    assert len(server.rows(span, good)) + server.set_aside() - before == 2
    assert len(server.rows(good)) == 1


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize(
    "value",
    [
        {"int_value": 2**53 + 1},
        {"int_value": -1},
        {"double_value": 12.0},
        {"double_value": math.nan},
        {"double_value": math.inf},
        {"string_value": "123"},
        {"string_value": "many"},
    ],
    ids=str,
)
def test_41_token_counts(server, way, value):
    """Whatever is sent as a token count, the span is neither lost nor refused."""
    before, span = server.set_aside(), server.span()
    span.attributes.append(attribute("gen_ai.usage.input_tokens", **value))
    assert server.send_spans(way, span).ok
    assert len(server.rows(span)) + server.set_aside() - before == 1


@pytest.mark.parametrize("way", ["grpc", "http_protobuf"])
def test_42_invalid_utf8(server, way):
    """Bytes that are not UTF-8, in a name and in a value, cost neither request nor neighbours."""
    before, bad, good = server.set_aside(), server.span(name="XXXX"), server.span()
    bad.attributes.append(attribute(KEPT, string_value="YYYY"))
    body = request_of(bad, good).SerializeToString()
    body = body.replace(b"XXXX", b"\xff\xfe\xc3(").replace(b"YYYY", b"\xed\xa0\x80a")
    assert server.send_raw(body, way).ok
    assert len(server.rows(bad, good)) + server.set_aside() - before == 2
    assert len(server.rows(good)) == 1
