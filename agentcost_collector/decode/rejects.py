"""Spans that cannot be kept as evidence: why, and what to tell the sender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from agentcost_collector.model.partition import AHEAD_NS, DATE_MIN, DAY_NS, EPOCH_DAY
from agentcost_collector.model.payload import Outcome
from agentcost_collector.model.reasons import RejectReason
from agentcost_collector.model.schemas import REJECTS, SPANS

_INT64_MAX = 2**63 - 1
_ID_BYTES_SHOWN = 32
_CLOCK_SET_NS = (DATE_MIN.toordinal() - EPOCH_DAY) * DAY_NS
"""A clock of our own that is before this was never set; nothing is judged by it."""

_REASONS = tuple(RejectReason)
_ADVICE = {
    RejectReason.TRACE_ID_INVALID: "a trace id is 16 bytes, not all zero",
    RejectReason.SPAN_ID_INVALID: "a span id is 8 bytes, not all zero",
    RejectReason.TIME_OUT_OF_RANGE: "a time is Unix nanoseconds below 2^63",
    RejectReason.TIME_AHEAD: "a time is at most 48 hours ahead of the collector's clock",
}


def judge_spans(wire: pa.StructArray, spans: pa.Table) -> np.ndarray:
    """Per span 0 where it is fine, else 1 + the place of its RejectReason.

    `spans` has a row for every span of `wire`; an id that is wrong on the wire is NULL there.
    """
    latest, received_at_ns = _latest(wire), spans.column("received_at_ns").to_numpy()
    wrong = {
        RejectReason.TRACE_ID_INVALID: _nulls(spans.column("trace_id")),
        RejectReason.SPAN_ID_INVALID: _nulls(spans.column("span_id")),
        RejectReason.TIME_OUT_OF_RANGE: latest > _INT64_MAX,
        RejectReason.TIME_AHEAD: (latest > (received_at_ns + AHEAD_NS).astype(np.uint64))
        & (received_at_ns >= _CLOCK_SET_NS),
    }
    reasons = np.zeros(len(wire), dtype=np.int8)
    for code, reason in reversed(list(enumerate(_REASONS, start=1))):
        reasons[wrong[reason]] = code
    return reasons


def reject_outcomes(reasons: np.ndarray, request_of_span: np.ndarray) -> dict[int, Outcome]:
    """What to answer each request that has rejected spans, by its index."""
    spans = np.bincount(request_of_span)
    found = np.stack(
        [
            np.bincount(request_of_span[reasons == code], minlength=len(spans))
            for code in range(1, len(_REASONS) + 1)
        ]
    )
    return {
        int(request): _outcome(found[:, request].tolist(), int(spans[request]))
        for request in np.flatnonzero(found.any(axis=0))
    }


def reject_rows(wire: pa.StructArray, spans: pa.Table, reasons: np.ndarray) -> pa.Table:
    """Rows of REJECTS for the spans with a reason. `spans` has a row for every span of `wire`."""
    at = pa.array(np.flatnonzero(reasons))
    rejected = wire.take(at)
    codes = reasons[reasons > 0]
    columns = dict(zip(SPANS.names, spans.take(at).columns, strict=True))
    columns |= {
        "reason": pa.array(_REASONS, pa.string()).take(pa.array(codes - 1)),
        "detail": _details(rejected, codes),
        "trace_id": _texts(rejected.field("trace_id"), _shown),
        "span_id": _texts(rejected.field("span_id"), _shown),
        "start_ns": rejected.field("start_time_unix_nano"),
        "end_ns": rejected.field("end_time_unix_nano"),
    }
    return pa.table([columns[name] for name in REJECTS.names], schema=REJECTS).combine_chunks()


def _details(rejected: pa.StructArray, codes: np.ndarray) -> pa.StringArray:
    """What exactly is wrong: of an id its length, of a time its value."""
    about: dict[RejectReason, tuple[pa.Array, Callable[[Any], str]]] = {
        RejectReason.TRACE_ID_INVALID: (rejected.field("trace_id"), _id_detail),
        RejectReason.SPAN_ID_INVALID: (rejected.field("span_id"), _id_detail),
        RejectReason.TIME_OUT_OF_RANGE: (pa.array(_latest(rejected)), "{} ns".format),
        RejectReason.TIME_AHEAD: (pa.array(_latest(rejected)), "{} ns".format),
    }
    parts = []
    for code, reason in enumerate(_REASONS, start=1):
        column, text = about[reason]
        parts.append(_texts(column.filter(pa.array(codes == code)), text))
    place = np.empty(len(codes), dtype=np.int64)
    place[np.argsort(codes, kind="stable")] = np.arange(len(codes))
    return pa.concat_arrays(parts).take(pa.array(place))


def _texts(column: pa.Array, text: Callable[[Any], str]) -> pa.StringArray:
    """`text` of each value, worked out once per distinct value."""
    distinct = column.dictionary_encode()
    texts = [text(value) for value in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)


def _shown(raw: bytes) -> str:
    return raw[:_ID_BYTES_SHOWN].hex()


def _id_detail(raw: bytes) -> str:
    return f"{len(raw)} bytes" if any(raw) or not raw else f"{len(raw)} bytes, all zero"


def _latest(wire: pa.StructArray) -> np.ndarray:
    starts = wire.field("start_time_unix_nano").to_numpy()
    return np.asarray(np.maximum(starts, wire.field("end_time_unix_nano").to_numpy()))


def _nulls(column: pa.ChunkedArray) -> np.ndarray:
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    return np.asarray(column.is_null().to_numpy())


def _outcome(found: list[int], spans: int) -> Outcome:
    counted = [(count, reason) for count, reason in zip(found, _REASONS, strict=True) if count]
    parts = "; ".join(f"{count} {reason.value}: {_ADVICE[reason]}" for count, reason in counted)
    message = (
        f"{sum(found)} of {spans} spans set aside in quarantine ({parts}). "
        "Correct the sender; sending these spans again will not help."
    )
    return Outcome(rejected_spans=sum(found), message=message)
