"""Spans out of quarantine are the spans that went in, and where repaired, always the same ones."""

from __future__ import annotations

import pyarrow as pa
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agentcost_collector.decode.release import released_spans
from agentcost_collector.model.schemas import SPANS

AT = 1_700_000_000_000_000_000
KEPT = ("kind", "name", "status", "scope_name", "resource", "attributes", "links")


@pytest.fixture
def rejected(decode, good_span, request_of):
    """REJECTS for a good span with these fields replaced."""

    def build(*spans: dict):
        attributes = [KeyValue(key="k", value=AnyValue(string_value="v"))]
        made = [good_span(n, attributes=attributes, **s) for n, s in enumerate(spans, start=1)]
        rejects = decode(request_of(*made).SerializeToString()).rejects
        assert rejects.num_rows == len(spans)
        return rejects

    return build


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"trace_id": bytes(range(1, 9))}, {"trace_id": "0" * 16 + "0102030405060708"}),
        ({"end_time_unix_nano": 2**64 - 1}, {"start_ns": AT, "end_ns": AT}),
        ({"start_time_unix_nano": 2**63}, {"start_ns": AT + 10**9, "end_ns": AT + 10**9}),
        (
            {"start_time_unix_nano": 2**63, "end_time_unix_nano": 2**63},
            {"start_ns": 0, "end_ns": 0},  # received at 0
        ),
    ],
)
def test_repairs(rejected, wrong, right):
    """A short trace id is padded, a time out of range is the other one or that of receipt; all
    else stays, and nothing is released without being asked to repair."""
    rejects = rejected(wrong)
    spans, rows = released_spans(rejects, repair=False, now_ns=AT)
    assert (spans.num_rows, len(rows)) == (0, 0)
    spans, rows = released_spans(rejects, repair=True, now_ns=AT)
    assert spans.schema.equals(SPANS)
    spans.validate(full=True)
    (span,) = spans.to_pylist()
    assert span | right == span
    assert [span[name] for name in KEPT] == [rejects.to_pylist()[0][name] for name in KEPT]
    assert rows.tolist() == [0]


def test_a_time_ahead_is_valid_when_it_has_come(rejected):
    """A span from a clock that was ahead stays until its time is at most 48 hours away; repaired
    before, it is of the time of its receipt."""
    day_ns = 86_400 * 10**9
    rejects = rejected({"span_id": b""})
    ahead = {"span_id": "ab" * 8, "start_ns": AT + 3 * day_ns, "end_ns": AT + 3 * day_ns}
    rejects = pa.Table.from_pylist([rejects.to_pylist()[0] | ahead], rejects.schema)
    assert released_spans(rejects, repair=False, now_ns=AT + day_ns - 1)[0].num_rows == 0
    (span,) = released_spans(rejects, repair=False, now_ns=AT + day_ns)[0].to_pylist()
    assert (span["start_ns"], span["end_ns"]) == (AT + 3 * day_ns, AT + 3 * day_ns)
    (span,) = released_spans(rejects, repair=True, now_ns=AT)[0].to_pylist()
    assert (span["start_ns"], span["end_ns"]) == (0, 0)  # received at 0


def test_ids_that_are_lost(rejected):
    """The same wrong trace id gives the same trace; without any id a span has a trace of its own;
    always the same on every run."""
    ids = (b"x" * 12, b"x" * 12, b"", b"\0" * 16, b"y" * 40)
    rejects = rejected(*({"trace_id": i} for i in ids))
    spans, _ = released_spans(rejects, repair=True, now_ns=AT)
    traces = spans.column("trace_id").to_pylist()
    assert traces[0] == traces[1]
    assert len(set(traces)) == 4
    assert all(len(t) == 32 and t.strip("0") for t in traces)
    assert released_spans(rejects, repair=True, now_ns=AT)[0].equals(spans)
    assert spans.column("span_id").to_pylist() == [f"{n:016x}" for n in range(1, 6)]
    rejects = rejected({"span_id": b""}, {"span_id": b"\0" * 8})
    again, _ = released_spans(rejects, repair=True, now_ns=AT)
    assert len(set(again.column("span_id").to_pylist())) == 2


def test_what_is_valid_needs_no_repair(rejected):
    """A row whose ids and times are right by the rules of today is released as it is."""
    rejects = rejected({"end_time_unix_nano": 2**64 - 1}, {"trace_id": b""})
    at = rejects.schema.get_field_index("end_ns")
    rejects = rejects.set_column(at, "end_ns", [[AT + 5, AT + 5]])
    spans, rows = released_spans(rejects.cast(rejects.schema), repair=False, now_ns=AT)
    assert rows.tolist() == [0]
    assert spans.column("end_ns").to_pylist() == [AT + 5]
    assert spans.column("trace_id").to_pylist() == [f"{1001:032x}"]
