"""What spans declare of one tag: on themselves, in copied baggage, on the resource, by a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from agentcost_collector.attribute.policy import OTHER_VALUE, Limits, TagPolicy
from agentcost_collector.attribute.tree import NONE, nearest_or_self
from agentcost_collector.model.tables import codes

_INVALID = -2
_WAYS = 5


@dataclass(frozen=True)
class Level:
    """One way to declare: a value per span, and how far it reaches down a tree."""

    codes: np.ndarray
    """Code of the value that each span declares, or -1."""
    nearest: np.ndarray | None
    """Row of the nearest span at or above that declares one, or -1; None: no span does."""

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Code of the value that reaches each of `rows`, -1 for none and for row -1."""
        if self.nearest is None:
            return np.full(len(rows), NONE, dtype=np.int64)
        source = np.where(rows >= 0, self.nearest[rows], NONE)
        return np.where(source >= 0, self.codes[source], NONE)


@dataclass(frozen=True)
class Levels:
    """All ways in one tree, from the strongest to the weakest."""

    own: Level
    baggage: Level
    resource: Level
    rule: Level
    owner: Level
    """A rule's `owner_...`: it says who did the work, not who pays."""


@dataclass(frozen=True)
class Declared:
    """Codes per span (-1 = none) into `names`, for every level."""

    names: list[str]
    own: np.ndarray
    baggage: np.ndarray
    resource: np.ndarray
    rule: np.ndarray
    owner: np.ndarray
    invalid: np.ndarray | None
    """Spans with a value that is not allowed, at any level; None: there is none."""

    def within(self, parent: np.ndarray) -> Levels:
        """The levels with the reach that `parent` gives them."""

        def level(values: np.ndarray) -> Level:
            has = values >= 0
            if has.all():
                return Level(values, np.arange(len(values)))
            return Level(values, nearest_or_self(parent, has) if has.any() else None)

        ways = (self.own, self.baggage, self.resource, self.rule, self.owner)
        return Levels(*(level(values) for values in ways))

    def opened(self, parent: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Spans that themselves declare one of the values marked in `product`: on the span, or
        by a resource or rule that does not hold for their parent as well."""
        above = np.where(parent >= 0, self.resource[parent], NONE)
        by_resource = np.where(self.resource != above, self.resource, NONE)
        above = np.where(parent >= 0, self.rule[parent], NONE)
        by_rule = np.where(self.rule != above, self.rule, NONE)
        here = np.where(self.own >= 0, self.own, np.where(by_resource >= 0, by_resource, by_rule))
        marked: np.ndarray = np.append(product, False)[here]  # -1 is the last
        return marked


@dataclass(frozen=True)
class Coded:
    """A text column as codes (-1 = NULL) into `names`."""

    codes: np.ndarray
    names: Sequence[str]

    def under(self, stronger: Coded) -> Coded:
        """These, but for rows where `stronger` has a value."""
        if not (stronger.codes >= 0).any():
            return self
        moved = np.where(stronger.codes >= 0, stronger.codes + len(self.names), self.codes)
        return Coded(moved, [*self.names, *stronger.names])

    def at(self, rows: np.ndarray) -> Coded:
        """The values of `rows`."""
        return Coded(self.codes[rows], self.names)


def coded(column: pa.ChunkedArray | pa.Array) -> Coded:
    """Codes of a text column."""
    array = codes(column)
    indices = array.indices.fill_null(NONE).to_numpy(zero_copy_only=False)
    return Coded(indices, array.dictionary.to_pylist())


def declare(
    columns: Sequence[Coded], trace: np.ndarray, policy: TagPolicy, limits: Limits
) -> Declared:
    """One tag as span, baggage, resource, rule and rule for owners have it, within the policy.

    `columns`: in that order; the last may be missing. A value that is not allowed counts as not
    declared; one that is too long, or that comes after the first `values_per_trace_max` distinct
    ones of its trace in the order of rows, as `__other__`.
    """
    names: list[str] = []
    index: dict[str, int] = {}
    found = []
    for column in columns:
        move = []
        for name, allowed in zip(column.names, policy.allowed(column.names), strict=True):
            bounded = name if len(name) <= limits.value_chars_max else OTHER_VALUE
            if allowed and bounded not in index:
                index[bounded] = len(names)
                names.append(bounded)
            move.append(index[bounded] if allowed else _INVALID)
        found.append(np.array([*move, NONE], dtype=np.int64)[column.codes])
    invalid = None
    if policy.is_strict and any((values == _INVALID).any() for values in found):
        invalid = np.logical_or.reduce([values == _INVALID for values in found])
        found = [np.maximum(values, NONE) for values in found]
    if len(names) > limits.values_per_trace_max:
        found = _few_per_trace(found, trace, names, limits.values_per_trace_max)
    nothing = np.full(len(trace), NONE, dtype=np.int64)
    own, baggage, resource, rule, owner = [*found, nothing, nothing][:_WAYS]
    return Declared(names, own, baggage, resource, rule, owner, invalid)


def _few_per_trace(
    found: list[np.ndarray], trace: np.ndarray, names: list[str], at_most: int
) -> list[np.ndarray]:
    """Per trace the first `at_most` distinct values, by row and then by level; the rest together.

    Only which values come first decides, so neither arrival nor the other traces of a batch do.
    """
    values = np.stack(found, axis=1).reshape(-1)
    entry = np.flatnonzero(values >= 0)
    key = np.repeat(trace, len(found))[entry] * len(names) + values[entry]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)  # distinct (trace, value) by first appearance; traces stay together
    owner = trace[entry[first[order]] // len(found)]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(owner, owner, "left")
    if OTHER_VALUE not in names:
        names.append(OTHER_VALUE)
    values[entry[rank[inverse] >= at_most]] = names.index(OTHER_VALUE)
    return list(values.reshape(-1, len(found)).T)
