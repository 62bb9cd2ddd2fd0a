"""What is known of the emitter of a span, whatever the span itself says."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from agentcost_collector.model.kinds import KINDS
from agentcost_collector.normalise.batch import Batch
from agentcost_collector.normalise.dialect import Dialect
from agentcost_collector.normalise.plan import matches_scope


def emitter_flags(batch: Batch, kind: np.ndarray) -> dict[str, pa.Array]:
    """What the rules must know of the emitter; sums are believed by scope only, not by looks."""
    own_scope = batch.where(lambda d, s: matches_scope(s, d.scopes))
    believed = np.zeros((len(batch.vocabulary.dialects) + 1, len(KINDS)), dtype=bool)
    written = _has_any(batch, batch.vocabulary.caller_keys())
    written &= ~(own_scope & batch.where(lambda d, s: d.writes_on_caller))
    for i, dialect in enumerate(batch.vocabulary.dialects):
        believed[i, [KINDS.index(k) for k in dialect.sums_this_call]] = True
    sums = believed[batch.dialect, kind]  # dialect -1 is the last row
    last = batch.where(lambda d, s: matches_scope(s, d.last_call_only))
    return {
        "sums_this_call": pa.array(sums & own_scope),
        "running_total": pa.array(batch.where(lambda d, s: matches_scope(s, d.running_totals))),
        "writes_on_caller": pa.array(written),
        "last_call_only": pa.array(last | _named(batch, lambda d: d.last_call_names)),
        "tools_offered": pa.array(_has_any(batch, batch.vocabulary.presence_keys())),
        "call_needs_usage": pa.array(_named(batch, lambda d: d.call_needs_usage)),
        "loses_cache_write": pa.array(
            batch.where(lambda d, s: matches_scope(s, d.loses_cache_write))
        ),
    }


def _named(batch: Batch, pattern: Callable[[Dialect], str]) -> np.ndarray:
    """Spans whose name matches a pattern of their own dialect."""
    named = np.array([bool(pattern(d)) for d in batch.vocabulary.dialects] + [False])
    rows = np.flatnonzero(named[batch.dialect])
    matches = np.zeros(batch.rows, dtype=bool)
    if len(rows):
        matches[rows] = batch.by_name(rows, lambda d, name: bool(d and re.search(pattern(d), name)))
    return matches


def _has_any(batch: Batch, keys: frozenset[str]) -> np.ndarray:
    """Which spans have any of these attributes."""
    entries = batch.entries
    wanted = np.array([key in keys for key in entries.keys] or [False])
    has = np.zeros(batch.rows, dtype=bool)
    if wanted.any():
        has[entries.rows[wanted[entries.key_codes]]] = True
    return has
