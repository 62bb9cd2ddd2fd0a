"""Decides what a span is."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.tables import codes
from agentcost_collector.normalise.batch import Batch
from agentcost_collector.normalise.plan import first_match

_LLM, _EMBEDDING, _OTHER = (KINDS.index(k) for k in (Kind.LLM, Kind.EMBEDDING, Kind.OTHER))
_EMBEDDING_NAME = r"(?i)embed"
_RETRIEVAL, _WRITE = (KINDS.index(k) for k in (Kind.RETRIEVAL, Kind.VECTOR_WRITE))
_WRITES = re.compile(
    r"(batch_|bulk_)?(upsert|insert|add|update|delete|remove|upload|import|write|put|modify|index)"
    r"|(set|overwrite|clear)_|bulk$"
)
_CARE = re.compile(
    r"(create|drop|delete|describe|list|get|get_or_create|recreate|has|load|release|flush|update"
    r"|modify)_(collection|index|database|namespace|alias|partition|schema|table)"
)
_LAST_WORD = re.compile(r"\w[\w ]*\.(?:.*\.)?(\w+)$")


def kinds_of(batch: Batch) -> np.ndarray:
    """Kind of every span from names and attributes; -1 where nothing says it."""
    vocabulary, entries = batch.vocabulary, batch.entries
    known = np.array([key in vocabulary.kinds.targets for key in entries.keys] or [False])
    at = np.flatnonzero(known[entries.key_codes]) if len(entries.rows) else np.zeros(0, np.int64)
    values = codes(entries.values.take(pa.array(at)))
    value_names = [str(v).lower() for v in values.dictionary.to_pylist()]
    pair = entries.key_codes[at].astype(np.int64) * max(len(value_names), 1)
    pair += values.indices.to_numpy(zero_copy_only=False)
    distinct, inverse = np.unique(pair, return_inverse=True)
    kind_of, rank_of = [], []
    for p in distinct.tolist():
        key, value = entries.keys[p // len(value_names)], value_names[p % len(value_names)]
        kind_of.append(vocabulary.kind_values.get((key, value), -1))
        rank_of.append(int(vocabulary.kinds.targets[key][0][1][0]))
    kinds = np.array(kind_of, dtype=np.int64)[inverse] if len(at) else at
    ranks = np.array(rank_of, dtype=np.int64)[inverse] if len(at) else at
    best = np.full(batch.rows, 1 << 40, dtype=np.int64)
    usable = kinds >= 0
    np.minimum.at(best, entries.rows[at[usable]], ranks[usable] * 100 + kinds[usable])
    kind = np.where(best < 1 << 40, best % 100, -1)
    return _kinds_from_names(batch, _kinds_from_signs(batch, kind))


def store_operations(batch: Batch, kind: np.ndarray) -> tuple[np.ndarray, pa.DictionaryArray]:
    """Kinds with writes to a vector database, and the care of it, told apart from searches; and
    the operation of every span, of a database its own. Asked once per distinct name."""
    operation = batch.found.text("operation")
    store = batch.found.rows("store")
    rows = store[kind[store] == _RETRIEVAL]
    if not len(rows):
        return kind, operation
    said = codes(batch.found.text("store_operation").take(pa.array(rows)))
    named = codes(pa.array(batch.by_name(rows, lambda _, name: _last_word(name)), pa.string()))
    own = codes(pc.utf8_lower(pc.coalesce(said.dictionary_decode(), named.dictionary_decode())))
    meant = [_meant(str(text)) for text in own.dictionary.to_pylist()]
    code = own.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    kind = kind.copy()
    kind[rows] = np.array([*meant, _RETRIEVAL])[code]
    known = rows[code >= 0]
    mask = np.zeros(batch.rows, bool)
    mask[known] = True
    texts = operation.dictionary_decode().cast(pa.string())
    return kind, codes(
        pc.replace_with_mask(texts, pa.array(mask), own.drop_null().cast(pa.string()))
    )


def _meant(operation: str) -> int:
    if _CARE.match(operation):
        return _OTHER
    return _WRITE if _WRITES.match(operation) else _RETRIEVAL


def _last_word(name: str) -> str | None:
    """`upsert` of a span named `pinecone.upsert`."""
    match = _LAST_WORD.match(name)
    return match[1] if match else None


def _kinds_from_signs(batch: Batch, kind: np.ndarray) -> np.ndarray:
    """Where no value says what a span is, an attribute that only one kind has does."""
    entries = batch.entries
    sign = np.array([batch.vocabulary.kind_signs.get(key, -1) for key in entries.keys] or [-1])
    if (sign < 0).all():
        return kind
    hit = np.flatnonzero(sign[entries.key_codes] >= 0)
    hit = hit[kind[entries.rows[hit]] < 0]
    kind[entries.rows[hit]] = sign[entries.key_codes[hit]]
    return kind


def _kinds_from_names(batch: Batch, kind: np.ndarray) -> np.ndarray:
    """Lets the dialect's own name patterns overrule."""
    named = np.array([bool(d.names) for d in batch.vocabulary.dialects] + [False])
    rows = np.flatnonzero(named[batch.dialect])
    if not len(rows):
        return kind
    matched = np.array(
        batch.by_name(
            rows, lambda dialect, name: first_match(dialect.names, name) if dialect else -1
        )
    ).astype(np.int64)
    kind = kind.copy()
    kind[rows] = np.where(matched >= 0, matched, kind[rows])
    return kind


def complete_kinds(
    kind: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, model: pa.DictionaryArray
) -> np.ndarray:
    """A span that nothing names but that has own usage and a model is a call; else "other".

    A model call of an embedding model that gives nothing out is an embedding.
    """
    has_model = model.is_valid().to_numpy(zero_copy_only=False)
    has_usage = (inputs >= 0) | (outputs >= 0)
    call = ((kind < 0) | (kind == _LLM)) & has_usage & has_model
    embeds = np.array(
        [*pc.match_substring_regex(model.dictionary, _EMBEDDING_NAME).to_pylist(), False], bool
    )[model.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    kind = np.where(call, np.where(embeds & (outputs <= 0), _EMBEDDING, _LLM), kind)
    return np.where(kind < 0, _OTHER, kind)
