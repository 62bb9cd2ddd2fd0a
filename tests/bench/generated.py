"""Entries made up for measuring: columns drawn at random, never an object per step.

A day is drawn from the seed and its date alone. Sessions have 4 runs on average and share who pays;
a run is a trace of 3 to 60 steps. 40 features of 12 teams, 2,000 tenants (few of them large), 15
models, 30 tools, 2 environments; 3 % of sessions have no feature, 1 % of model calls no price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.money import QUANTITY, USD
from agentcost_collector.model.schemas import ENTRIES, SIGNED, TOKENS
from agentcost_collector.model.tables import conform

TEAMS, FEATURES, TENANTS, MODELS, TOOLS = 12, 40, 2_000, 15, 30
DAY_US = 86_400 * 10**6

_KINDS = ("llm", "tool", "retrieval", "embedding", "rerank")
_SHARES = (0.6, 0.2, 0.1, 0.07, 0.03)
_LLM, _TOOL, _RETRIEVAL, _EMBEDDING = range(4)
_TEAM_NAMES = [f"team-{n:02}" for n in range(TEAMS)]
_FEATURE_NAMES = [f"feature-{n:02}" for n in range(FEATURES)]
_TENANT_NAMES = [f"tenant-{n:04}" for n in range(TENANTS)]
_MODEL_NAMES = [f"model-{n:02}" for n in range(MODELS)]
_TOOL_NAMES = [f"tool-{n:02}" for n in range(TOOLS)]
_AGENT_NAMES = [f"agent-{n:02}" for n in range(FEATURES)]
_SERVICE_NAMES = [f"service-{n:02}" for n in range(TEAMS)]
_PROVIDERS = ["openai", "anthropic", "google"]
_STEP_NAMES = [*(f"chat {m}" for m in _MODEL_NAMES), *(f"run {t}" for t in _TOOL_NAMES)]
_INPUT_PICO = np.array([150_000 * (n + 1) ** 2 // 4 for n in range(MODELS)])  # for a token
_CALL_PICO = 2_500_000_000  # for a call of a tool that costs
_HEX = np.frombuffer("".join(f"{n:02x}" for n in range(256)).encode(), np.uint16)


def entries_of(day: date, slot: int, slots: int, steps: int, seed: int) -> pa.Table:
    """ENTRIES of one of the `slots` that a day is cut into: `steps` steps, booked once."""
    rng = np.random.default_rng([seed, day.toordinal(), slot])
    runs = _Runs.draw(rng, steps)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    begin_us = int(midnight.timestamp()) * 10**6 + DAY_US * slot // slots
    columns = {
        **_identity(rng, runs, begin_us, DAY_US // slots),
        **_payer(runs),
        **_work(rng, runs),
        "booked_at": _constant(_time(begin_us + DAY_US // slots), runs.steps),
        "date": _constant(pa.scalar(day), runs.steps),
        "sign": _constant(pa.scalar(1, pa.int8()), runs.steps),
        "entry_reason": _constant(pa.scalar("first"), runs.steps),
        "journal": _constant(pa.scalar(""), runs.steps),
        "batch_seq": _constant(pa.scalar(0), runs.steps),
        "row_no": _constant(pa.scalar(0, pa.int32()), runs.steps),
    }
    return conform(pa.table(columns), ENTRIES)


def corrected(entries: pa.Table, per_mille: int, seed: int) -> pa.Table:
    """ENTRIES that move so many of the steps of `entries` to another feature: pairs of a reversal
    and a new entry."""
    rng = np.random.default_rng([seed, entries.num_rows])
    picked = np.flatnonzero(rng.integers(0, 1000, entries.num_rows) < per_mille)
    old = entries.take(pa.array(picked))
    new = _with(old, "entry_reason", _constant(pa.scalar("late"), len(picked)))
    feature = pa.DictionaryArray.from_arrays(
        pa.array(rng.integers(0, FEATURES, len(picked)), pa.int32()), _FEATURE_NAMES
    )
    reversal = _with(new, "sign", _constant(pa.scalar(-1, pa.int8()), len(picked)))
    for name in SIGNED:
        reversal = _with(reversal, name, _negated(reversal[name].combine_chunks()))
    return pa.concat_tables([reversal, _with(new, "feature", feature.cast(pa.string()))])


@dataclass(frozen=True)
class _Runs:
    """Runs, and the sessions that they belong to; numbers are positions, -1 for none."""

    lengths: np.ndarray
    of_step: np.ndarray
    """The run of each step."""
    trace: np.ndarray
    """Sixteen bytes of id of each run."""
    session: np.ndarray
    feature: np.ndarray
    tenant: np.ndarray
    environment: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, steps: int) -> _Runs:
        lengths = np.clip(rng.geometric(0.1, steps // 3 + 1) + 2, 3, 60)
        count = int(np.searchsorted(np.cumsum(lengths), steps)) + 1
        lengths = lengths[:count]
        lengths[-1] -= lengths.sum() - steps
        sessions = count // 4 + 1
        session = rng.integers(0, sessions, count)
        feature = _skewed(rng, FEATURES, sessions)
        feature[rng.random(sessions) < 0.03] = -1
        return cls(
            lengths,
            np.repeat(np.arange(count), lengths),
            rng.integers(0, 256, (count, 16), np.uint8),
            session,
            feature[session],
            _skewed(rng, TENANTS, sessions)[session],
            (rng.random(sessions) < 0.15).astype(int)[session],
        )

    @property
    def steps(self) -> int:
        return len(self.of_step)


def _identity(
    rng: np.random.Generator, runs: _Runs, begin_us: int, slot_us: int
) -> dict[str, pa.Array]:
    first = np.cumsum(runs.lengths) - runs.lengths
    span = rng.integers(0, 256, (runs.steps, 8), np.uint8)
    root = rng.integers(0, 256, (len(runs.lengths), 8), np.uint8)
    nested = rng.random(runs.steps) < 0.3
    nested[first] = False
    parent = np.where(nested[:, None], np.roll(span, 1, axis=0), root[runs.of_step])
    trace_hex, span_hex = _hex(runs.trace)[runs.of_step], _hex(span)
    took_us = (np.exp(rng.normal(6.5, 1.0, runs.steps)) * 1000).astype(np.int64) + 1000
    before = np.cumsum(took_us) - took_us
    started = before - before[first][runs.of_step]
    started += np.sort(rng.integers(0, slot_us, len(runs.lengths)))[runs.of_step]
    started = np.minimum(started, slot_us - 2)
    ended = np.minimum(started + took_us, slot_us - 1)
    dash = np.full((runs.steps, 1), ord("-"), np.uint8)
    failed = (rng.random(runs.steps) < 0.02).astype(int)
    milliseconds = _decimal(ended - started, pa.decimal128(18, 3))
    return {
        "trace_id": _text(trace_hex),
        "span_id": _text(span_hex),
        "parent_span_id": _text(_hex(parent)),
        "step_id": _text(np.hstack([trace_hex, dash, span_hex])),
        "started_at": pa.array(started + begin_us).cast(ENTRIES.field("started_at").type),
        "ended_at": pa.array(ended + begin_us).cast(ENTRIES.field("ended_at").type),
        "duration_ms": milliseconds,
        "status": _coded(failed, ["ok", "error"]),
    }


def _payer(runs: _Runs) -> dict[str, pa.Array]:
    feature = runs.feature[runs.of_step]
    known = np.where(feature < 0, 1, 0)
    _, first, session = np.unique(runs.session, return_index=True, return_inverse=True)
    named = first[session]  # the run that gives a session its id
    tenant = runs.tenant[runs.of_step]
    return {
        "feature": _coded(feature, _FEATURE_NAMES),
        "feature_from": _coded(known, ["ancestor", "none"]),
        "team": _coded(np.where(feature < 0, -1, feature % TEAMS), _TEAM_NAMES),
        "team_from": _coded(known, ["ancestor", "none"]),
        "workload_class": _coded(np.zeros(runs.steps, int), ["interactive"]),
        "tenant": _coded(tenant, _TENANT_NAMES),
        "tenant_from": _coded(np.zeros(runs.steps, int), ["baggage"]),
        "environment": _coded(runs.environment[runs.of_step], ["production", "staging"]),
        "environment_from": _coded(np.zeros(runs.steps, int), ["resource"]),
        "unattributed_reason": _coded(np.where(feature < 0, 0, -1), ["no_tag"]),
        "agent": _coded(feature, _AGENT_NAMES),
        "service": _coded(np.maximum(feature, 0) % TEAMS, _SERVICE_NAMES),
        "session_id": _text(_hex(runs.trace[named])[runs.of_step]),
        "user_id": _coded(tenant, [f"user of {name}" for name in _TENANT_NAMES]),
    }


def _work(rng: np.random.Generator, runs: _Runs) -> dict[str, pa.Array]:
    kind = rng.choice(len(_KINDS), runs.steps, p=_SHARES)
    uses_tool = (kind == _TOOL) | (kind == _RETRIEVAL)
    tool = np.where(uses_tool, _skewed(rng, TOOLS, runs.steps), -1)
    model = np.where(uses_tool, -1, _skewed(rng, MODELS, runs.steps))
    payer = runs.feature[runs.of_step]
    owner = np.where(uses_tool, tool % TEAMS, np.where(payer < 0, -1, payer % TEAMS))
    name = np.where(uses_tool, tool + MODELS, model)
    response = _text(_hex(rng.integers(0, 256, (runs.steps, 12), np.uint8)))
    return {
        "kind": _coded(kind, list(_KINDS)),
        "name": _coded(name, _STEP_NAMES),
        "path": _coded(name, [f"agent;{step}" for step in _STEP_NAMES]),
        "owner_team": _coded(owner, _TEAM_NAMES),
        "owner_feature": _coded(np.where(uses_tool, -1, payer), _FEATURE_NAMES),
        "owner_service": _coded(np.maximum(owner, 0), _SERVICE_NAMES),
        "provider": _coded(np.where(model < 0, -1, model % 3), _PROVIDERS),
        "model": _coded(model, _MODEL_NAMES),
        "requested_model": _coded(model, _MODEL_NAMES),
        "tool": _coded(tool, _TOOL_NAMES),
        "operation": _coded(np.where(kind == _LLM, 0, -1), ["chat"]),
        "dialect": _coded(np.zeros(runs.steps, int), ["openinference"]),
        "response_id": _only(response, kind == _LLM),
        **_amounts(rng, kind, model, tool),
    }


def _amounts(
    rng: np.random.Generator, kind: np.ndarray, model: np.ndarray, tool: np.ndarray
) -> dict[str, pa.Array]:
    """Quantities and money; a price is whole pico-dollars a token, so that products are exact."""
    rows = len(kind)
    of_model = model >= 0
    prompt = np.minimum(np.exp(rng.normal(7, 1.2, rows)).astype(np.int64) + 1, 200_000)
    cached = np.where((kind == _LLM) & (rng.random(rows) < 0.3), prompt // 2, 0)
    output = np.where(kind == _LLM, np.exp(rng.normal(5, 1, rows)).astype(np.int64) + 1, 0)
    rate = _INPUT_PICO[np.maximum(model, 0)]
    costs_call = (tool >= 0) & (tool % 3 == 0)
    priced = ~of_model | (rng.random(rows) >= 0.01)
    parts = {
        "input_cost_usd": np.where(of_model, (prompt - cached) * rate, 0),
        "cache_cost_usd": np.where(of_model, cached * rate // 10, 0),
        "output_cost_usd": np.where(of_model, output * rate * 4, 0),
        "unit_cost_usd": np.where(costs_call, _CALL_PICO, 0),
        "compute_cost_usd": np.zeros(rows, np.int64),
    }
    whole = np.sum(list(parts.values()), axis=0)
    money = {**parts, "cost_usd": whole, "list_cost_usd": whole, "original_cost": whole}
    tokens = {"input_tokens": prompt - cached, "cache_read_tokens": cached, "output_tokens": output}
    status = np.where(~priced, 2, np.where(of_model | costs_call, 0, 1))
    rates = [f"{_PROVIDERS[n % 3]}/{m}@2026-01-01" for n, m in enumerate(_MODEL_NAMES)]
    return {
        **{
            name: pa.array(tokens.get(name, np.zeros(rows, np.int64)), mask=~of_model)
            for name in TOKENS
        },
        **{name: _decimal(pico, USD, priced) for name, pico in money.items()},
        "units": _decimal(np.full(rows, 10**9), QUANTITY, tool >= 0),
        "unit": _coded(np.where(tool < 0, -1, 0), ["request.tool"]),
        "cost_status": _coded(status, ["priced", "free", "unpriced"]),
        "cost_reason": _coded(np.where(priced, -1, 0), ["no_sku"]),
        "currency": _coded(np.where(status == 0, 0, -1), ["USD"]),
        "rate_id": _coded(np.where(priced, model, -1), rates),
        "card_digest": _coded(np.where(status == 0, 0, -1), ["0" * 16]),
        "usage_role": _coded(np.where(of_model, 0, -1), ["own"]),
    }


def _skewed(rng: np.random.Generator, distinct: int, count: int) -> np.ndarray:
    """Numbers below `distinct`, number n as often as 1 / (n + 3)."""
    weights = 1 / np.arange(3, distinct + 3)
    return rng.choice(distinct, count, p=weights / weights.sum())


def _hex(of: np.ndarray) -> np.ndarray:
    """Two characters for each byte."""
    return np.ascontiguousarray(_HEX[of]).view(np.uint8)


def _text(characters: np.ndarray) -> pa.Array:
    """A text for each row of a matrix of characters."""
    rows, width = characters.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    flat = np.ascontiguousarray(characters)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(flat))


def _only(values: pa.Array, kept: np.ndarray) -> pa.Array:
    return values.take(pa.array(np.arange(len(values)), mask=~kept))


def _coded(code: np.ndarray, names: list[str]) -> pa.Array:
    """`names` by number; NULL where that is negative."""
    numbers = pa.array(code.astype(np.int32), mask=code < 0)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(names))


def _decimal(
    values: np.ndarray, to: pa.Decimal128Type, valid: np.ndarray | None = None
) -> pa.Array:
    """Integers of the last digit as decimals, exact."""
    wide = np.empty((len(values), 2), np.int64)
    wide[:, 0] = values
    wide[:, 1] = values >> 63
    mask = None if valid is None else pa.array(valid).buffers()[1]
    return pa.Array.from_buffers(to, len(values), [mask, pa.py_buffer(wide)])


def _negated(values: pa.Array) -> pa.Array:
    """Exact; NULL stays NULL."""
    if not pa.types.is_decimal(values.type):
        return pc.negate(values)
    wide = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)
    low = wide[values.offset : values.offset + len(values), 0]
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    return _decimal(-np.where(valid, low, 0), values.type, valid)


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), values)


def _time(microseconds: int) -> pa.Scalar:
    return pa.scalar(microseconds, ENTRIES.field("booked_at").type)


def _constant(value: pa.Scalar, rows: int) -> pa.Array:
    return pa.repeat(value, rows)
