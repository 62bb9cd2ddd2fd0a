from __future__ import annotations

import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import structlog
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentcost_collector.model.errors import ConfigError, TransientError

CLIENTS = ["grpc", "grpc+gzip", "http", "http+gzip"]


def exporter_of(client, addresses):
    """The real SDK exporter, pointed at the receiver."""
    if client.startswith("grpc"):
        compression = grpc.Compression.Gzip if client.endswith("gzip") else None
        return GrpcExporter(addresses.grpc, insecure=True, compression=compression)
    compression = Compression.Gzip if client.endswith("gzip") else Compression.NoCompression
    return HttpExporter(f"http://{addresses.http}/v1/traces", compression=compression)


@pytest.fixture(scope="module")
def spans():
    """Forty finished spans of the real SDK."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for number in range(40):
        with provider.get_tracer("test").start_as_current_span(f"call {number}") as span:
            span.set_attribute("gen_ai.usage.input_tokens", number)
    provider.shutdown()
    return memory.get_finished_spans()


def ids_in(body):
    request = ExportTraceServiceRequest.FromString(body)
    found = [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return {(s.name, s.span_id.hex(), s.attributes[0].value.int_value) for s in found}


def ids_of(spans):
    return {(s.name, f"{s.context.span_id:016x}", n) for n, s in enumerate(spans)}


@pytest.mark.parametrize("client", CLIENTS)
def test_real_sdk_exports_arrive_whole(run, spans, client):
    """Every span that the SDK exports reaches the store, with the time it was received."""
    running = run()
    exporter = exporter_of(client, running.addresses)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    ((payload,),) = running.store.groups
    assert ids_in(payload.body) == ids_of(spans)
    assert payload.received_at_ns == 1


@pytest.mark.parametrize("client", CLIENTS)
def test_real_sdk_sends_again_after_a_transient_failure(run, spans, client):
    """A store that cannot keep a request for now makes the SDK send it again, and it arrives."""
    running = run()
    running.store.errors.append(TransientError("The disk is full; free some space."))
    exporter = exporter_of(client, running.addresses)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    (body,) = running.store.bodies
    assert ids_in(body) == ids_of(spans)


def test_no_answer_before_the_store_returns(run):
    """Neither protocol acknowledges a request while the store is still at work on it."""
    running = run()
    running.store.gate.clear()
    with ThreadPoolExecutor() as pool:
        by_grpc = running.export.future(b"a")
        by_http = pool.submit(post, running, b"b")
        running.clock.wait_for(2)
        assert running.store.called.acquire(timeout=30)
        assert not by_grpc.done()
        assert not by_http.done()
        running.store.gate.set()
        assert by_grpc.result() == b""
        assert by_http.result() == (200, b"")
    assert sorted(running.store.bodies) == [b"a", b"b"]


def test_requests_that_wait_share_one_store_call(run):
    """What arrives while a group is being stored is stored together, whichever way it came."""
    running = run()
    running.store.gate.clear()
    first = running.export.future(b"first")
    running.clock.wait_for(1)
    assert running.store.called.acquire(timeout=30)
    with ThreadPoolExecutor() as pool:
        by_grpc = [running.export.future(b"%d" % n) for n in range(20)]
        by_http = [pool.submit(post, running, b"%d" % n) for n in range(20, 24)]
        running.clock.wait_for(24)
        running.store.gate.set()
        assert [call.result() for call in [first, *by_grpc]] == [b""] * 21
        assert [call.result() for call in by_http] == [(200, b"")] * 4
    assert [len(group) for group in running.store.groups] == [1, 24]
    assert {payload.body for payload in running.store.groups[1]} == {b"%d" % n for n in range(24)}


def test_stop_answers_what_is_in_flight(run):
    """Requests at hand when the receiver stops are stored and acknowledged; later ones refused."""
    running = run()
    running.store.gate.clear()
    with ThreadPoolExecutor() as pool:
        by_grpc = running.export.future(b"a")
        by_http = pool.submit(post, running, b"b")
        running.clock.wait_for(2)
        stopping = running.stop(grace_s=30)
        running.store.gate.set()
        assert by_grpc.result() == b""
        assert by_http.result() == (200, b"")
    stopping.result(30)
    assert sorted(running.store.bodies) == [b"a", b"b"]
    with pytest.raises(ConnectionRefusedError):
        post(running, b"c")
    with pytest.raises(grpc.RpcError) as refused:
        running.export(b"d")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_stop_puts_off_what_outlasts_the_grace(run):
    """A request whose store call outlasts the grace is answered so that it is sent again, and
    stop still waits for that store call."""
    running = run()
    running.store.gate.clear()
    with ThreadPoolExecutor() as pool:
        by_http = pool.submit(post, running, b"a")
        by_grpc = running.export.future(b"b")
        running.clock.wait_for(2)
        assert running.store.called.acquire(timeout=30)
        stopping = running.stop(grace_s=0)
        assert by_http.result()[0] == 503
        assert by_grpc.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert not stopping.done()
        running.store.gate.set()
        stopping.result(30)
    assert running.store.bodies


def test_beyond_the_bytes_in_flight_senders_are_put_off(run):
    """While the memory for requests is taken, others hear when to come back; nothing is lost."""
    running = run(request_bytes_max=1000, bytes_in_flight_max=8500)
    running.store.gate.clear()
    first = running.export.future(b"a" * 1000)
    running.clock.wait_for(1)
    with pytest.raises(grpc.RpcError) as refused:
        running.export(b"b" * 501)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    trailers = dict(refused.value.trailing_metadata())
    retry = RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    assert retry.retry_delay.ToMilliseconds() == 250
    assert post(running, b"c" * 501)[0] == 503
    running.store.gate.set()
    assert first.result() == b""
    assert running.export(b"b" * 1000) == b""
    assert post(running, b"c" * 1000) == (200, b"")


@pytest.mark.parametrize("setting", ["grpc", "http"])
def test_an_address_in_use_is_a_clear_error(run, setting):
    """A taken address is one sentence that names it and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError) as error:
            run(**{setting: address})
    assert str(error.value) == (
        f"Cannot listen on {address}: Address already in use; "
        f"choose another address with receive.{setting}."
    )


@pytest.mark.parametrize("setting", ["grpc", "http"])
def test_two_receivers_never_share_an_address(run, setting):
    """A second receiver on the same port fails to start and leaves the first one unharmed."""
    running = run()
    with pytest.raises(ConfigError, match="Address already in use"):
        run(**{setting: getattr(running.addresses, setting)})
    assert running.export(b"a") == b""
    assert post(running, b"b") == (200, b"")


def test_listening_beyond_this_machine_is_said_aloud(run):
    """A listener that others can reach is warned about, with its address; loopback is not."""
    with structlog.testing.capture_logs() as logs:
        running = run(http="0.0.0.0:0")
    (warning,) = logs
    assert (warning["log_level"], warning["setting"]) == ("warning", "receive.http")
    assert warning["address"] == running.addresses.http


def post(running, body):
    connection = http.client.HTTPConnection(running.addresses.http)
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer
