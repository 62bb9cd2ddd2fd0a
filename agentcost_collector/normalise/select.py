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

from agentcost_collector.model.tables import codes

_NONE = np.iinfo(np.int64).max
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

    def __init__(self, plan: Plan, entries: Entries, best: np.ndarray) -> None:
        self._fields = {name: i for i, name in enumerate(plan.fields)}
        self._entries = entries
        self._best = best

    def rows(self, field: str) -> np.ndarray:
        """Spans that have the field, ascending."""
        return np.flatnonzero(self._best[self._fields[field]] != _NONE)

    def values(self, field: str, rows: np.ndarray) -> pa.StringArray:
        """Text of the field for `rows` (which must have it)."""
        return self._entries.values.take(pa.array(self._entry_numbers(field, rows)))

    def keys(self, field: str, rows: np.ndarray) -> np.ndarray:
        """Code of the attribute that won, for `rows`; see `key_names`."""
        codes_: np.ndarray = self._entries.key_codes[self._entry_numbers(field, rows)]
        return codes_

    @property
    def key_names(self) -> list[str]:
        """Attribute names by code."""
        return self._entries.keys

    def text(self, field: str) -> pa.DictionaryArray:
        """The field for all spans; NULL where absent or empty. Text that is JSON loses its
        quotes."""
        rows = self.rows(field)
        coded = _unquoted(codes(self.values(field, rows)))
        indices = np.full(self._entries.spans, -1, dtype=np.int32)
        indices[rows] = coded.indices.to_numpy(zero_copy_only=False)
        empty = pc.index(coded.dictionary, "").as_py()
        if empty >= 0:
            indices[indices == empty] = -1
        return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), coded.dictionary)

    def _entry_numbers(self, field: str, rows: np.ndarray) -> np.ndarray:
        numbers: np.ndarray = self._best[self._fields[field]][rows] & ((1 << _ENTRY_BITS) - 1)
        return numbers


def select(plan: Plan, entries: Entries, groups: np.ndarray) -> Selection:
    """Applies `plan`; `groups[row]` says which preference a span follows. O(entries)."""
    best = np.full((len(plan.fields), entries.spans), _NONE, dtype=np.int64)
    slots = [plan.targets.get(key, ()) for key in entries.keys]
    width = max((len(s) for s in slots), default=0)
    for slot in range(width):
        known = [s[slot] if len(s) > slot else None for s in slots]
        field_of_key = np.array([k[0] if k else -1 for k in known], dtype=np.int64)
        rank_of_key = np.array([k[1] if k else np.zeros_like(_any(known)) for k in known])
        hit = np.flatnonzero(field_of_key[entries.key_codes] >= 0)
        key = entries.key_codes[hit]
        row = entries.rows[hit]
        rank = rank_of_key[key, groups[row]].astype(np.int64)
        flat = field_of_key[key] * entries.spans + row
        np.minimum.at(best.reshape(-1), flat, (rank << _ENTRY_BITS) | hit)
    return Selection(plan, entries, best)


def _unquoted(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    quoted = pc.starts_with(coded.dictionary, '"')
    if not pc.any(quoted).as_py():
        return coded
    plain = pc.replace_substring_regex(coded.dictionary, r'^"(.*)"$', r"\1")
    return codes(plain.take(coded.indices))


def _any(known: Sequence[tuple[int, np.ndarray] | None]) -> np.ndarray:
    return next(k[1] for k in known if k)
