"""Pairs spans of different scopes that may report the same call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from agentcost_collector.attribute.ownership import (
    Ownership,
    Rules,
    Spans,
    contained,
    drop,
    same_id,
    same_numbers,
)
from agentcost_collector.attribute.tree import is_ancestor
from agentcost_collector.model.reasons import UsageReason

Test = Callable[[Spans, np.ndarray, np.ndarray], np.ndarray]
"""Whether pairs of rows may be one call."""


_PAIRS_MAX = 1 << 20


def buckets(s: Spans, rows: np.ndarray) -> list[np.ndarray]:
    """Rows of one trace, kind, process and model that came from more than one scope."""
    if not len(rows):
        return []
    key = np.stack([s.tree.trace[rows], s.kind[rows], s.process[rows], s.model[rows]])
    order = np.lexsort((s.start[rows], *key))
    rows, key = rows[order], key[:, order]
    starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])
    low = np.minimum.reduceat(s.scope[rows], starts)
    high = np.maximum.reduceat(s.scope[rows], starts)
    ends = np.r_[starts[1:], len(rows)]
    return [rows[starts[i] : ends[i]] for i in np.flatnonzero(low != high)]


def pair_in_step(s: Spans, o: Ownership, rules: Rules) -> None:
    """The usual case at once: two scopes, the same calls in each, in the same order.

    Of calls with exactly equal numbers, the n-th of one scope is the n-th of the other where that
    holds for all of them; what does not fit so is left to `match_bucket`.
    """
    rows = np.flatnonzero(o.call)
    columns = (s.output, s.input, s.model, s.process, s.kind, s.tree.trace)
    rows = rows[np.lexsort((s.start[rows], s.scope[rows], *(c[rows] for c in columns)))]
    key = np.stack([c[rows] for c in columns])
    starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(axis=0)])[: len(rows)]
    size = np.diff(np.r_[starts, len(rows)])
    half = size // 2
    even = (size > 1) & (size % 2 == 0)
    starts, half = starts[even], half[even]
    group = np.repeat(np.arange(len(starts)), half)
    nth = np.arange(len(group)) - np.repeat(np.cumsum(half) - half, half)
    a = rows[starts[group] + nth]
    b = rows[starts[group] + half[group] + nth]
    one_scope = s.scope[a] == np.repeat(s.scope[rows[starts]], half)
    other = s.scope[b] == np.repeat(s.scope[rows[starts + half]], half)
    fits = one_scope & other & (s.scope[a] != s.scope[b])
    fits &= _fits(s, a, b, rules, may_be_twins)
    whole = np.ones(len(starts), bool)
    np.logical_and.at(whole, group, fits)
    drop(o, b[whole[group]], a[whole[group]], UsageReason.SIBLING_TWIN)


def may_be_twins(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal numbers, and no proof of being two calls."""
    both_ids = (s.response_id[a] >= 0) & (s.response_id[b] >= 0)
    two_ids = both_ids & (s.response_id[a] != s.response_id[b])

    def two_splits(part: np.ndarray) -> np.ndarray:
        return (part[a] > 0) & (part[b] > 0) & (part[a] != part[b])

    split = two_splits(s.cache_read) | two_splits(s.cache_write)
    return same_numbers(s, a, b) & ~two_ids & ~split


def silent_pair(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """At least one of the two reports nothing, and no proof of being two calls."""
    both_ids = (s.response_id[a] >= 0) & (s.response_id[b] >= 0)
    silent = ((s.input[a] < 0) & (s.output[a] < 0)) | ((s.input[b] < 0) & (s.output[b] < 0))
    return silent & ~(both_ids & (s.response_id[a] != s.response_id[b]))


def match_bucket(
    s: Spans, o: Ownership, bucket: np.ndarray, rules: Rules, reason: UsageReason, may_be: Test
) -> None:
    """Pairs a bucket scope by scope: as many pairs as possible, the best fitting first."""
    groups: list[list[int]] = []
    for scope in np.unique(s.scope[bucket]):
        members = bucket[s.scope[bucket] == scope]
        if not groups:
            groups = [[int(m)] for m in members]
            continue
        edges = _edges(s, groups, members, rules, may_be)
        paired = _matching(len(members), edges)
        taken = set(paired)
        for member, group in paired.items():
            groups[group].append(int(members[member]))
        groups.extend([int(m)] for i, m in enumerate(members) if i not in taken)
    for twins in groups:
        drop(o, np.array(twins[1:], np.int64), np.full(len(twins) - 1, twins[0]), reason)


def _edges(
    s: Spans, groups: Sequence[list[int]], members: np.ndarray, rules: Rules, may_be: Test
) -> list[list[int]]:
    """For every member the groups it may join, best fit first.

    Of more pairs than can be looked at, only those at the same place in the order of start.
    """
    g = np.array([group[0] for group in groups])
    if len(g) * len(members) > _PAIRS_MAX:
        count = min(len(g), len(members))
        by_start = g[np.argsort(s.start[g], kind="stable")][:count]
        fits = _fits(s, members[:count], by_start, rules, may_be)
        place = np.argsort(s.start[g], kind="stable")
        found = [[int(place[i])] if fit else [] for i, fit in enumerate(fits.tolist())]
        return found + [[] for _ in range(len(members) - count)]
    a, b = np.repeat(members, len(g)), np.tile(g, len(members))
    fits = _fits(s, a, b, rules, may_be)
    distance = np.abs(s.start[a] - s.start[b]) + np.abs(s.end[a] - s.end[b])
    distance = np.where(same_id(s, a, b), -1, distance)
    ranked = np.argsort(distance.reshape(len(members), -1), axis=1, kind="stable")
    allowed = fits.reshape(len(members), -1)
    return [[int(j) for j in ranked[i] if allowed[i, j]] for i in range(len(members))]


def _fits(s: Spans, a: np.ndarray, b: np.ndarray, rules: Rules, may_be: Test) -> np.ndarray:
    """One interval in the other, no proof of two calls, and neither above the other."""
    fits = contained(s, a, b, rules.slack_ns) & may_be(s, a, b)
    return fits & ~is_ancestor(s.tree, a, b) & ~is_ancestor(s.tree, b, a)


def _matching(members: int, edges: Sequence[Sequence[int]]) -> dict[int, int]:
    """Maximum matching member -> group by augmenting paths, without recursion."""
    owner: dict[int, int] = {}
    joined: dict[int, int] = {}
    groups = len({group for some in edges for group in some})
    for start in range(members):
        if len(owner) == groups:
            break  # nothing is left to join
        came_from: dict[int, int] = {}
        queue, free = deque([start]), None
        while queue and free is None:
            member = queue.popleft()
            for group in edges[member]:
                if group in came_from:
                    continue
                came_from[group] = member
                if group not in owner:
                    free = group
                    break
                queue.append(owner[group])
        while free is not None:
            member = came_from[free]
            previous = joined.get(member)
            owner[free], joined[member] = member, free
            free = None if member == start else previous
    return joined
