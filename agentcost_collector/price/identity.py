"""What decides the price of a step, apart from its time and quantities.

Millions of steps have few distinct identities, so everything that takes thought is done per
identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import TOKENS
from agentcost_collector.model.tables import codes

_TABLE_MAX = 1 << 18
_INCONSISTENT, _UNREADABLE = "inconsistent", "unreadable_count"  # in usage_note
_METERED = ("units", "gpu_seconds", "cpu_seconds", "gib_seconds")


class Usage(IntEnum):
    """What a step says about its quantities."""

    NONE = 0
    METERED = 1
    """Units or compute seconds, no tokens."""
    TOKENS = 2
    CONTRADICTORY = 3
    UNREADABLE = 4


class Identity(NamedTuple):
    """Steps that are equal in all of these are priced alike."""

    kind: str | None
    provider: str | None
    model: str | None
    tool: str | None
    service_tier: str | None
    region: str | None
    account: str | None
    pricing_context: str | None
    """JSON object of further facts."""
    unit: str | None
    failed: bool
    usage: Usage


_TEXTS = ("tool", "service_tier", "region", "account", "pricing_context", "unit")


def identities(
    steps: pa.Table, quantities: Mapping[str, np.ndarray], deployments: Set[str]
) -> tuple[list[Identity], np.ndarray]:
    """The distinct identities, and for each step the index of its own. O(steps).

    `quantities` holds the counts of every column of numbers that is not all NULL; `deployments`
    are the requested names that say more than the model which was served.
    """
    texts = [
        steps.column("kind"),
        steps.column("provider"),
        _model(steps, deployments),
        *(steps.column(name) for name in _TEXTS),
    ]
    coded = [codes(text) if text.null_count < len(text) else None for text in texts]
    failed = pc.equal(steps.column("status"), pa.scalar("error", pa.string())).fill_null(False)
    nothing = np.zeros(steps.num_rows, dtype=np.int64)
    axes = [
        *((_indices(c), len(c.dictionary) + 1) if c is not None else (nothing, 1) for c in coded),
        (_flags(failed).astype(np.int64), 2),
        (_usage(steps, quantities), len(Usage)),
    ]
    first, index = _cross(axes)
    values = [[None, *(c.dictionary.to_pylist() if c is not None else ())] for c in coded]
    named = []
    for row in first:
        *texts_of, fails, usage = (int(axis[row]) for axis, _ in axes)
        told = [values[i][code] for i, code in enumerate(texts_of)]
        named.append(Identity._make([*told, bool(fails), Usage(usage)]))
    return named, index


def _model(steps: pa.Table, deployments: Set[str]) -> pa.ChunkedArray:
    """The deployment that was asked for, else the served model, else the requested one."""
    served, requested = steps.column("model"), steps.column("requested_model")
    stood_in = pc.and_(served.is_null(), requested.is_valid())
    if deployments:
        named = pc.is_in(pc.utf8_lower(requested), value_set=pa.array(sorted(deployments)))
        return pc.if_else(pc.or_(stood_in, named), requested, served)
    return pc.coalesce(served, requested) if pc.any(stood_in).as_py() else served


def _usage(steps: pa.Table, quantities: Mapping[str, np.ndarray]) -> np.ndarray:
    tokens = _any_valid(steps, [name for name in TOKENS if name in quantities])
    metered = _any_valid(steps, [name for name in _METERED if name in quantities])
    usage = np.where(tokens, Usage.TOKENS, np.where(metered, Usage.METERED, Usage.NONE))
    for counts in quantities.values():
        if counts.min() < 0:
            usage[counts < 0] = Usage.CONTRADICTORY
    notes = steps.column("usage_note")
    if notes.null_count < len(notes):
        usage[_told(notes, _INCONSISTENT)] = Usage.CONTRADICTORY
    if "reasoning_tokens" in quantities:
        more = pc.greater(steps.column("reasoning_tokens"), steps.column("output_tokens"))
        usage[_flags(more.fill_null(False))] = Usage.CONTRADICTORY
    if notes.null_count < len(notes):
        usage[_told(notes, _UNREADABLE)] = Usage.UNREADABLE
    return usage


def _told(notes: pa.ChunkedArray, what: str) -> np.ndarray:
    """Rows of which a note says what only the spans still showed."""
    coded = codes(notes)
    told = [what in (note or "").split(",") for note in coded.dictionary.to_pylist()]
    return np.array([False, *told])[_indices(coded)]


def _any_valid(steps: pa.Table, names: Sequence[str]) -> np.ndarray:
    found = np.zeros(steps.num_rows, dtype=bool)
    for name in names:
        found |= _flags(steps.column(name).is_valid())
    return found


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_numpy(), dtype=bool)


def _indices(coded: pa.DictionaryArray) -> np.ndarray:
    """Codes counted from 1; 0 for NULL."""
    found = coded.indices if not coded.null_count else coded.indices.fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _cross(axes: Sequence[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each combination that occurs, and for each row its combination."""
    sofar, size = np.zeros(len(axes[0][0]), dtype=np.int64), 1
    for values, choices in axes:
        if choices > 1:
            if size > 1 and size * choices > _TABLE_MAX:
                first, sofar = distinct(sofar, size)
                size = len(first)
            sofar = sofar * choices + values
            size *= choices
    return distinct(sofar, size)


def distinct(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each value below `size` that occurs, and for each row the number of its own.

    Numbers ascend with the values.
    """
    if size > _TABLE_MAX:
        _, first, index = np.unique(values, return_index=True, return_inverse=True)
        return first, index.reshape(-1)
    row_of = np.full(size, -1, dtype=np.int32)
    row_of[values[::-1]] = np.arange(len(values) - 1, -1, -1, dtype=np.int32)
    present = np.flatnonzero(row_of >= 0)
    if len(present) == 1:
        return row_of[present], np.zeros(len(values), dtype=np.int64)
    number = np.zeros(size, dtype=np.int64)
    number[present] = np.arange(len(present))
    return row_of[present], number[values]
