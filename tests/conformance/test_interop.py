"""Items 53 to 60, and what three real servers got wrong."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from agentcost_collector.model.errors import TransientError
from tests.conformance.http2 import DATA, Http2, message
from tests.conformance.server import EVERY, THREE, WAIT_S, Server, call, request_of
from tests.support.amplify import spans_in
from tests.support.recordings import names, requests_of

EXPORTERS = {
    "grpc": lambda to: GrpcExporter(endpoint=to.grpc, insecure=True),
    "grpc_gzip": lambda to: GrpcExporter(
        endpoint=to.grpc, insecure=True, compression=grpc.Compression.Gzip
    ),
    "http_protobuf": lambda to: HttpExporter(endpoint=f"http://{to.http}/v1/traces"),
    "http_protobuf_gzip": lambda to: HttpExporter(
        endpoint=f"http://{to.http}/v1/traces", compression=Compression.Gzip
    ),
}


@pytest.mark.parametrize("exporter", EXPORTERS.values(), ids=EXPORTERS)
def test_53_a_real_sdk(server, caplog, exporter):
    """The OpenTelemetry SDK's own exporters, with and without gzip, deliver; put off once, they
    send the same span again; refused for good, they give up at once."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter(server.addresses)))
    server.faults.append(TransientError("Later."))
    before = server.head()
    with caplog.at_level(logging.CRITICAL), provider.get_tracer("app").start_as_current_span("a"):
        pass
    provider.shutdown()
    assert server.head() == before + 1
    assert not server.faults


@pytest.fixture(scope="module")
def recorded():
    """The last request of every recording."""
    return [requests_of(name)[-1] for name in names()]


def rows_stored(path, bodies, way):
    """What the journal holds when `bodies` came this way, without the time of receipt."""
    server = Server(path / way)
    try:
        assert all(server.send(body, way).ok for body in bodies)
        spans = [span for body in bodies for span in spans_in(read(body))]
        rows = server.rows(*spans)
    finally:
        server.close()
    return [{**row, "received_at_ns": 0} for row in rows]


def read(body):
    return ExportTraceServiceRequest.FromString(body)


def test_54_every_transport_stores_the_same(tmp_path, recorded):
    """The same recorded spans have the same rows, field by field, whichever way they came; what is
    priced and booked is made of these rows alone."""
    expected = rows_stored(tmp_path, recorded, "grpc")
    assert len(expected) > 100
    for way in EVERY:
        if way != "grpc":
            assert rows_stored(tmp_path, recorded, way) == expected, way


@pytest.mark.parametrize("way", THREE)
def test_55_duplicates(server, way):
    """One request sent five times at once is acknowledged five times; the journal keeps what it
    acknowledged, and the ledger counts it once (see the test of the whole service)."""
    span = server.span()
    body = request_of(span).SerializeToString()
    with ThreadPoolExecutor(5) as pool:
        if way == "grpc":
            answers = list(pool.map(lambda _: call(server.channel, body), range(5)))
        else:
            answers = [server.send(body, way) for _ in range(5)]
    assert all(answer.ok for answer in answers)
    rows = server.rows(span)
    assert len(rows) == 5
    assert all({**row, "received_at_ns": 0} == {**rows[0], "received_at_ns": 0} for row in rows)


def test_57_no_header_says_who_pays(server):
    """Headers and metadata that claim a tenant, scope or identity change nothing that is kept."""
    plain, claimed = server.span(), server.span()
    claims = {"X-Scope-OrgID": "evil", "X-Tenant": "evil", "baggage": "agentcost.tenant=evil"}
    assert server.send_spans("http_protobuf", plain).ok
    body = request_of(claimed).SerializeToString()
    assert server.send_raw(body, "http_protobuf", claims).ok
    metadata = [(key.lower(), value) for key, value in claims.items()]
    assert call(server.channel, body, metadata=metadata).ok
    first, *others = server.rows(plain, claimed)
    own = ("trace_id", "span_id", "name", "received_at_ns")
    for other in others:
        assert {**other, **{name: first[name] for name in own}} == first
    assert len(others) == 2


def test_58_health(server):
    """/healthz answers GET and HEAD without a media type."""
    for method in ("GET", "HEAD"):
        server.http.request(method, "/healthz")
        response = server.http.getresponse()
        response.read()
        assert response.status == 200


@pytest.mark.parametrize("way", THREE)
def test_found_object_amplification(server, way):
    """Millions of empty spans in a few MiB are refused for good, with the limit, the setting and
    what to do, and the next request is served."""
    count = 4_000_000 if way != "http_json" else 250_000
    if way == "http_json":
        body = b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * count + b"{}]}]}]}"
    else:
        scope_spans = b"\x12" + varint(2 * count) + b"\x12\x00" * count
        body = b"\x0a" + varint(len(scope_spans)) + scope_spans
    answer = server.send_raw(body, way)
    assert (answer.ok, answer.retried) == (False, False)
    assert "200000 spans" in answer.message
    assert "decode.spans_per_request_max" in answer.message
    assert server.send_spans(way, server.span()).ok


def varint(number):
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


@pytest.mark.parametrize("way", ["grpc_gzip", "grpc_deflate", "http_protobuf_gzip"])
def test_found_limits_hold_after_decompression(server, way):
    """80 MB of zeros, some 80 KB on the wire, are refused for good at the default limit."""
    answer = server.send_raw(bytes(80_000_000), way)
    assert answer.code in ("RESOURCE_EXHAUSTED", 413)


@pytest.mark.parametrize("way", THREE)
@pytest.mark.parametrize("seed", range(10))
def test_found_bad_input_is_answered(server, way, seed):
    """Whatever bytes are sent, there is an answer on the same connection, not its end."""
    source = random.Random(seed)
    sock = server.http.sock
    answer = server.send_raw(source.randbytes(source.randrange(1, 500)), way)
    assert answer.ok or not answer.retried
    assert sock is None or server.http.sock is sock


def test_found_a_stream_cut_in_its_message(serve):
    """A connection that ends in the middle of a message frees what it held; nobody waits for it."""
    server = serve(receive={"body_wait_s": WAIT_S})
    for _ in range(20):
        with Http2(server.addresses.grpc) as client:
            client.open_call()
            client.frame(DATA, message(b"abc", claimed=60_000_000), 0, 1)
            client.receive()
    assert call(server.channel, b"").ok


def test_found_the_host_holds_for_both_ports(serve):
    """Both listeners are bound to the address that is configured, and to no other."""
    server = serve(receive={"grpc": "127.0.0.2:0", "http": "127.0.0.2:0"})
    assert call(server.channel, b"").ok
    for address in (server.addresses.grpc, server.addresses.http):
        with pytest.raises(OSError, match="refused"):
            Http2(address.replace("127.0.0.2", "127.0.0.1"))


def test_found_bytes_values(server):
    """A span with a bytesValue that is acknowledged is kept."""
    span = server.span()
    value = span.attributes.add(key="gen_ai.request.model")
    value.value.bytes_value = b"\0\xff"
    assert server.send_spans("http_json", span).ok
    assert len(server.rows(span)) == 1
