"""Spans that cannot be kept as evidence: why, and what to tell the sender."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from agentcost_collector.model.ids import SPAN_ID_BYTES, TRACE_ID_BYTES, hex_ids
from agentcost_collector.model.payload import Outcome
from agentcost_collector.model.reasons import RejectReason
from agentcost_collector.model.schemas import REJECTS

_INT64_MAX = 2**63 - 1
_ID_BYTES_SHOWN = 32

_REASONS = tuple(RejectReason)
_ADVICE = {
    RejectReason.TRACE_ID_INVALID: "a trace id is 16 bytes, not all zero",
    RejectReason.SPAN_ID_INVALID: "a span id is 8 bytes, not all zero",
    RejectReason.TIME_OUT_OF_RANGE: "a time is Unix nanoseconds below 2^63",
}


def judge_spans(wire: pa.StructArray) -> np.ndarray:
    """Per span 0 where it is fine, else 1 + the place of its RejectReason."""
    starts = wire.field("start_time_unix_nano").to_numpy()
    ends = wire.field("end_time_unix_nano").to_numpy()
    wrong = {
        RejectReason.TRACE_ID_INVALID: ~hex_ids(wire.field("trace_id"), TRACE_ID_BYTES)[1],
        RejectReason.SPAN_ID_INVALID: ~hex_ids(wire.field("span_id"), SPAN_ID_BYTES)[1],
        RejectReason.TIME_OUT_OF_RANGE: np.maximum(starts, ends) > _INT64_MAX,
    }
    codes = range(1, len(_REASONS) + 1)
    return np.select([wrong[reason] for reason in _REASONS], list(codes), default=0)


def reject_outcomes(reasons: np.ndarray, request_of_span: np.ndarray) -> dict[int, Outcome]:
    """What to answer each request that has rejected spans, by its index."""
    spans_of = np.bincount(request_of_span)
    counts: dict[int, Counter[RejectReason]] = {}
    rejected = np.flatnonzero(reasons)
    for request, code in zip(request_of_span[rejected], reasons[rejected], strict=True):
        counts.setdefault(int(request), Counter())[_REASONS[code - 1]] += 1
    return {request: _outcome(found, int(spans_of[request])) for request, found in counts.items()}


def reject_rows(wire: pa.StructArray, spans: pa.Table, reasons: np.ndarray) -> pa.Table:
    """Rows of REJECTS for the spans with a reason. `spans` has a row for every span of `wire`.

    A loop per rejected span, about 3 us each: they are rare, and a flood of them costs less
    than the same number of good spans.
    """
    at = pa.array(np.flatnonzero(reasons))
    rows = spans.select(["name", "scope_name", "resource", "received_at_ns"]).take(at)
    found = [_REASONS[code - 1] for code in reasons[reasons > 0]]
    trace_ids = wire.field("trace_id").take(at).to_pylist()
    span_ids = wire.field("span_id").take(at).to_pylist()
    starts = wire.field("start_time_unix_nano").take(at).to_pylist()
    ends = wire.field("end_time_unix_nano").take(at).to_pylist()
    details = [
        _detail(reason, trace_id, span_id, max(start, end))
        for reason, trace_id, span_id, start, end in zip(
            found, trace_ids, span_ids, starts, ends, strict=True
        )
    ]
    columns = {
        "reason": pa.array(found, pa.string()),
        "detail": pa.array(details, pa.string()),
        "trace_id": pa.array([i[:_ID_BYTES_SHOWN].hex() for i in trace_ids], pa.string()),
        "span_id": pa.array([i[:_ID_BYTES_SHOWN].hex() for i in span_ids], pa.string()),
        "name": rows.column("name"),
        "scope_name": rows.column("scope_name").cast(pa.string()),
        "resource": rows.column("resource").cast(pa.string()),
        "received_at_ns": rows.column("received_at_ns"),
    }
    return pa.table([columns[name] for name in REJECTS.names], schema=REJECTS).combine_chunks()


def _detail(reason: RejectReason, trace_id: bytes, span_id: bytes, time_ns: int) -> str:
    if reason is RejectReason.TIME_OUT_OF_RANGE:
        return f"{time_ns} ns"
    wrong = trace_id if reason is RejectReason.TRACE_ID_INVALID else span_id
    return f"{len(wrong)} bytes" if any(wrong) or not wrong else f"{len(wrong)} bytes, all zero"


def _outcome(found: Counter[RejectReason], spans: int) -> Outcome:
    rejected = found.total()
    reasons = [reason for reason in _REASONS if found[reason]]
    parts = "; ".join(f"{found[r]} {r.value}: {_ADVICE[r]}" for r in reasons)
    message = (
        f"{rejected} of {spans} spans set aside in quarantine ({parts}). "
        "Correct the sender; sending these spans again will not help."
    )
    return Outcome(rejected_spans=rejected, message=message)
