"""Nothing that is not on the allow-list leaves decode."""

from __future__ import annotations

import itertools
import pickle

import pyarrow as pa
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agentcost_collector.decode.otlp_json import json_to_protobuf


def seeded(secret, good_span):
    """A request with a secret in every place that may hold content, and a rejected span."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add(schema_url=secret())
    scope_spans = resource_spans.scope_spans.add(schema_url=secret())
    scope_spans.scope.name = "scope"
    for place in (resource_spans.resource.attributes, scope_spans.scope.attributes):
        place.extend(content(secret))
    resource_spans.resource.attributes.add(key="r", value=AnyValue(string_value="visible"))
    for span in (good_span(1), good_span(2, trace_id=b"bad")):
        span.trace_state = f"vendor={secret()}"
        span.status.message = secret()
        span.attributes.extend(content(secret))
        span.attributes.add(key="k", value=AnyValue(string_value="visible"))
        span.events.add(name=secret()).attributes.extend(content(secret))
        link = span.links.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, trace_state=secret())
        link.attributes.extend(content(secret))
        scope_spans.spans.append(span)
    return request


def content(secret):
    """One attribute of each kind of value under keys nobody allowed, and one in a key itself."""
    nested = AnyValue(string_value=secret())
    values = [
        AnyValue(string_value=secret()),
        AnyValue(bytes_value=secret().encode()),
        AnyValue(array_value={"values": [nested]}),
        AnyValue(kvlist_value={"values": [KeyValue(key=secret(), value=nested)]}),
    ]
    keys = ("gen_ai.input.messages", "prompt", "k.messages", secret())
    return [KeyValue(key=key, value=value) for key, value in zip(keys, values, strict=True)]


def every_byte(table):
    """The table as IPC bytes and as pickle bytes, which also hold the unused part of a buffer."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes() + pickle.dumps(table)


def test_no_secret_leaves_decode(decode, good_span):
    """No secret in any attribute, event, link, status, scope, resource or trace state survives,
    in spans, rejects or the answer, over protobuf and over JSON."""
    numbers = itertools.count(1)
    request = seeded(lambda: f"S3CR3T{next(numbers)}", good_span)
    body = request.SerializeToString()
    assert body.count(b"S3CR3T") > 50
    text = json_format.MessageToJson(request, use_integers_for_enums=True)
    converted = json_to_protobuf(text.encode())
    for decoded in (decode(body), decode(converted), decode(body, body[:-1])):
        kept = every_byte(decoded.spans) + every_byte(decoded.rejects)
        assert b"visible" in kept
        assert b"S3CR3T" not in kept
        assert b"S3CR3T" not in pickle.dumps(decoded.outcomes)
        assert decoded.rejects.num_rows >= 1
