"""Bytes from anyone: no exception, no crash, one outcome for each payload."""

from __future__ import annotations

import threading

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

GROUP_STARTS = b"\x0b"
"""Field 1, wire type 3: opens a group, in one byte."""

MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(["flip", "cut", "insert"]), st.binary()
    ),
    max_size=6,
)


def mutated(body, mutations):
    for place, how, junk in mutations:
        at = int(place * len(body))
        if how == "flip":
            body = (
                body[:at]
                + bytes(b ^ j for b, j in zip(body[at:], junk, strict=False))
                + (body[at + len(junk) :])
            )
        elif how == "cut":
            body = body[:at] + body[at + len(junk) + 1 :]
        else:
            body = body[:at] + junk + body[at:]
    return body


def spans_by_protobuf(body):
    """How many spans protobuf's own parser finds; None where it refuses the request."""
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return None
    return sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(choices=st.lists(st.tuples(st.integers(0), MUTATIONS), min_size=1, max_size=4))
def test_mutated_requests(recorded, decode, choices):
    """Every payload has one outcome; what protobuf accepts is kept or quarantined to the span."""
    small = [body for body in recorded if len(body) < 6000]
    bodies = [mutated(small[n % len(small)], mutations) for n, mutations in choices]
    decoded = decode(*bodies)
    decoded.spans.validate(full=True)
    assert len(decoded.outcomes) == len(bodies)
    received = decoded.spans.column("received_at_ns").to_pylist()
    rejected = decoded.rejects.column("received_at_ns").to_pylist()
    for number, (body, outcome) in enumerate(zip(bodies, decoded.outcomes, strict=True)):
        rows = received.count(number) + rejected.count(number)
        assert outcome.rejected_spans == rejected.count(number)
        if outcome.malformed is not None:
            assert rows == 0
        expected = spans_by_protobuf(body)
        if expected is not None:
            assert outcome.malformed is None
            assert rows == expected


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes(decode, bodies):
    """Random bytes never raise."""
    assert len(decode(*bodies).outcomes) == len(bodies)


@pytest.mark.parametrize("count", [8 * 1024, 200_000, 2 * 1024 * 1024, 2 * 1024 * 1024 + 1])
def test_nested_groups_do_not_overflow_the_stack(decode, good_span, request_of, count):
    """A request of nothing but opened groups, long or short, is malformed and harms no other.

    Without a guard 200,000 of them end the process.
    """
    good = request_of(good_span()).SerializeToString()
    decoded = decode(GROUP_STARTS * count, good)
    assert decoded.outcomes[0].malformed is not None
    assert decoded.outcomes[1].malformed is None
    assert decoded.spans.num_rows == 1


def test_nested_groups_on_a_small_stack(decode):
    """The guard does not lean on the stack of the calling thread."""
    found = []

    def call():
        found.append(decode(GROUP_STARTS * 8192, GROUP_STARTS * 500_000).outcomes)

    usual = threading.stack_size(2 * 1024 * 1024)
    try:
        thread = threading.Thread(target=call)
        thread.start()
    finally:
        threading.stack_size(usual)
    thread.join()
    assert [outcome.malformed is not None for outcome in found[0]] == [True, True]


def test_nested_groups_inside_a_resource(decode):
    """A resource is guarded as well."""
    hidden = GROUP_STARTS * 100_000
    length = bytes([len(hidden) & 127 | 128, len(hidden) >> 7 & 127 | 128, len(hidden) >> 14])
    resource_spans = b"\x0a" + length + hidden
    size = len(resource_spans)
    head = b"\x0a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14])
    assert decode(head + resource_spans).outcomes[0].malformed is not None
