"""Recorded requests, and short ways to build spans with protobuf's own classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoded, Decoder
from agentcost_collector.decode.keep import Keep
from agentcost_collector.model.payload import Payload

RECORDINGS = Path(__file__).parents[1] / "fixtures"

KEYS = ("operation.cost", "openinference.span.kind", "ai.model.id", "k", "k2")
PREFIXES = ("gen_ai.usage.", "gen_ai.request.", "gen_ai.response.", "llm.token_count.", "app.")
RESOURCE_KEYS = ("service.name", "r")
RESOURCE_PREFIXES = ("telemetry.sdk.",)


def frames(raw: bytes) -> Iterator[bytes]:
    """Requests of an .otlp.bin file: four bytes of big-endian length, then the request."""
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "big")
        yield raw[at + 4 : end]
        at = end


@pytest.fixture(scope="session")
def recorded() -> list[bytes]:
    """Every request of every recording."""
    files = sorted(RECORDINGS.glob("*/*.otlp.bin"))
    requests = [request for file in files for request in frames(file.read_bytes())]
    assert len(files) > 20
    assert len(requests) > 100
    return requests


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(Keep(KEYS, PREFIXES, RESOURCE_KEYS, RESOURCE_PREFIXES), Config())


@pytest.fixture
def decode(decoder: Decoder) -> Callable[..., Decoded]:
    """Decodes request bodies; the n-th is received at n nanoseconds."""
    return lambda *bodies: decoder.decode([Payload(b, n) for n, b in enumerate(bodies)])


@pytest.fixture
def keeps() -> Callable[[str], bool]:
    """Whether the decoder of these tests keeps a span attribute."""
    return lambda key: key in KEYS or key.startswith(PREFIXES)


@pytest.fixture
def keeps_of_resource() -> Callable[[str], bool]:
    """Whether the decoder of these tests keeps a resource attribute."""
    return lambda key: key in RESOURCE_KEYS or key.startswith(RESOURCE_PREFIXES)


@pytest.fixture
def good_span() -> Callable[..., Span]:
    """A valid span, numbered, with any field replaced."""

    def build(number: int = 1, **fields: object) -> Span:
        usual = {
            "trace_id": (1000 + number).to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "name": f"span {number}",
            "start_time_unix_nano": 1_700_000_000_000_000_000,
            "end_time_unix_nano": 1_700_000_001_000_000_000,
        }
        return Span(**{**usual, **fields})

    return build


@pytest.fixture
def request_of() -> Callable[..., ExportTraceServiceRequest]:
    """A request with these spans under one resource and one scope."""

    def build(*spans: Span) -> ExportTraceServiceRequest:
        request = ExportTraceServiceRequest()
        request.resource_spans.add().scope_spans.add().spans.extend(spans)
        return request

    return build
