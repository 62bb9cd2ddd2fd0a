"""What decides the price of a step, apart from its time and quantities.

Millions of steps have few distinct identities, so everything that takes thought is done per
identity.
"""

from __future__ import annotations

from enum import IntEnum
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import TOKENS
from agentcost_collector.model.tables import codes

_TABLE_MAX = 1 << 22


class Usage(IntEnum):
    """What a step says about its quantities."""

    NONE = 0
    METERED = 1
    """Units or compute seconds, no tokens."""
    TOKENS = 2
    CONTRADICTORY = 3


class Identity(NamedTuple):
    """Steps that are equal in all of these are priced alike."""

    kind: str | None
    provider: str | None
    model: str | None
    tool: str | None
    service_tier: str | None
    region: str | None
    unit: str | None
    failed: bool
    usage: Usage


def identities(steps: pa.Table) -> tuple[list[Identity], np.ndarray]:
    """The distinct identities, and for each step the index of its own. O(steps)."""
    texts = [
        steps.column("kind"),
        steps.column("provider"),
        pc.coalesce(steps.column("model"), steps.column("requested_model")),
        *(steps.column(name) for name in ("tool", "service_tier", "region", "unit")),
    ]
    coded = [codes(text) for text in texts]
    failed = pc.equal(steps.column("status"), "error").fill_null(False)
    axes = [
        *((_indices(c), len(c.dictionary) + 1) for c in coded),
        (_flags(failed).astype(np.int64), 2),
        (_usage(steps), len(Usage)),
    ]
    first, index = reduce(_cross, axes[1:], distinct(*axes[0]))
    values = [[None, *c.dictionary.to_pylist()] for c in coded]
    named = []
    for row in first:
        *texts_of, fails, usage = (int(axis[row]) for axis, _ in axes)
        told = [values[i][code] for i, code in enumerate(texts_of)]
        named.append(Identity._make([*told, bool(fails), Usage(usage)]))
    return named, index


def _usage(steps: pa.Table) -> np.ndarray:
    tokens = _any_valid(steps, TOKENS)
    metered = _any_valid(steps, ("units", "gpu_seconds", "cpu_seconds", "gib_seconds"))
    usage = np.where(tokens, Usage.TOKENS, np.where(metered, Usage.METERED, Usage.NONE))
    usage[_contradictory(steps)] = Usage.CONTRADICTORY
    return usage.astype(np.int64)


def _contradictory(steps: pa.Table) -> np.ndarray:
    """Negative quantities, or more reasoning than output."""
    wrong = np.zeros(steps.num_rows, dtype=bool)
    for name in (*TOKENS, "units", "gpu_seconds", "cpu_seconds", "gib_seconds"):
        column = steps.column(name)
        if column.null_count < len(column):
            wrong |= _flags(pc.less(column, pa.scalar(0, column.type)).fill_null(False))
    more = pc.greater(steps.column("reasoning_tokens"), steps.column("output_tokens"))
    wrong |= _flags(more.fill_null(False))
    return wrong


def _any_valid(steps: pa.Table, names: tuple[str, ...]) -> np.ndarray:
    found = np.zeros(steps.num_rows, dtype=bool)
    for name in names:
        column = steps.column(name)
        if column.null_count < len(column):
            found |= _flags(column.is_valid())
    return found


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_numpy(), dtype=bool)


def _indices(coded: pa.DictionaryArray) -> np.ndarray:
    """Codes counted from 1; 0 for NULL."""
    found = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(found, dtype=np.int64) + 1


def _cross(
    sofar: tuple[np.ndarray, np.ndarray], axis: tuple[np.ndarray, int]
) -> tuple[np.ndarray, np.ndarray]:
    first, index = sofar
    values, size = axis
    return sofar if size == 1 else distinct(index * size + values, len(first) * size)


def distinct(values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One row of each distinct value, and for each row the number of its value."""
    if size > _TABLE_MAX:
        _, first, index = np.unique(values, return_index=True, return_inverse=True)
        return first, index.reshape(-1)
    row_of = np.full(size, -1, dtype=np.int64)
    row_of[values[::-1]] = np.arange(len(values) - 1, -1, -1)
    present = np.flatnonzero(row_of >= 0)
    number = np.zeros(size, dtype=np.int64)
    number[present] = np.arange(len(present))
    return row_of[present], number[values]
