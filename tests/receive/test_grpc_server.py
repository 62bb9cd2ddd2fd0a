from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.payload import Outcome

FIXTURES = Path(__file__).parents[1] / "fixtures"


def recorded_requests():
    """Every request of every recording: 4-byte big-endian length, then the request."""
    for path in sorted(FIXTURES.glob("*/*.otlp.bin")):
        rest = path.read_bytes()
        while rest:
            end = 4 + int.from_bytes(rest[:4])
            yield rest[4:end]
            rest = rest[end:]


def refusal(call, body, **options):
    """The status, google.rpc.Status and trailing metadata of a call that fails."""
    with pytest.raises(grpc.RpcError) as error:
        call(body, **options)
    trailers = dict(error.value.trailing_metadata() or ())
    details = trailers.get("grpc-status-details-bin")
    return error.value.code(), details and Status.FromString(details), trailers


def test_recorded_requests_arrive_byte_for_byte(run):
    """Every recorded request, many at once, reaches the store once and unchanged."""
    running = run()
    requests = list(recorded_requests())
    calls = [
        running.export.future(
            body, compression=grpc.Compression.Gzip if n % 2 else grpc.Compression.NoCompression
        )
        for n, body in enumerate(requests)
    ]
    assert [call.result() for call in calls] == [b""] * len(requests)
    assert sorted(running.store.bodies) == sorted(requests)


def test_malformed_among_good_ones(running):
    """In one group the malformed request alone is refused, with the reason; the others are kept."""
    running.store.outcomes[b"bad"] = Outcome(malformed="3 bytes that are not protobuf")
    running.store.gate.clear()
    first = running.export.future(b"first")
    running.clock.wait_for(1)
    assert running.store.called.acquire(timeout=30)
    good = [running.export.future(b"good 1"), running.export.future(b"good 2")]
    bad = running.export.future(b"bad")
    running.clock.wait_for(3)
    running.store.gate.set()
    assert [call.result() for call in [first, *good]] == [b""] * 3
    assert bad.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert bad.details() == "3 bytes that are not protobuf"
    status = Status.FromString(dict(bad.trailing_metadata())["grpc-status-details-bin"])
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == bad.details()
    detail = BadRequest()
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].description == bad.details()


def test_a_long_reason_still_arrives(running):
    """A reason of any length and script is cut to fit into the metadata that clients accept."""
    running.store.outcomes[b"bad"] = Outcome(malformed="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 100_000)
    code, status, _ = refusal(running.export, b"bad")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(status.message) >= 100


def test_rejected_spans_are_a_partial_success(running):
    """Spans set aside are counted and explained; a warning alone comes with zero rejected."""
    running.store.outcomes[b"some"] = Outcome(rejected_spans=3, message="bad trace ids")
    running.store.outcomes[b"warn"] = Outcome(message="look at this")
    some = ExportTraceServiceResponse.FromString(running.export(b"some")).partial_success
    assert (some.rejected_spans, some.error_message) == (3, "bad trace ids")
    warn = ExportTraceServiceResponse.FromString(running.export(b"warn")).partial_success
    assert (warn.rejected_spans, warn.error_message) == (0, "look at this")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TransientError("The disk is full."), "The disk is full."),
        (CorruptionError("Page 3 differs."), "Page 3 differs."),
        (KeyError("secret"), "The collector failed to handle the request; its log says why."),
    ],
)
def test_failures_of_ours_are_unavailable_with_a_delay(running, error, message):
    """Whatever the store raises, the client is told to come back, in both places it may look."""
    running.store.errors.append(error)
    code, status, trailers = refusal(running.export, b"a")
    assert code is grpc.StatusCode.UNAVAILABLE
    assert status.message.startswith(message)
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry == RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    assert retry.retry_delay.ToMilliseconds() == 250
    assert running.export(b"a") == b""
    assert running.store.bodies == [b"a"]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
@pytest.mark.parametrize("size", [100_001, 50_000_000])
def test_a_request_over_the_limit_is_refused_for_good(running, compression, size):
    """Over the limit, plain or exploding from gzip, is RESOURCE_EXHAUSTED without a delay, which
    clients do not resend; exactly the limit passes."""
    code, _, trailers = refusal(running.export, b"\0" * size, compression=compression)
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in trailers
    assert running.export(b"\0" * 100_000, compression=compression) == b""
    assert running.store.bodies == [b"\0" * 100_000]


def test_other_signals_are_unimplemented(running):
    """Metrics sent here are refused for good, not taken for traces."""
    path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    assert refusal(running.channel.unary_unary(path), b"")[0] is grpc.StatusCode.UNIMPLEMENTED
    assert running.store.groups == []


def test_a_call_without_a_message_is_refused(running):
    """A call that ends before its message is INVALID_ARGUMENT and harms no other."""
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    code, status, _ = refusal(running.channel.stream_unary(path), iter(()))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.message == "The call ended without a request message."
    assert running.export(b"a") == b""
    assert running.store.bodies == [b"a"]
