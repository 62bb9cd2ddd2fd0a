"""Spans -> Facts: the raw attributes of every dialect in one vocabulary."""

from __future__ import annotations

import json
import re
from dataclasses import fields as dataclass_fields
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.access import PINNED_PREFIX, PINNED_TAGS
from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.money import QUANTITY, USD
from agentcost_collector.model.notes import Note
from agentcost_collector.model.schemas import FACTS, TAGS
from agentcost_collector.model.tables import coded_at, codes
from agentcost_collector.normalise.batch import Batch
from agentcost_collector.normalise.context import accounts, pricing_context
from agentcost_collector.normalise.dialect import TEXT_FIELDS, Dialect
from agentcost_collector.normalise.emitters import emitter_flags
from agentcost_collector.normalise.kinds import complete_kinds, kinds_of, store_operations
from agentcost_collector.normalise.plan import (
    OWN_UNITS,
    Vocabulary,
    coded,
    matches_scope,
    tag_field,
)
from agentcost_collector.normalise.providers import bare_model, provider_of
from agentcost_collector.normalise.usage import (
    COLUMNS,
    RULES,
    UNBILLED,
    Disjoint,
    Meaning,
    Reported,
    make_disjoint,
    parse_usage_text,
)

_TOOL, _OTHER = KINDS.index(Kind.TOOL), KINDS.index(Kind.OTHER)
_TOOL_NAME = r"^(?:execute_tool|running tool:?) (.+)$"
_OUTSIDE_REASONING = ("x-ai", "google", "vertex")
_WIDE = Context(prec=60)
_AMOUNT_MAX = Decimal(10) ** 15
_COPIED = [
    name
    for name in TEXT_FIELDS
    if name in FACTS.names
    and name not in ("provider", "model", "tool", "account", "host", "operation")
]


def normalise_spans(spans: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    """SPANS -> FACTS, row for row. Pure; a Python step only per distinct scope, resource, name,
    model and odd spelling."""
    batch = Batch(spans, vocabulary)
    provider, model, bare = _providers(batch)
    counts, unreadable = _counts(batch)
    cached = _answered_from_cache(batch)
    for values in vars(counts).values():
        values[cached] = -1
    for bad in unreadable.values():
        bad[cached] = False
    usage = make_disjoint(counts, _meaning(batch, provider))
    for field, bad in unreadable.items():
        for column in COLUMNS.get(field, ()):
            usage.tokens[column][bad] = -1
    meters, unmeasured = _other_meters(batch)
    kind = np.where(cached, _OTHER, kinds_of(batch))
    kind = complete_kinds(kind, usage.input_total, usage.output_total, model)
    kind, operation = store_operations(batch, kind)
    note = usage.note | np.where(unmeasured, int(Note.UNREADABLE_COUNT), 0)
    for field, bad in unreadable.items():
        what = Note.COUNT_IGNORED if field in UNBILLED else Note.UNREADABLE_COUNT
        note |= np.where(bad, int(what), 0)
    note |= np.where(_dropped(spans), int(Note.ATTRIBUTES_DROPPED), 0)
    columns: dict[str, Any] = {
        "kind": pa.array(kind, pa.int8()),
        "dialect": coded(batch.dialect, [d.name for d in vocabulary.dialects]),
        "provider": provider,
        "model": model,
        "bare_model": bare,
        "bare_requested_model": _families(batch.found.text("requested_model")),
        "tool": _tools(batch, kind == _TOOL),
        "usage_note": pa.array(note.astype(np.int32)),
        "account": accounts(batch),
        "pricing_context": pricing_context(batch),
        **{name: batch.found.text(name) for name in _COPIED},
        "host": _hosts(batch),
        "operation": operation,
        "request_kind": _request_kinds(batch),
        **{tag: batch.found.text(tag_field(tag)) for tag in TAGS},
        **{f"{tag}_baggage": batch.found.text(tag_field(tag) + "_baggage") for tag in TAGS},
        **_resource_columns(spans, vocabulary),
        **_usage_columns(usage),
        **meters,
        **emitter_flags(batch, kind),
    }
    return pa.table([columns[f.name].cast(f.type) for f in FACTS], schema=FACTS)


def _providers(
    batch: Batch,
) -> tuple[pa.DictionaryArray, pa.DictionaryArray, pa.DictionaryArray]:
    """Canonical provider, model, and the model's family name; once per distinct combination."""
    spelling, host = batch.found.text("provider"), _hosts(batch)
    model = batch.found.text("model")
    parts = [
        c.indices.fill_null(-1).to_numpy(zero_copy_only=False) for c in (spelling, model, host)
    ]
    sizes = [len(c.dictionary) + 1 for c in (spelling, model, host)]
    combined = (parts[0] + 1).astype(np.int64)
    for part, size in zip(parts[1:], sizes[1:], strict=True):
        combined = combined * size + part + 1
    distinct, inverse = np.unique(combined, return_inverse=True)
    names = [[None, *c.dictionary.to_pylist()] for c in (spelling, model, host)]
    resolved = [
        provider_of(
            names[0][c // (sizes[1] * sizes[2])],
            names[1][c // sizes[2] % sizes[1]],
            names[2][c % sizes[2]],
        )
        for c in distinct.tolist()
    ]
    provider = coded_at(pa.array(resolved, pa.string()), pa.array(inverse))
    return provider, model, _families(model)


def _hosts(batch: Batch) -> pa.DictionaryArray:
    """Hosts without what decode kept of a path."""
    host = batch.found.text("host")
    return coded_at(pc.replace_substring_regex(host.dictionary, "/.*", ""), host.indices)


def _request_kinds(batch: Batch) -> pa.Array:
    """Kind of the model call that a request's URL, or its template, names; NULL without either."""
    paths = {path: KINDS.index(kind) for path, kind in batch.vocabulary.url_paths().items()}
    kinds = np.full(batch.rows, -1, dtype=np.int64)
    for field in ("target", "url"):
        column = batch.found.text(field)
        named = [
            next((paths[p] for p in paths if str(text).endswith(p)), _OTHER)
            if field == "url" or str(text).startswith("/")
            else -1
            for text in column.dictionary.to_pylist()
        ]
        code = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        found = np.array([*named, -1], np.int64)[code]
        kinds = np.where((found >= 0) & ((kinds < 0) | (kinds == _OTHER)), found, kinds)
    return _nullable(kinds)


def _families(model: pa.DictionaryArray) -> pa.DictionaryArray:
    """Family names of models, worked out once per distinct name."""
    family = pa.array([bare_model(m) for m in model.dictionary.to_pylist()], pa.string())
    return coded_at(family, model.indices)


def _counts(batch: Batch) -> tuple[Reported, dict[str, np.ndarray]]:
    """All counts, completed from usage that is written as text; and of each the spans where it
    was unreadable."""
    unreadable: dict[str, np.ndarray] = {}
    columns: dict[str, np.ndarray] = {}
    for field in dataclass_fields(Reported):
        columns[field.name], bad = batch.counts(field.name)
        if len(bad):
            unreadable[field.name] = np.isin(np.arange(batch.rows), bad)
    reported = Reported(**columns)
    _complete(reported, batch, "usage_text", "%s")
    for part in ("input", "output"):  # LangSmith only
        _complete(reported, batch, f"{part}_details_text", f'{{"{part}_token_details": %s}}')
    return reported, {name: bad & (columns[name] < 0) for name, bad in unreadable.items()}


def _complete(reported: Reported, batch: Batch, field: str, form: str) -> None:
    """Fills in what a span's numbers do not say, if the text agrees with what they do say.

    `form`: where in usage the text has its place.
    """
    rows = batch.found.rows(field)
    coded = codes(batch.found.values(field, rows))
    known = [parse_usage_text(form % text) for text in coded.dictionary.to_pylist()]
    for row, code in zip(rows.tolist(), coded.indices.to_pylist(), strict=True):  # LiteLLM, MLflow
        counts = known[code]
        numbers = ((getattr(reported, name)[row], counts.get(name)) for name in ("input", "output"))
        if any(number >= 0 and said not in (None, number) for number, said in numbers):
            continue
        for name, count in counts.items():
            if getattr(reported, name)[row] < 0:
                getattr(reported, name)[row] = count


def _meaning(batch: Batch, provider: pa.DictionaryArray) -> Meaning:
    split = np.zeros(batch.rows, dtype=bool)
    split[batch.found.rows("uncached_input")] = True
    excludes = batch.where(lambda d, s: matches_scope(s, d.excludes_cache))
    names = provider.dictionary.to_pylist()
    indices = provider.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for i, dialect in enumerate(batch.vocabulary.dialects):
        if dialect.excludes_cache_unless_split:
            listed = np.array([n in dialect.excludes_cache_unless_split for n in names] + [False])
            excludes |= (batch.dialect == i) & listed[indices] & ~split
    outside = np.array([n in _OUTSIDE_REASONING for n in names] + [False])[indices]
    return Meaning(
        excludes_cache=excludes,
        excludes_reasoning=batch.where(lambda d, s: matches_scope(s, d.excludes_reasoning)),
        total_is_reported=batch.where(lambda d, s: d.total_is_reported),
        outside_reasoning_provider=outside,
    )


def _dropped(spans: pa.Table) -> np.ndarray:
    dropped = spans.column("dropped_attributes").fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(dropped) > 0


def _tools(batch: Batch, is_tool: np.ndarray) -> pa.DictionaryArray:
    """Tool name from attributes, else from the span name, for tool spans."""
    column = batch.found.text("tool")
    missing = np.flatnonzero(is_tool & ~column.is_valid().to_numpy(zero_copy_only=False))
    if not len(missing):
        return column
    lacks = np.zeros(batch.rows, dtype=bool)
    lacks[missing] = True
    named = pa.array(batch.by_name(missing, _tool_from_name), pa.string())
    return codes(pc.replace_with_mask(column.dictionary_decode(), pa.array(lacks), named))


def _tool_from_name(dialect: Dialect | None, name: str) -> str:
    own = dialect.name_fields.get("tool") if dialect else None
    for pattern in (own, _TOOL_NAME):
        match = re.search(pattern, name) if pattern else None
        if match:
            return str(match.group(1))
    return name


def _usage_columns(usage: Disjoint) -> dict[str, pa.Array]:
    return {
        "input_total": _nullable(usage.input_total),
        "output_total": _nullable(usage.output_total),
        **{name: _nullable(values) for name, values in usage.tokens.items()},
        "usage_rule": coded(np.where(usage.rule > 0, usage.rule, -1), [str(r) for r in RULES]),
    }


def _resource_columns(spans: pa.Table, vocabulary: Vocabulary) -> dict[str, pa.Array]:
    """Service and resource-level tags, read once per distinct resource."""
    resources = codes(spans.column("resource"))
    indices = resources.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    parsed = [json.loads(text) if text else {} for text in resources.dictionary.to_pylist()]
    columns: dict[str, pa.Array] = {"process": pa.array(indices.astype(np.int32))}
    services = pa.array([r.get("service.name") for r in parsed], pa.string())
    columns["service"] = coded_at(services, resources.indices)
    for tag in TAGS:
        aliases = vocabulary.tag_aliases[tag]
        values = [next((r[a] for a in aliases if r.get(a)), None) for r in parsed]
        columns[f"{tag}_resource"] = coded_at(pa.array(values, pa.string()), resources.indices)
    for tag in PINNED_TAGS:
        values = [r.get(f"{PINNED_PREFIX}{tag}") for r in parsed]
        columns[f"{tag}_pinned"] = coded_at(pa.array(values, pa.string()), resources.indices)
    return columns


def _other_meters(batch: Batch) -> tuple[dict[str, pa.Array], np.ndarray]:
    """What is measured besides tokens, and the spans where something billed was unreadable."""
    reported, _ = _decimals(batch, "reported_cost", USD)
    written, _ = _decimals(batch, "cost_text", USD)
    seconds = {
        name: _decimals(batch, name, QUANTITY)
        for name in ("gpu_seconds", "cpu_seconds", "gib_seconds")
    }
    units, unreadable = _units(batch)
    for _, bad in seconds.values():
        unreadable[bad] = True
    columns = {
        "reported_cost_usd": pc.coalesce(reported, written),
        **{name: column for name, (column, _) in seconds.items()},
        **{
            name: _nullable(batch.counts(name)[0])
            for name in ("request_bytes", "response_bytes", "http_status")
        },
        **units,
    }
    return columns, unreadable


def _units(batch: Batch) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Units other than tokens: those of our own attributes, else read, write or search units,
    else what the emitter says it was charged. One unit a span, the first that is there. And the
    spans where one that comes before it was unreadable."""
    units = np.full(batch.rows, None, dtype=object)
    names = ("vector.read_unit", "vector.write_unit", "rerank.search_unit", "vector.request_unit")
    which = np.full(batch.rows, -1, dtype=np.int64)
    unreadable = np.zeros(batch.rows, dtype=bool)
    own, bad = _own_units(batch)
    unreadable[bad] = True
    for row, (code, _) in own.items():
        which[row] = len(names) + code
    for i, field in enumerate(("read_units", "write_units", "search_units", "units")):
        rows = batch.found.rows(field)
        rows = rows[which[rows] < 0]
        texts = batch.found.values(field, rows).to_pylist() if len(rows) else []
        amounts = [_decimal(text, QUANTITY.scale) for text in texts]  # about 1 us each
        units[rows] = amounts
        readable = np.array([a is not None for a in amounts], dtype=bool)
        which[rows] = np.where(readable, i, -1)
        unreadable[rows[~readable]] = True
    for row, (_, amount) in own.items():
        units[row] = amount
    own_names = [key.removeprefix(OWN_UNITS) for key in batch.entries.keys]
    counted = np.zeros(batch.rows, dtype=bool)
    counted[list(own)] = True
    columns = {
        "units": pa.array(units, QUANTITY),
        "unit": coded(which, [*names, *own_names]),
        "own_units": pa.array(counted),
    }
    return columns, unreadable


def _own_units(batch: Batch) -> tuple[dict[int, tuple[int, Decimal]], list[int]]:
    """Row -> (code of the attribute, amount) for spans with units of our own; and the rows with
    some that are unreadable."""
    entries = batch.entries
    ours = np.array([key.startswith(OWN_UNITS) for key in entries.keys] or [False])
    at = np.flatnonzero(ours[entries.key_codes]) if ours.any() else np.zeros(0, np.int64)
    found: dict[int, tuple[int, Decimal]] = {}
    unreadable = []
    for entry, text in zip(at.tolist(), entries.values.take(pa.array(at)).to_pylist(), strict=True):
        amount = _decimal(text, QUANTITY.scale)
        if amount is not None:
            found.setdefault(int(entries.rows[entry]), (int(entries.key_codes[entry]), amount))
        else:
            unreadable.append(int(entries.rows[entry]))
    return found, unreadable


def _answered_from_cache(batch: Batch) -> np.ndarray:
    """Spans whose answer came from the emitter's own cache: nobody was called, nothing billed."""
    entries, signs = batch.entries, batch.vocabulary.cache_signs
    known = np.array([key in signs for key in entries.keys] or [False])
    answered = np.zeros(batch.rows, dtype=bool)
    if known.any():
        at = np.flatnonzero(known[entries.key_codes])
        values = entries.values.take(pa.array(at)).to_pylist()
        for entry, value in zip(at.tolist(), values, strict=True):  # LiteLLM and Laminar only
            key = entries.keys[entries.key_codes[entry]]
            answered[entries.rows[entry]] |= str(value).lower() == signs[key]
    return answered


def _decimals(batch: Batch, field: str, to: pa.Decimal128Type) -> tuple[pa.Array, np.ndarray]:
    """A decimal fact, cut to the column's digits, and the rows where its text is unreadable and
    becomes NULL."""
    rows = batch.found.rows(field)
    if not len(rows):
        return pa.nulls(batch.rows, to), rows
    texts = batch.found.values(field, rows).to_pylist()
    values = pa.array([_decimal(t, to.scale) for t in texts], to)  # about 1 us each
    indices = np.full(batch.rows, -1, dtype=np.int64)
    indices[rows] = np.arange(len(rows))
    unreadable = rows[np.asarray(values.is_null().to_numpy(zero_copy_only=False))]
    return values.take(pa.array(indices, mask=indices < 0)), unreadable


def _decimal(text: str, scale: int) -> Decimal | None:
    """A non-negative amount rounded to `scale` digits; from JSON its `total` or `total_cost`."""
    if text.startswith("{"):
        try:
            data = json.loads(text)
        except ValueError:
            return None
        text = str(data.get("total", data.get("total_cost", "")))
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or not 0 <= value < _AMOUNT_MAX:
        return None
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN, _WIDE)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=values < 0)
