"""Many runs out of a few recorded ones: fresh ids, shifted times, everything else as recorded.

`restamp` makes one copy of a recording; `amplify` makes as many as are needed and packs them as a
Collector in front of us would: runs interleaved by time, 512 spans to a request.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tests.support.recordings import MEASURED, requests_of, write_frames

SPANS_PER_REQUEST = 512
START_NS = 1_795_000_000_000_000_000
GAP_NS = 40_000_000
"""Between the starts of two runs. Runs last about a second, so some 25 are open at a time."""


class _FreshIds:
    """One random id for every recorded id, the same each time it is met within one copy."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._made: dict[bytes, bytes] = {}

    def __call__(self, recorded: bytes) -> bytes:
        if recorded not in self._made:
            self._made[recorded] = self._source.randbytes(len(recorded))
        return self._made[recorded]


def spans_in(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """All spans of a request."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans


def restamp(
    bodies: Sequence[bytes], source: random.Random, start_ns: int
) -> list[ExportTraceServiceRequest]:
    """A copy of a recording that starts at `start_ns` under ids never used before.

    Ids are replaced in spans, parents and links alike, so trees, duplicates and links between the
    recording's traces stay as they were.
    """
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    shift = start_ns - min(s.start_time_unix_nano for r in requests for s in spans_in(r))
    fresh = _FreshIds(source)
    for request in requests:
        for span in spans_in(request):
            _restamp_span(span, fresh, shift)
    return requests


def amplify(
    recordings: Sequence[str],
    spans: int,
    seed: int = 1,
    start_ns: int = START_NS,
    gap_ns: int = GAP_NS,
) -> Iterator[bytes]:
    """Request bodies that hold exactly `spans` spans, made of `recordings` in turn.

    Same arguments, same bytes. The runs at the very end may be cut. About 20 us a span.
    """
    packed: list[bytes] = []
    held = 0
    left = spans
    for request in _by_arrival(recordings, seed, start_ns, gap_ns):
        while left:
            room = min(SPANS_PER_REQUEST - held, left)
            head, rest = _cut(request, room)
            taken = sum(1 for _ in spans_in(head))
            packed.append(head.SerializeToString())
            held += taken
            left -= taken
            if held == SPANS_PER_REQUEST or not left:
                # Concatenated protobuf messages are one message: their repeated fields join.
                yield b"".join(packed)
                packed, held = [], 0
            if rest is None:
                break
            request = rest
        if not left:
            return


def amplified_file(folder: Path, spans: int, seed: int = 1) -> Path:
    """A length-prefixed file of `spans` spans made of MEASURED; made once per content."""
    content = hashlib.sha256(Path(__file__).read_bytes())
    for name in MEASURED:
        for body in requests_of(name):
            content.update(body)
    path = folder / f"amplified-{spans}-{seed}-{content.hexdigest()[:12]}.otlp.bin"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f"amplified-{spans}-{seed}-*"):
            stale.unlink()
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            write_frames(file, amplify(MEASURED, spans, seed))
        unfinished.rename(path)
    return path


def _restamp_span(span: Span, fresh: _FreshIds, shift: int) -> None:
    span.trace_id = fresh(span.trace_id)
    span.span_id = fresh(span.span_id)
    if span.parent_span_id:
        span.parent_span_id = fresh(span.parent_span_id)
    span.start_time_unix_nano += shift
    span.end_time_unix_nano += shift
    for event in span.events:
        event.time_unix_nano += shift
    for link in span.links:
        link.trace_id = fresh(link.trace_id)
        link.span_id = fresh(link.span_id)


def _by_arrival(
    recordings: Sequence[str], seed: int, start_ns: int, gap_ns: int
) -> Iterator[ExportTraceServiceRequest]:
    """Requests of endless copies, in the order in which their last spans ended."""
    source = random.Random(seed)
    bodies = [requests_of(name) for name in recordings]
    waiting: list[tuple[int, int, ExportTraceServiceRequest]] = []
    number = 0
    copy = 0
    while True:
        begins_ns = start_ns + copy * gap_ns
        while waiting and waiting[0][0] < begins_ns:
            yield heapq.heappop(waiting)[2]
        arrival_ns = begins_ns
        for request in restamp(bodies[copy % len(bodies)], source, begins_ns):
            arrival_ns = max(arrival_ns, *(s.end_time_unix_nano for s in spans_in(request)))
            heapq.heappush(waiting, (arrival_ns, number, request))
            number += 1
        copy += 1


def _cut(
    request: ExportTraceServiceRequest, room: int
) -> tuple[ExportTraceServiceRequest, ExportTraceServiceRequest | None]:
    """The first `room` spans of a request, and the others if there are any."""
    if sum(1 for _ in spans_in(request)) <= room:
        return request, None
    head, rest = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            here = scope_spans.spans[:room]
            _add(head, resource_spans, scope_spans, here)
            _add(rest, resource_spans, scope_spans, scope_spans.spans[room:])
            room -= len(here)
    return head, rest


def _add(
    request: ExportTraceServiceRequest,
    resource_spans: ResourceSpans,
    scope_spans: ScopeSpans,
    spans: Sequence[Span],
) -> None:
    if spans:
        request.resource_spans.append(
            ResourceSpans(
                resource=resource_spans.resource,
                schema_url=resource_spans.schema_url,
                scope_spans=[
                    ScopeSpans(
                        scope=scope_spans.scope, schema_url=scope_spans.schema_url, spans=spans
                    )
                ],
            )
        )
