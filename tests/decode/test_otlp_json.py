"""OTLP/JSON: the rules that differ from protobuf's own JSON mapping."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.decode.otlp_json import json_to_protobuf
from agentcost_collector.model.errors import PermanentError

TRACE_ID = "5B8EFFF798038103D269B633813FC60C"
SPAN_ID = "eee19b7ec3c1b174"


def as_otlp_json(body):
    """A protobuf request as OTLP/JSON, by protobuf's mapping with the ids put into hex."""
    request = ExportTraceServiceRequest.FromString(body)
    document = json_format.MessageToDict(request, use_integers_for_enums=True)

    def walk(node):
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: base64.b64decode(item).hex()
            if key in ("traceId", "spanId", "parentSpanId")
            else walk(item)
            for key, item in node.items()
        }

    return json.dumps(walk(document)).encode()


def document(**fields):
    span = {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "name": "n",
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        **fields,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


@pytest.fixture
def decode_json(decode):
    """Decodes one JSON document, given as a value or as bytes."""

    def call(source):
        body = source if isinstance(source, bytes) else json.dumps(source).encode()
        return decode(json_to_protobuf(body))

    return call


def valued(value):
    return document(attributes=[{"key": "k", "value": value}])


def test_recordings_equal_protobuf(recorded, decode):
    """Every recorded request gives the same rows over JSON as over protobuf."""
    over_json = decode(*[json_to_protobuf(as_otlp_json(body)) for body in recorded])
    over_protobuf = decode(*recorded)
    assert over_protobuf.spans.num_rows > 300
    assert over_json.spans.to_pylist() == over_protobuf.spans.to_pylist()
    assert over_json.outcomes == over_protobuf.outcomes


def test_ids_times_and_enums(decode_json):
    """Hex ids of either case, 64-bit numbers as text or number, enums as numbers."""
    source = document(
        kind=3,
        status={"code": 2, "message": "m"},
        parentSpanId="EEE19B7EC3C1B173",
        droppedAttributesCount=4,
        links=[{"traceId": TRACE_ID, "spanId": SPAN_ID}],
    )
    row = decode_json(source).spans.to_pylist()[0]
    assert row["trace_id"] == TRACE_ID.lower()
    assert row["span_id"] == SPAN_ID
    assert row["parent_span_id"] == "eee19b7ec3c1b173"
    assert (row["start_ns"], row["end_ns"]) == (1544712660000000000, 1544712661000000000)
    assert (row["kind"], row["status"], row["dropped_attributes"]) == (3, 2, 4)
    assert row["links"] == [{"trace_id": TRACE_ID.lower(), "span_id": SPAN_ID}]


@pytest.mark.parametrize(
    "trace_id", ["", "00" * 16, TRACE_ID[:-1], TRACE_ID[:-2], "g" * 32, "x" * 16, "5b 8e", 7, None]
)
def test_wrong_id_sets_one_span_aside(decode_json, trace_id):
    """An id that is not 16 bytes of hex rejects its span, not the request."""
    source = document()
    spans = source["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans.append({**spans[0], "traceId": trace_id})
    decoded = decode_json(source)
    assert decoded.spans.num_rows == 1
    assert decoded.rejects.column("reason").to_pylist() == ["trace_id_invalid"]


@pytest.mark.parametrize("span_id", ["x" * 8, "1234567", "z" * 16, "00" * 8])
def test_wrong_span_id_sets_one_span_aside(decode_json, span_id):
    """Text that happens to have as many bytes as an id is not taken for one."""
    rejects = decode_json(document(spanId=span_id)).rejects
    assert rejects.column("reason").to_pylist() == ["span_id_invalid"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"stringValue": "s"}, "s"),
        ({"stringValue": ""}, ""),
        ({"stringValue": "half \ud83d"}, "half ?"),
        ({"boolValue": False}, "false"),
        ({"intValue": "9223372036854775807"}, "9223372036854775807"),
        ({"intValue": -5}, "-5"),
        ({"intValue": 5.0}, "5"),
        ({"doubleValue": 0.1}, "0.1"),
        ({"doubleValue": "2.5e3"}, "2500"),
        ({"doubleValue": "NaN"}, "nan"),
        ({"doubleValue": "-Infinity"}, "-inf"),
        ({"doubleValue": 3}, "3"),
        ({"bytesValue": "AP8="}, "AP8="),
        ({"bytesValue": "_-8"}, "/+8="),
        ({"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "a"}]}}, '[1,"a"]'),
        ({"arrayValue": {}}, "[]"),
        (
            {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1.5}}]}},
            '{"a":1.5}',
        ),
        ({}, None),
        (None, None),
        ({"stringValue": None}, None),
        ({"string_value": "snake"}, None),
        ({"unheardOf": {"x": 1}, "intValue": 1}, "1"),
    ],
)
def test_values(decode_json, value, text):
    """Each kind of value has the text that it has over protobuf; null and unknown are absent."""
    assert dict(decode_json(valued(value)).spans.column("attributes")[0].as_py()).get("k") == text


def test_unknown_null_and_repeated_keys(decode_json):
    """Unknown and snake_case keys are ignored, null is absent, the last of repeated keys wins."""
    snake = {"resource_spans": document()["resourceSpans"]}
    assert decode_json(snake).spans.num_rows == 0
    assert decode_json({"resourceSpans": None, "new": [1]}).spans.num_rows == 0
    row = decode_json(document(parentSpanId=None, attributes=None, status=None, x={})).spans
    assert row.num_rows == 1
    twice = json.dumps(document(name="first")).replace('"first"', '"first", "name": "last"')
    assert decode_json(twice.encode()).spans.column("name").to_pylist() == ["last"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\xfd", "is not JSON"),
        (b"[]", "the request must be an object"),
        (b'{"resourceSpans": 1}', "resourceSpans must be an array"),
        (b'{"resourceSpans": ["x"]}', "each of resourceSpans must be an object"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "is not JSON"),
        (document(kind="SPAN_KIND_CLIENT"), "kind must be an integer"),
        (document(kind=True), "kind must be an integer"),
        (document(startTimeUnixNano="1e3"), "startTimeUnixNano must be an integer"),
        (document(startTimeUnixNano="0x10"), "startTimeUnixNano must be an integer"),
        (document(startTimeUnixNano=-1), "startTimeUnixNano must be at least 0"),
        (document(endTimeUnixNano=str(2**64)), "endTimeUnixNano must be at least 0 and below"),
        (document(name=5), "name must be a text"),
        (valued({"intValue": "1e3"}), "intValue must be an integer"),
        (valued({"intValue": 1.5}), "intValue must be an integer"),
        (valued({"doubleValue": "much"}), "doubleValue must be a number"),
        (valued({"bytesValue": "*"}), "bytesValue must be base64"),
        (valued({"boolValue": 1}), "boolValue must be true or false"),
    ],
)
def test_wrong_types_are_refused(body, message):
    """What is not OTLP/JSON is refused for good, and the message names the field."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(PermanentError, match=message):
        json_to_protobuf(raw)


def test_deep_values(decode_json):
    """A value nested deeper than decode reads is lost alone; a depth bomb is refused."""

    def nested(depth):
        opening, closing = '{"arrayValue":{"values":[', "]}}"
        text = json.dumps(
            document(attributes=[{"key": "k", "value": 0}, {"key": "k2", "value": 1}])
        )
        deep = opening * depth + '{"stringValue":"x"}' + closing * depth
        text = text.replace('"value": 0', f'"value": {deep}')
        return text.replace('"value": 1', '"value": {"intValue": 1}').encode()

    def kept(depth):
        return dict(decode_json(nested(depth)).spans.column("attributes")[0].as_py())

    assert kept(32) == {"k": "[" * 32 + '"x"' + "]" * 32, "k2": "1"}
    assert kept(33) == {"k2": "1"}
    assert kept(51) == {"k2": "1"}
    with pytest.raises(PermanentError, match="nested too deep"):
        json_to_protobuf(b"[" * 200_000)


def test_time_beyond_int64_sets_one_span_aside(decode_json):
    """A time that fits the wire but not our tables is quarantined."""
    rejects = decode_json(document(endTimeUnixNano=str(2**64 - 1))).rejects
    assert rejects.column("reason").to_pylist() == ["time_out_of_range"]


def test_millions_of_empty_objects():
    """More objects than any real request has are refused before they are made."""
    body = b'{"resourceSpans":[' + b"{}," * 4_000_000 + b"{}]}"
    with pytest.raises(PermanentError, match="more than 1000000 objects"):
        json_to_protobuf(body)
