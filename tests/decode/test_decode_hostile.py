"""Bytes from anyone: no exception, no crash, one outcome for each payload."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.decode.keep import Keep
from agentcost_collector.model.payload import Payload
from tests.decode.amplified import EMPTY
from tests.support.recordings import ROOT

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


@pytest.mark.parametrize("mebibytes", [4, 32])
@pytest.mark.parametrize("what", EMPTY)
def test_many_empty_things_in_one_request(what, mebibytes):
    """Millions of empty things, two bytes each, are refused for good with the limit named, harm
    no other request, and take memory in proportion to the request."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.decode.amplified", what, str(mebibytes)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    malformed, spans_of_other, grown_mib = json.loads(process.stdout)
    assert "_per_request_max" in malformed
    assert spans_of_other == 1
    assert grown_mib < 128 + 16 * mebibytes


def test_limits_are_per_request(good_span, request_of):
    """A request at the limits is kept, one beyond is not, whatever else is in its group."""
    decoder = Decoder(
        Keep([], [], [], []), Config(spans_per_request_max=5, attributes_per_request_max=2)
    )
    at_limit = request_of(*(good_span(n) for n in (1, 2, 3)))  # and two envelopes
    full = request_of(good_span(4))
    full.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="a")
    full.resource_spans[0].scope_spans[0].spans[0].links.add()
    spans = request_of(*(good_span(n) for n in (5, 6, 7, 8)))
    attributes = request_of(good_span(9))
    for _ in range(3):
        attributes.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="a")
    group = [r.SerializeToString() for r in (at_limit, spans, full, attributes, at_limit)]
    decoded = decoder.decode([Payload(body, n) for n, body in enumerate(group)])
    refused = [outcome.malformed or "" for outcome in decoded.outcomes]
    assert [bool(text) for text in refused] == [False, True, False, True, False]
    assert "more than 5 spans" in refused[1]
    assert "decode.attributes_per_request_max" in refused[3]
    assert decoded.spans.column("received_at_ns").to_pylist() == [0] * 3 + [2] + [4] * 3


def test_a_long_request_is_kept(decode, good_span, request_of):
    """A request long enough to be counted on the wire first comes through whole."""
    spans = [good_span(n, name="n" * 500) for n in range(1, 6001)]
    body = request_of(*spans).SerializeToString()
    assert len(body) > 2**21
    decoded = decode(body, body[:-1])
    assert decoded.spans.num_rows == 6000
    assert decoded.outcomes[0].malformed is None
    assert "not a protobuf" in (decoded.outcomes[1].malformed or "")


@pytest.mark.parametrize("head", [b"\x0a", b"\x0a\x0d\x12\x0b\x0a", b"\x0a\x0d\x12\x0b\x12"])
@pytest.mark.parametrize("length", [2**64 - 1, 2**64 - 2, 2**63, 2**32])
def test_impossible_lengths(decode, good_span, request_of, head, length):
    """A field that claims a length near the end of all numbers is malformed and harms no other."""
    claimed = bytes([(length >> shift & 127) | 128 for shift in range(0, 63, 7)])
    good = request_of(good_span()).SerializeToString()
    decoded = decode(good, head + claimed + bytes([length >> 63]), good)
    assert [bool(outcome.malformed) for outcome in decoded.outcomes] == [False, True, False]
    assert decoded.spans.num_rows == 2
