"""Picks, for every span and canonical field, the attribute that its dialect prefers.

One pass over the attributes of a batch, no Python per span: distinct keys are judged once, then
the best attribute per (span, field) is found by a minimum over rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.tables import coded_at, codes

_ENTRY_BITS = 32


@dataclass(frozen=True)
class Entries:
    """The attributes of a batch in long form: entry i is `keys[i]=values[i]` of span `rows[i]`."""

    spans: int
    rows: np.ndarray
    key_codes: np.ndarray
    keys: list[str]
    values: pa.StringArray

    @classmethod
    def of(cls, attributes: pa.ChunkedArray) -> Entries:
        """Entries of a MAP<text, text> column; NULL maps count as empty."""
        column = attributes.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.array([], type=attributes.type)
        offsets = column.offsets.to_numpy()
        low, high = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
        coded = codes(column.keys.slice(low, high - low))
        rows = np.repeat(np.arange(len(column), dtype=np.int64), np.diff(offsets))
        return cls(
            len(column),
            rows,
            coded.indices.to_numpy(zero_copy_only=False),
            coded.dictionary.to_pylist(),
            column.items.slice(low, high - low),
        )


@dataclass(frozen=True)
class Plan:
    """Which attribute feeds which field, and how much each group of spans prefers it.

    `targets[key]` lists (field number, rank per group); the lowest rank wins.
    """

    fields: tuple[str, ...]
    targets: Mapping[str, Sequence[tuple[int, np.ndarray]]]


class Selection:
    """The winning attribute of every (span, field)."""

    def __init__(self, fields: Mapping[str, slice], entries: Entries, won: np.ndarray) -> None:
        """`won`: numbers of entries, field by field as in `fields`, by row within a field."""
        self._fields = fields
        self._entries = entries
        self._won = won

    def rows(self, field: str) -> np.ndarray:
        """Spans that have the field, ascending."""
        rows: np.ndarray = self._entries.rows[self._won[self._fields[field]]]
        return rows

    def values(self, field: str, rows: np.ndarray) -> pa.StringArray:
        """Text of the field for `rows` (which must have it)."""
        return self._entries.values.take(pa.array(self._entry_numbers(field, rows)))

    def text(self, field: str) -> pa.DictionaryArray:
        """The field for all spans; NULL where absent or empty. Text that is JSON loses its
        quotes."""
        rows = self.rows(field)
        if not len(rows):  # as of most fields in a small batch
            absent = pa.nulls(self._entries.spans, pa.int32())
            return pa.DictionaryArray.from_arrays(absent, pa.array([], pa.string()))
        coded = _unquoted(codes(self.values(field, rows)))
        indices = np.full(self._entries.spans, -1, dtype=np.int32)
        indices[rows] = coded.indices.to_numpy(zero_copy_only=False)
        empty = pc.index(coded.dictionary, "").as_py()
        if empty >= 0:
            indices[indices == empty] = -1
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), coded.dictionary)

    def _entry_numbers(self, field: str, rows: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = self._won[self._fields[field]]
        if len(rows) == len(numbers):
            return numbers
        return numbers[np.searchsorted(self._entries.rows[numbers], rows)]


def select(plan: Plan, entries: Entries, groups: np.ndarray) -> Selection:
    """Applies `plan`; `groups[row]` says which preference a span follows. O(entries)."""
    targets = [plan.targets.get(key, ()) for key in entries.keys]
    fed = np.array([len(t) for t in targets], np.int64)
    times = fed[entries.key_codes]
    entry = np.repeat(np.arange(len(times)), times)
    nth = np.arange(len(entry)) - np.repeat(np.cumsum(times) - times, times)
    target = (np.cumsum(fed) - fed)[entries.key_codes[entry]] + nth
    field_of = np.array([field for t in targets for field, _ in t], np.int16)
    rank_of = [ranks for t in targets for _, ranks in t]
    order = np.argsort(field_of[target], kind="stable")  # by field, then by row as entries are
    entry, target = entry[order], target[order]
    row, field = entries.rows[entry], field_of[target]
    rank = np.stack(rank_of)[target, groups[row]].astype(np.int64) if rank_of else target
    changes = (field[1:] != field[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(np.append(True, changes)[: len(entry)])
    best = np.minimum.reduceat((rank << _ENTRY_BITS) | entry, first) if len(first) else entry
    ends = np.searchsorted(field[first], np.arange(len(plan.fields) + 1)).tolist()
    fields = {name: slice(*ends[i : i + 2]) for i, name in enumerate(plan.fields)}
    return Selection(fields, entries, best & ((1 << _ENTRY_BITS) - 1))


def _unquoted(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    quoted = pc.starts_with(coded.dictionary, '"')
    if not pc.any(quoted).as_py():
        return coded
    plain = pc.replace_substring_regex(coded.dictionary, r'^"(.*)"$', r"\1")
    return coded_at(plain, coded.indices)
