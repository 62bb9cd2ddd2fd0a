"""How spans are sent: cut into requests, late, again, in any order, some of them broken."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.sim.truth import Span

ATTEMPTS_MAX = 6
"""A sender gives a request up after so many attempts without an answer."""


@dataclass
class Request:
    """One export request, and what its sender knows of it."""

    number: int
    spans: list[Span]
    broken: int
    """Spans beside those that no collector can use."""
    body: bytes
    due: int
    """The round in which it is sent first."""
    attempts: int = 0
    answered: bool = False


def cut(source: random.Random, spans: list[Span], size: int) -> list[list[Span]]:
    """Spans in pieces of up to `size`: mostly in the order in which they ended, as exporters send
    them; sometimes in any order, and some of them twice."""
    ordered = sorted(spans, key=lambda span: (span.end_ns, span.span_id))
    if source.random() < 0.3:
        source.shuffle(ordered)
    while source.random() < 0.25:
        ordered.insert(source.randrange(len(ordered) + 1), source.choice(spans))
    pieces = []
    while ordered:
        length = source.randint(1, size)
        pieces.append(ordered[:length])
        ordered = ordered[length:]
    return pieces


def encode(source: random.Random, spans: Iterable[Span], broken: int) -> bytes:
    """The protobuf body of a request: a resource per service and environment."""
    request = ExportTraceServiceRequest()
    groups: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.service, span.trace.environment), []).append(span)
    for (service, environment), members in groups.items():
        resource_spans = request.resource_spans.add()
        resource = {"service.name": service}
        if environment:
            resource["deployment.environment.name"] = environment
        resource_spans.resource.attributes.extend(_attributes(resource))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "sim"
        scope_spans.spans.extend(map(_span, members))
    for _ in range(broken):
        scope_spans = request.resource_spans.add().scope_spans.add()
        scope_spans.spans.append(_broken(source))
    return request.SerializeToString()


def _span(span: Span) -> trace_pb2.Span:
    written = trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.above.span_id) if span.above else b"",
        name=f"{span.kind} {span.span_id[:4]}",
        kind=trace_pb2.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=span.end_ns,
        attributes=_attributes(_facts(span)),
    )
    if span.link:
        target = span.link.root
        written.links.add(
            trace_id=bytes.fromhex(span.link.trace_id), span_id=bytes.fromhex(target.span_id)
        )
    return written


def _facts(span: Span) -> dict[str, str | int]:
    facts: dict[str, str | int] = {}
    if span.kind == "agent":
        facts["agentcost.kind"] = "agent"
    if span.kind == "tool":
        facts |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": span.span_id}
    if span.call:
        facts |= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "acme",
            "gen_ai.request.model": span.call.model,
            "gen_ai.usage.input_tokens": span.call.input_tokens,
            "gen_ai.usage.output_tokens": span.call.output_tokens,
        }
    if span.feature:
        facts["agentcost.feature"] = span.feature
        facts["app.feature"] = other_name(span.feature)
    return facts


def other_name(feature: str) -> str:
    """What a feature is called by the other attribute that declares it."""
    return f"app-{feature}"


def _broken(source: random.Random) -> trace_pb2.Span:
    good = {"trace_id": source.randbytes(16), "span_id": source.randbytes(8), "name": "broken"}
    bad = source.choice(
        (
            {"trace_id": b"\0" * 16},
            {"trace_id": b"short"},
            {"span_id": b""},
            {"start_time_unix_nano": 2**63 + 5},
        )
    )
    return trace_pb2.Span(**good | bad)


def _attributes(facts: dict[str, str] | dict[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value)
            if isinstance(value, int)
            else AnyValue(string_value=value),
        )
        for key, value in facts.items()
    ]
