"""Decoder against protobuf's own parser: rows, values, rejects, malformed requests."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.decode.keep import Keep
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.model.schemas import REJECTS, SPANS


def plain(value):
    """An AnyValue as a Python value; of a double its exact decimal."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "double_value":
        return Decimal(repr(value.double_value))
    return getattr(value, kind)


def same(text, value):
    """Whether `text` is the text of `value`."""
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, list):
        return json.loads(text) == value if len(text) < 1024 else True
    if isinstance(value, Decimal):
        return Decimal(text) == value
    return text == str(value)[:1024]


def any_value_nested(depth):
    value = AnyValue(string_value="leaf")
    for _ in range(depth):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    return value


def raw_field(number, body):
    """A length-delimited field on the wire, for what protobuf's classes refuse to build."""
    length, head = len(body), bytearray([number << 3 | 2])
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes(head) + bytes([length]) + body


def raw_request(span, *attributes):
    """A request with `span` and attributes given as the bytes of key and of AnyValue."""
    body = span.SerializeToString()
    for key, value in attributes:
        body += raw_field(9, raw_field(1, key) + raw_field(2, value))
    return raw_field(1, raw_field(2, raw_field(2, body)))


def attributes_of(decoded, row=0):
    return dict(decoded.spans.column("attributes")[row].as_py())


def test_recordings_equal_protobuf(recorded, decode, keeps, keeps_of_resource):
    """Every recorded span has exactly the fields that protobuf's own parser finds, in order."""
    decoded = decode(*recorded)
    decoded.spans.validate(full=True)
    assert decoded.spans.schema.equals(SPANS)
    assert decoded.rejects.num_rows == 0
    assert decoded.outcomes == [Outcome()] * len(recorded)
    rows = iter(decoded.spans.to_pylist())
    kept = 0
    for number, body in enumerate(recorded):
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {
                a.key: a.value
                for a in resource_spans.resource.attributes
                if keeps_of_resource(a.key)
            }
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    row = next(rows)
                    assert row["trace_id"] == span.trace_id.hex()
                    assert row["span_id"] == span.span_id.hex()
                    assert row["parent_span_id"] == (span.parent_span_id.hex() or None)
                    assert row["kind"] == span.kind
                    assert row["name"] == span.name
                    assert row["start_ns"] == span.start_time_unix_nano
                    assert row["end_ns"] == span.end_time_unix_nano
                    assert row["status"] == span.status.code
                    assert row["scope_name"] == (scope_spans.scope.name or None)
                    assert row["scope_version"] == (scope_spans.scope.version or None)
                    assert row["dropped_attributes"] == span.dropped_attributes_count
                    assert row["received_at_ns"] == number
                    assert row["links"] == [
                        {"trace_id": i.trace_id.hex(), "span_id": i.span_id.hex()}
                        for i in span.links
                    ]
                    texts = json.loads(row["resource"])
                    assert texts.keys() == resource.keys()
                    assert all(same(texts[key], plain(resource[key])) for key in texts)
                    expected = {a.key: a.value for a in span.attributes if keeps(a.key)}
                    assert [key for key, _ in row["attributes"]] == sorted(expected)
                    for key, text in row["attributes"]:
                        assert same(text, plain(expected[key])), key
                    kept += len(expected)
    assert next(rows, None) is None
    assert kept > 1000


def test_group_equals_its_parts(recorded, decode):
    """How requests fall into groups changes no row."""
    whole = decode(*recorded).spans.drop_columns("received_at_ns").to_pylist()
    parts = [row for body in recorded for row in decode(body).spans.to_pylist()]
    assert whole == [{k: v for k, v in row.items() if k != "received_at_ns"} for row in parts]


def test_sdk_span(decode):
    """A span made by the real SDK arrives with ids, kind, link, resource and attributes."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop", "host.name": "h"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("my.scope", "1.2")
    with tracer.start_as_current_span("root") as root:
        linked = Link(root.get_span_context())
        with tracer.start_as_current_span("call", kind=SpanKind.CLIENT, links=[linked]) as call:
            call.set_attributes({"app.n": 7, "app.x": 0.5, "app.ok": True, "prompt": "secret"})
            call.set_attribute("app.list", ["a", "b"])
    provider.shutdown()

    rows = decode(encode_spans(exporter.get_finished_spans()).SerializeToString()).spans.to_pylist()
    by_name = {row["name"]: row for row in rows}
    found, parent = by_name["call"], by_name["root"]
    assert found["trace_id"] == f"{root.get_span_context().trace_id:032x}"
    assert found["parent_span_id"] == parent["span_id"]
    assert parent["parent_span_id"] is None
    assert found["kind"] == 3
    assert (found["scope_name"], found["scope_version"]) == ("my.scope", "1.2")
    assert json.loads(found["resource"]) == {"service.name": "shop"}
    assert found["links"] == [{"trace_id": parent["trace_id"], "span_id": parent["span_id"]}]
    assert found["attributes"] == [
        ("app.list", '["a","b"]'),
        ("app.n", "7"),
        ("app.ok", "true"),
        ("app.x", "0.5"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (AnyValue(string_value="grüße 💸"), "grüße 💸"),
        (AnyValue(string_value=""), ""),
        (AnyValue(string_value="x" * 1300), "x" * 1024),
        (AnyValue(string_value="💸" * 1300), "💸" * 1024),
        (AnyValue(int_value=0), "0"),
        (AnyValue(int_value=-(2**63)), "-9223372036854775808"),
        (AnyValue(int_value=2**63 - 1), "9223372036854775807"),
        (AnyValue(double_value=0.1), "0.1"),
        (AnyValue(double_value=5.0), "5"),
        (AnyValue(double_value=float("nan")), "nan"),
        (AnyValue(double_value=float("-inf")), "-inf"),
        (AnyValue(bool_value=False), "false"),
        (AnyValue(bool_value=True), "true"),
        (AnyValue(bytes_value=b"\0\xff"), "AP8="),
        (AnyValue(bytes_value=bytes(2000)), base64.b64encode(bytes(2000)).decode()[:1024]),
        (AnyValue(array_value={"values": []}), "[]"),
        (AnyValue(), None),
    ],
)
def test_value_kinds(decode, good_span, request_of, value, text):
    """Each kind of value has its documented text, on a span and on a resource."""
    request = request_of(good_span(attributes=[KeyValue(key="k", value=value)]))
    request.resource_spans[0].resource.attributes.add(key="r", value=value)
    decoded = decode(request.SerializeToString())
    assert attributes_of(decoded).get("k") == text
    assert json.loads(decoded.spans.column("resource")[0].as_py()).get("r") == text


def test_nested_value_is_compact_json(decode, good_span, request_of):
    """Arrays and maps become compact JSON; numbers JSON does not know become text."""
    value = AnyValue()
    items = value.kvlist_value.values
    items.add(key="a", value=AnyValue(int_value=1))
    items.add(key="ä", value=AnyValue(double_value=float("inf")))
    items.add(key="n", value=AnyValue())
    items.add(key="b", value=AnyValue(bytes_value=b"\1"))
    inner = items.add(key="l").value.array_value.values
    inner.add(bool_value=True)
    inner.add(double_value=1.5)
    decoded = decode(
        request_of(good_span(attributes=[KeyValue(key="k", value=value)])).SerializeToString()
    )
    assert attributes_of(decoded) == {
        "k": '{"a":1,"ä":"Infinity","n":null,"b":"AQ==","l":[true,1.5]}'
    }


def test_depth_and_size_of_nested_values(decode, good_span, request_of):
    """32 levels are read; 33 and more, or too many bytes, lose that value and nothing else. What
    is lost of the allow-list is counted among the dropped attributes, the rest is not."""

    def kept(value):
        attributes = [KeyValue(key=key, value=value) for key in ("k", "content")]
        span = good_span(attributes=attributes, dropped_attributes_count=5)
        decoded = decode(request_of(span).SerializeToString())
        assert decoded.outcomes == [Outcome()]
        assert decoded.spans.num_rows == 1
        found = attributes_of(decoded)
        assert decoded.spans.column("dropped_attributes").to_pylist() == [5 + ("k" not in found)]
        return found

    assert kept(any_value_nested(32)) == {"k": "[" * 32 + '"leaf"' + "]" * 32}
    assert kept(any_value_nested(33)) == {}
    assert kept(AnyValue(array_value={"values": [AnyValue(int_value=1)] * 5000})) == {}


def test_deep_value_that_protobuf_refuses(decode, good_span, request_of):
    """An AnyValue of 51 and of 5,000 levels costs that value only, kept key or not."""
    leaf = raw_field(1, b"leaf")
    for depth in (51, 5000):
        value = leaf
        for _ in range(depth):
            value = raw_field(5, raw_field(1, value))
        body = raw_request(good_span(), (b"k", value), (b"k2", leaf), (b"other", value))
        with pytest.raises(Exception, match="Error parsing"):
            ExportTraceServiceRequest.FromString(body)
        assert attributes_of(decode(body)) == {"k2": "leaf"}


def test_invalid_utf8_is_replaced(decode, good_span):
    """Bad UTF-8 in a value, name, scope or resource becomes U+FFFD; other rows are untouched."""
    bad = b"a\xffb"
    body = raw_request(good_span(), (b"k", raw_field(1, bad)), (b"k2", raw_field(1, "ü".encode())))
    assert attributes_of(decode(body)) == {"k": "a\ufffdb", "k2": "ü"}

    name = good_span(name="").SerializeToString() + raw_field(5, bad)
    scope_spans = raw_field(1, raw_field(1, bad)) + raw_field(2, name)
    resource = raw_field(1, raw_field(1, b"r") + raw_field(2, raw_field(1, bad)))
    row = decode(raw_field(1, raw_field(1, resource) + raw_field(2, scope_spans))).spans.to_pylist()
    assert row[0]["name"] == row[0]["scope_name"] == "a\ufffdb"
    assert row[0]["resource"] == '{"r":"a\ufffdb"}'


def test_cut_is_the_same_with_invalid_utf8_beside(decode, good_span):
    """A long value is cut at the same character whether or not a neighbour is broken."""
    long = raw_field(1, ("€" * 1600).encode())
    alone = decode(raw_request(good_span(), (b"k", long)))
    beside = decode(raw_request(good_span(), (b"k", long), (b"k2", raw_field(1, b"\xff"))))
    assert attributes_of(alone)["k"] == attributes_of(beside)["k"] == "€" * 1024


def test_repeated_key_last_wins(decode, good_span):
    """Of a repeated key the last value that can be read is kept, once."""
    texts = [(b"k", raw_field(1, b"1")), (b"k2", raw_field(1, b"x")), (b"k", raw_field(1, b"2"))]
    assert decode(raw_request(good_span(), *texts)).spans.column("attributes")[0].as_py() == [
        ("k", "2"),
        ("k2", "x"),
    ]
    assert attributes_of(decode(raw_request(good_span(), *texts, (b"k", b"")))) == {
        "k": "2",
        "k2": "x",
    }


def test_parents_links_and_numbers(decode, good_span, request_of):
    """Odd parents mean root, invalid links vanish, unknown enum numbers are unspecified."""
    other = good_span(9)
    spans = [
        good_span(1, parent_span_id=bytes(8)),
        good_span(2, parent_span_id=b"\1\2\3"),
        good_span(3, parent_span_id=b"\1" * 8),
        good_span(4, kind=77, status=Status(code=9), dropped_attributes_count=2**32 - 1),
        good_span(
            5,
            links=[
                Span.Link(trace_id=b"short", span_id=other.span_id),
                Span.Link(trace_id=other.trace_id, span_id=other.span_id),
                Span.Link(trace_id=other.trace_id, span_id=bytes(8)),
            ],
        ),
    ]
    rows = decode(request_of(*spans).SerializeToString()).spans.to_pylist()
    assert [row["parent_span_id"] for row in rows] == [None, None, "01" * 8, None, None]
    assert (rows[3]["kind"], rows[3]["status"]) == (0, 0)
    assert rows[3]["dropped_attributes"] == 2**31 - 1
    assert [row["links"] for row in rows[:4]] == [[]] * 4
    assert rows[4]["links"] == [{"trace_id": other.trace_id.hex(), "span_id": other.span_id.hex()}]


def test_bare_span_is_accepted(decode):
    """No resource, scope, name or kind, and an end before the start, are accepted as they are."""
    span = Span(trace_id=b"\1" * 16, span_id=b"\2" * 8, start_time_unix_nano=9)
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(span)
    decoded = decode(request.SerializeToString())
    row = decoded.spans.to_pylist()[0]
    assert decoded.outcomes == [Outcome()]
    assert (row["start_ns"], row["end_ns"], row["name"]) == (9, 0, "")
    assert (row["scope_name"], row["scope_version"], row["resource"]) == (None, None, "{}")
    assert row["attributes"] == row["links"] == []


def test_rejects(decode, good_span, request_of):
    """Spans with wrong ids or times are set aside with the first reason; the rest is kept."""
    request = request_of(
        good_span(1),
        good_span(2, trace_id=b"abc", span_id=b""),
        good_span(3, span_id=bytes(8)),
        good_span(4, end_time_unix_nano=2**63),
        good_span(5, start_time_unix_nano=2**64 - 1),
        good_span(6, start_time_unix_nano=0, end_time_unix_nano=2**63 - 1),
        good_span(7, trace_id=bytes(16)),
    )
    request.resource_spans[0].scope_spans[0].scope.name = "s"
    request.resource_spans[0].resource.attributes.add(key="r", value=AnyValue(string_value="v"))
    fine = request_of(good_span(8)).SerializeToString()
    decoded = decode(fine, request.SerializeToString(), fine)
    assert decoded.spans.column("name").to_pylist() == ["span 8", "span 1", "span 6", "span 8"]
    decoded.spans.validate(full=True)
    assert decoded.rejects.schema.equals(REJECTS)
    rows = decoded.rejects.to_pylist()
    assert [(row["name"], row["reason"], row["detail"]) for row in rows] == [
        ("span 2", "trace_id_invalid", "3 bytes"),
        ("span 3", "span_id_invalid", "8 bytes, all zero"),
        ("span 4", "time_out_of_range", f"{2**63} ns"),
        ("span 5", "time_out_of_range", f"{2**64 - 1} ns"),
        ("span 7", "trace_id_invalid", "16 bytes, all zero"),
    ]
    assert rows[0]["trace_id"] == "616263"
    assert {row["scope_name"] for row in rows} == {"s"}
    assert {row["resource"] for row in rows} == {'{"r":"v"}'}
    assert {row["received_at_ns"] for row in rows} == {1}
    first, second, third = decoded.outcomes
    assert first == third == Outcome()
    assert second.malformed is None
    assert second.rejected_spans == 5
    assert "5 of 7 spans" in second.message
    assert "2 trace_id_invalid: a trace id is 16 bytes" in second.message


def test_malformed_among_good(decode, good_span, request_of):
    """Malformed requests are answered alone and by place; the others lose nothing."""
    good = [request_of(good_span(n)).SerializeToString() for n in range(1, 6)]
    cut = good[0][:-1]
    bad_resource = raw_field(1, raw_field(1, b"\x0a\xff"))
    decoded = decode(cut, good[0], good[1], bad_resource, good[2], b"\xff", good[3], good[4], cut)
    assert decoded.spans.column("name").to_pylist() == [f"span {n}" for n in range(1, 6)]
    assert decoded.spans.column("received_at_ns").to_pylist() == [1, 2, 4, 6, 7]
    malformed = [outcome.malformed for outcome in decoded.outcomes]
    assert [text is not None for text in malformed] == [
        *(True, False, False, True, False),
        *(True, False, False, True),
    ]
    assert f"request of {len(cut)} bytes is not a protobuf" in malformed[0]
    assert "sending it again will not help" in malformed[0]


def test_nothing_in_nothing_out(decode):
    """No payloads, an empty request and empty envelopes are a success without rows."""
    envelope = ExportTraceServiceRequest()
    envelope.resource_spans.add().scope_spans.add()
    assert decode().outcomes == []
    assert decode().spans.schema.equals(SPANS)
    decoded = decode(b"", envelope.SerializeToString())
    assert decoded.outcomes == [Outcome(), Outcome()]
    assert (decoded.spans.num_rows, decoded.rejects.num_rows) == (0, 0)


def test_nothing_kept_still_keeps_the_span(recorded):
    """An empty allow-list leaves the structure and no attribute at all."""
    decoder = Decoder(Keep((), (), (), ()), Config())
    spans = decoder.decode([Payload(body, 0) for body in recorded]).spans
    assert spans.num_rows > 300
    assert set(map(len, spans.column("attributes").to_pylist())) == {0}
    assert spans.column("resource").unique().to_pylist() == ["{}"]


def test_equal_text_is_stored_once(decode, good_span, request_of):
    """Resources that differ only in what is dropped share one dictionary entry."""
    bodies = []
    for number in range(1, 4):
        request = request_of(good_span(number))
        attributes = request.resource_spans[0].resource.attributes
        attributes.add(key="service.instance.id", value=AnyValue(int_value=number))
        attributes.add(key="r", value=AnyValue(string_value="same"))
        bodies.append(request.SerializeToString())
    resource = decode(*bodies).spans.column("resource").chunk(0)
    assert resource.dictionary.to_pylist() == ['{"r":"same"}']
