"""From verdicts to tables: STEPS for the ledger, VERDICTS for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.calls import CALL_KINDS
from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.attribute.tree import NONE, nearest_or_self
from agentcost_collector.attribute.twins import Enriched, enrich
from agentcost_collector.attribute.walk import Walk, path_of, self_time_ns
from agentcost_collector.attribute.who import who_columns
from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.money import QUANTITY
from agentcost_collector.model.notes import Note, names
from agentcost_collector.model.reasons import UsageReason, Verdict
from agentcost_collector.model.schemas import STEPS, TOKENS, VERDICTS
from agentcost_collector.model.tables import codes

_CALL_KIND_NAMES = ("llm", "embedding", "rerank", "retrieval", "tool", "agent", "compute")
SELF_SECOND = "compute.self_second"
"""Unit of a span's own time: what its children did not take."""
_COMPUTE = KINDS.index(Kind.COMPUTE)
_STATUS = pa.array(["unset", "ok", "error"])
_REASONS = tuple(UsageReason)
_TWINS = (
    UsageReason.NESTED_TWIN,
    UsageReason.SIBLING_TWIN,
    UsageReason.SAME_RESPONSE,
    UsageReason.SAME_TOOL_CALL,
    UsageReason.SPAN_REPEATED,
    UsageReason.COUNTED_ABOVE,
)
_INHERITED = ("session_id", "user_id", "agent", "agent_version", "workflow")
_OWN = (
    "requested_model",
    "tool",
    "operation",
    "target",
    "region",
    "account",
    "dialect",
    "units",
    "unit",
    "gpu_seconds",
    "cpu_seconds",
    "gib_seconds",
    "request_bytes",
    "response_bytes",
)


def steps_of(
    spans: pa.Table, facts: pa.Table, walked: Walk, policy: Policy, rules: Rules
) -> pa.Table:
    """STEPS sorted by (trace_id, started_at, step_id): one row per step, one per residual."""
    tree, own = walked.tree, walked.ownership
    residual = np.array(sorted(own.residual), dtype=np.int64)
    rows = np.concatenate([np.flatnonzero(walked.step), residual])
    is_residual = np.arange(len(rows)) >= len(rows) - len(residual)
    take = pa.array(rows)
    lasted = pc.subtract(spans.column("end_ns"), spans.column("start_ns")).to_numpy()
    better = enrich(facts, own, lasted)
    columns: dict[str, Any] = {
        **_identity(spans, facts, walked, rows, is_residual),
        **who_columns(spans, facts, walked, rows, policy, rules),
        **{name: facts.column(name).take(take) for name in _OWN},
        **{name: better.text(name).take(take) for name in Enriched.TEXT},
        "usage_rule": facts.column("usage_rule").take(pa.array(better.usage_row[rows])),
        "reported_cost_usd": better.reported_cost().take(take),
        **_usage(facts, better, walked, rows, is_residual),
    }
    for name in _INHERITED:
        columns[name] = _inherited(facts, walked, name, rows)
    columns |= _own_time(spans, facts, walked, rows, columns)
    if walked.metered.any():
        columns |= _requests(facts, walked, rows, columns)
    table = pa.table([_as(columns[f.name], f.type) for f in STEPS], schema=STEPS)
    return _in_order(table, tree.trace[rows])


def _in_order(steps: pa.Table, trace: np.ndarray) -> pa.Table:
    """Sorted by (trace_id, started_at, step_id). Rows of sorted spans nearly are: step ids are
    compared only where residuals or equal microseconds may have crossed."""
    started = steps.column("started_at").cast(pa.int64()).to_numpy()
    same_trace = trace[1:] == trace[:-1]
    crossed = (trace[1:] < trace[:-1]) | (same_trace & (started[1:] <= started[:-1]))
    if not crossed.any():
        return steps
    keys = [(name, "ascending") for name in ("trace_id", "started_at", "step_id")]
    unsettled = np.isin(trace, trace[1:][crossed])
    settled = np.flatnonzero(~unsettled)
    rows = np.flatnonzero(unsettled)
    few = steps.select([name for name, _ in keys]).take(pa.array(rows))
    rows = rows[pc.sort_indices(few, sort_keys=keys).to_numpy()]
    both = np.concatenate([settled, rows])
    order = both[np.argsort(trace[both], kind="stable")]
    return steps.take(pa.array(order)).combine_chunks()


def verdicts_of(spans: pa.Table, facts: pa.Table, walked: Walk) -> pa.Table:
    """VERDICTS: one row per span, in the order of `spans`."""
    own = walked.ownership
    parent = walked.tree.parent
    ids = spans.column("span_id").combine_chunks()
    original = spans.column("parent_span_id").combine_chunks()
    verdict = pa.array([_verdict(r, bool(s)) for r, s in zip(own.reason, walked.step, strict=True)])
    columns = {
        "trace_id": spans.column("trace_id"),
        "span_id": ids,
        "parent_span_id": pc.coalesce(_at(ids, parent), original),
        "inferred_parent": pa.array(walked.inferred),
        "name": spans.column("name"),
        "service": facts.column("service"),
        "kind": pa.array([str(k) for k in KINDS]).take(pa.array(walked.kind)),
        "dialect": facts.column("dialect"),
        "verdict": verdict,
        "reason": _at(pa.array([str(r) for r in _REASONS]), own.reason),
        "survivor_span_id": _at(ids, np.where(own.reason >= 0, own.survivor, NONE)),
        "input_tokens": facts.column("input_total"),
        "output_tokens": facts.column("output_total"),
    }
    return pa.table([_as(columns[f.name], f.type) for f in VERDICTS], schema=VERDICTS)


def _verdict(reason: int, is_step: bool) -> str:
    if is_step:
        return Verdict.STEP
    if reason < 0 or _REASONS[reason] is UsageReason.NO_EVIDENCE:
        return Verdict.STRUCTURE
    if _REASONS[reason] is UsageReason.TRANSPORT_OF_CALL:
        return Verdict.TRANSPORT
    return Verdict.TWIN if _REASONS[reason] in _TWINS else Verdict.AGGREGATE


def _identity(
    spans: pa.Table, facts: pa.Table, walked: Walk, rows: np.ndarray, is_residual: np.ndarray
) -> dict[str, Any]:
    take = pa.array(rows)
    start, end = (spans.column(c).to_numpy()[rows] for c in ("start_ns", "end_ns"))
    ids = spans.column("span_id").combine_chunks()
    span_id = ids.take(take)
    suffix = pa.array(np.where(is_residual, "-residual", ""))
    step_id = pc.binary_join_element_wise(
        spans.column("trace_id").take(take), span_id, pa.scalar("-", pa.string())
    ).combine_chunks()
    kind = np.array([_step_kind(k) for k in KINDS])[walked.kind[rows]]
    status = np.clip(spans.column("status").fill_null(0).to_numpy()[rows], 0, 2)
    parent = pc.coalesce(
        _at(ids, walked.tree.parent).take(take), spans.column("parent_span_id").take(take)
    )
    micros = (end - start) // 1000
    return {
        "trace_id": spans.column("trace_id").take(take),
        "span_id": span_id,
        "parent_span_id": parent,
        "step_id": pc.binary_join_element_wise(step_id, suffix, pa.scalar("", pa.string())),
        "kind": pa.array(kind),
        "name": spans.column("name").take(take),
        "path": path_of(walked.tree, spans.column("name"), rows),
        "started_at": _time(start),
        "ended_at": _time(end),
        "duration_ms": _millis(micros),
        "status": _STATUS.take(pa.array(status)),
        "service": facts.column("service").take(take),
    }


def _own_time(
    spans: pa.Table, facts: pa.Table, walked: Walk, rows: np.ndarray, columns: dict[str, Any]
) -> dict[str, Any]:
    """Seconds of its own for a compute span that measured nothing, so that time can be priced."""
    bare = walked.kind[rows] == _COMPUTE
    for name in ("units", "gpu_seconds", "cpu_seconds", "gib_seconds"):
        bare &= facts.column(name).is_null().to_numpy()[rows]
    if not bare.any():
        return {}
    seconds = pa.array(self_time_ns(spans, walked.tree, rows[bare])).cast(pa.decimal128(19, 0))
    seconds = pc.multiply(seconds, pa.scalar("1e-9").cast(pa.decimal128(10, 9))).cast(QUANTITY)
    units, unit = (columns[c].combine_chunks() for c in ("units", "unit"))
    return {
        "units": pc.replace_with_mask(units, pa.array(bare), seconds),
        "unit": pc.if_else(pa.array(bare), SELF_SECOND, unit.cast(pa.string())),
    }


def _requests(
    facts: pa.Table, walked: Walk, rows: np.ndarray, columns: dict[str, Any]
) -> dict[str, Any]:
    """A metered request is a call of the tool named as its host, on host and path template."""
    metered = pa.array(walked.metered[rows])
    host = facts.column("host").take(pa.array(rows)).cast(pa.string()).combine_chunks()
    tool, target = (columns[c].cast(pa.string()).combine_chunks() for c in ("tool", "target"))
    place = pc.binary_join_element_wise(host.fill_null(""), target.fill_null(""), "")
    return {
        "tool": pc.if_else(metered, pc.coalesce(tool, host), tool),
        "target": pc.if_else(metered, place, target),
    }


def _usage(
    facts: pa.Table, better: Enriched, walked: Walk, rows: np.ndarray, is_residual: np.ndarray
) -> dict[str, Any]:
    """Token columns of each step, from the twin that knows most; residuals as their surplus."""
    at = pa.array(better.usage_row[rows])
    columns: dict[str, Any] = {name: facts.column(name).take(at) for name in TOKENS}
    note = better.note[rows] | np.where(
        _shows_last_call_only(facts, walked)[rows], Note.USAGE_INCOMPLETE, 0
    )
    note |= np.where(walked.inferred[rows], int(Note.POSITION_INFERRED), 0)
    called = walked.ownership.call[rows]
    silent = ~called & ~is_residual
    for name in TOKENS:
        values = columns[name].combine_chunks()
        columns[name] = pc.if_else(pa.array(silent), pa.scalar(None, pa.int64()), values)
    for i in np.flatnonzero(is_residual):  # rare: carriers with a surplus
        surplus = walked.ownership.residual[int(rows[i])]
        for name in TOKENS:
            amount = {"input_tokens": surplus[0], "output_tokens": surplus[1]}.get(name, 0)
            mask = pa.array(np.arange(len(rows)) == i)
            columns[name] = pc.if_else(mask, pa.scalar(amount, pa.int64()), columns[name])
    reported = columns["output_tokens"].is_valid().to_numpy(zero_copy_only=False)
    role = np.where(is_residual, 1, np.where(reported, 0, NONE))
    columns["usage_role"] = _at(pa.array(["own", "residual"], pa.string()), role)
    distinct, inverse = np.unique(note, return_inverse=True)
    columns["usage_note"] = pa.array(names(distinct), pa.string()).take(pa.array(inverse))
    return columns


def _shows_last_call_only(facts: pa.Table, walked: Walk) -> np.ndarray:
    """Calls known to be the last of several: of emitters that report the last one, where a tool
    ran within them or was offered; and usage that a library wrote on its caller's span, where
    the calls it wrote there before cannot be told apart beneath it."""
    parent, call = walked.tree.parent, walked.ownership.call
    last = facts.column("last_call_only").to_numpy()
    written = facts.column("writes_on_caller").to_numpy() & call
    silent = facts.column("call_needs_usage").to_numpy() & np.isin(walked.kind, CALL_KINDS)
    silent &= ~call & (parent >= 0)
    beneath = np.bincount(parent[silent], minlength=len(parent))
    any_call = np.bincount(
        parent[facts.column("call_needs_usage").to_numpy() & (parent >= 0)], minlength=len(parent)
    )
    result: np.ndarray = written & ((beneath > 1) | (any_call == 0))
    if last.any():
        tool = (walked.kind == KINDS.index(Kind.TOOL)) & (parent >= 0)
        offered = facts.column("tools_offered").to_numpy().copy()
        offered[parent[tool]] = True
        result |= last & offered & call
    return result


def _inherited(facts: pa.Table, walked: Walk, name: str, rows: np.ndarray) -> pa.Array:
    """A fact of the span or of its nearest ancestor that has it."""
    column = codes(facts.column(name))
    has = column.is_valid().to_numpy(zero_copy_only=False)
    if not has.any():
        return pa.nulls(len(rows), pa.string())
    return _at(column, nearest_or_self(walked.tree.parent, has)[rows])


def _step_kind(kind: Kind) -> str:
    if kind is Kind.VECTOR_WRITE:
        return str(Kind.RETRIEVAL)
    return str(kind) if str(kind) in _CALL_KIND_NAMES else "other"


def _at(values: pa.Array, rows: np.ndarray) -> pa.Array:
    """`values` at `rows`, NULL for -1."""
    return values.take(pa.array(rows, pa.int64(), mask=rows < 0))


def _time(ns: np.ndarray) -> pa.Array:
    return pa.array(ns // 1000, pa.timestamp("us", tz="UTC"))


def _millis(micros: np.ndarray) -> pa.Array:
    whole = pa.array(micros).cast(pa.decimal128(19, 0))
    return pc.multiply(whole, pa.scalar("0.001", pa.string()).cast(pa.decimal128(4, 3))).cast(
        pa.decimal128(18, 3)
    )


def _as(column: Any, to: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == to else column.cast(to)
