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
    reason_code,
    same_id,
    same_model,
    same_numbers,
    told_after,
)
from agentcost_collector.attribute.tree import is_ancestor
from agentcost_collector.model.reasons import UsageReason

MayBe = Callable[[Spans, np.ndarray, np.ndarray], np.ndarray]
"""Whether what pairs of rows report may be of one call."""

Test = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Whether pairs of rows may be one call, by what they report and where they are."""


_PAIRS_MAX = 1 << 20
_SIBLING = UsageReason.SIBLING_TWIN


def buckets(s: Spans, rows: np.ndarray) -> list[np.ndarray]:
    """Rows of one trace, kind, process and model that came from more than one scope."""
    return of_many_scopes(s, rows, (s.kind, s.process, s.model))


def loose_buckets(s: Spans, rows: np.ndarray) -> list[np.ndarray]:
    """As `buckets`, for rows of any model where one of them may be known by another name: it says
    no model, or was asked for one name and served by another."""
    loose = (s.model < 0) | ((s.asked >= 0) & (s.asked != s.model))
    found = of_many_scopes(s, rows, (s.kind, s.process)) if loose.any() else []
    return [bucket for bucket in found if loose[bucket].any()]


def of_many_scopes(s: Spans, rows: np.ndarray, columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Rows (rising) of one trace equal in all `columns`, in order of start, that came from more
    than one scope."""
    rows = _in_traces_of_many_scopes(s, rows)
    key = np.stack([column[rows] for column in (*columns, s.tree.trace)])
    order = np.lexsort(key)  # rows of a trace are in order of start
    rows, key = rows[order], key[:, order]
    starts = np.flatnonzero(np.append(True, (key[:, 1:] != key[:, :-1]).any(axis=0))[: len(rows)])
    ends = np.append(starts[1:], len(rows))
    return [rows[starts[i] : ends[i]] for i in np.flatnonzero(_many_scopes(s, rows, starts))]


def _in_traces_of_many_scopes(s: Spans, rows: np.ndarray) -> np.ndarray:
    """Those of `rows` (rising) whose trace has rows of more than one scope among them."""
    trace = s.tree.trace[rows]
    starts = np.flatnonzero(np.append(True, trace[1:] != trace[:-1])[: len(rows)])
    many = _many_scopes(s, rows, starts)
    kept: np.ndarray = rows[np.repeat(many, np.diff(np.append(starts, len(rows))))]
    return kept


def _many_scopes(s: Spans, rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """For each piece of `rows`, which begin at `starts`, whether it has more than one scope."""
    scope = s.scope[rows]
    many: np.ndarray = scope[:0] > 0
    if len(rows):
        many = np.minimum.reduceat(scope, starts) != np.maximum.reduceat(scope, starts)
    return many


def pair_in_step(s: Spans, o: Ownership, rules: Rules) -> None:
    """The usual case at once: two scopes, the same calls in each, in the same order.

    Of calls with exactly equal numbers, the n-th of one scope is the n-th of the other where that
    holds for all of them; what does not fit so is left to `match_bucket`.
    """
    rows = _in_traces_of_many_scopes(s, np.flatnonzero(o.call))
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
    fits &= beside(s, rules, may_be_twins)(a, b)
    whole = np.ones(len(starts), bool)
    np.logical_and.at(whole, group, fits)
    drop(o, b[whole[group]], a[whole[group]], _SIBLING)


def may_be_twins(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal numbers, and no proof of being two calls."""
    both_ids = (s.response_id[a] >= 0) & (s.response_id[b] >= 0)
    two_ids = both_ids & (s.response_id[a] != s.response_id[b])

    def two_splits(part: np.ndarray) -> np.ndarray:
        return (part[a] > 0) & (part[b] > 0) & (part[a] != part[b])

    split = two_splits(s.cache_read) | two_splits(s.cache_write)
    return same_numbers(s, a, b) & same_model(s, a, b) & ~two_ids & ~split


def silent_pair(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """At least one of the two reports nothing, and no proof of being two calls."""
    both_ids = (s.response_id[a] >= 0) & (s.response_id[b] >= 0)
    silent = ((s.input[a] < 0) & (s.output[a] < 0)) | ((s.input[b] < 0) & (s.output[b] < 0))
    two_ids = both_ids & (s.response_id[a] != s.response_id[b])
    return silent & same_model(s, a, b) & ~two_ids


def told_later(s: Spans, o: Ownership, silent: np.ndarray) -> None:
    """Calls without usage that a span without duration of the same emitter, beside them, reports
    once their stream has been read. Of several open ones the latest to end is meant."""
    told = np.flatnonzero(o.call & (s.start == s.end) & ((s.input >= 0) | (s.output >= 0)))
    place = np.stack([s.tree.trace, s.tree.parent, s.scope, s.process, s.kind, s.model])
    told = told[np.isin(s.tree.trace[told], s.tree.trace[silent])]
    waiting: dict[tuple[int, ...], list[int]] = {}
    order = np.r_[silent[np.argsort(s.end[silent])], told[np.argsort(s.start[told])]]
    at = np.r_[np.sort(s.end[silent]), np.sort(s.start[told])]
    is_told = np.isin(order, told)
    for i in np.lexsort((is_told, at)).tolist():  # only in traces with reports of streams
        row, key = int(order[i]), tuple(place[:, order[i]].tolist())
        if not is_told[i]:
            waiting.setdefault(key, []).append(row)
        elif waiting.get(key):
            drop(o, np.array([waiting[key].pop()]), np.array([row]), _SIBLING)


def match_bucket(
    s: Spans, o: Ownership, bucket: np.ndarray, source: np.ndarray, test: Test
) -> None:
    """Pairs a bucket source by source (scopes, or processes): as many pairs as possible, the best
    fitting first. Innermost sources come first: what two outer ones wrapped lies in both, while of
    the two neither need lie in the other.

    A call that has a twin already may have another, of a source that is not among its twins.
    """
    known = _sources_of_twins(o, bucket, source)
    groups: list[list[int]] = []
    for one in _innermost_first(s, bucket, source):
        members = bucket[source[bucket] == one]
        if not groups:
            groups = [[int(m)] for m in members]
            continue
        edges = _edges(s, groups, members, test)
        if known:
            edges = _without_shared_sources(source, groups, members, edges, known)
        paired = _matching(len(members), edges)
        taken = set(paired)
        for member, group in paired.items():
            groups[group].append(int(members[member]))
        groups.extend([int(m)] for i, m in enumerate(members) if i not in taken)
    for twins in _joined(source, groups, known, test):
        drop(o, np.array(twins[1:], np.int64), np.full(len(twins) - 1, twins[0]), _SIBLING)


def pairs_within(s: Spans, bucket: np.ndarray, test: Test) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a bucket, and for each the row that it lies within by `test`: as many different ones
    as possible; a row that is left over joins the only one it fits. None where there are more
    pairs than can be looked at."""
    if len(bucket) ** 2 > _PAIRS_MAX:
        return bucket[:0], bucket[:0]
    edges = _edges(s, [[int(row)] for row in bucket], bucket, test)
    paired = _matching(len(bucket), edges)
    paired |= {m: joins[0] for m, joins in enumerate(edges) if m not in paired and len(joins) == 1}
    rows, joined = (np.array(list(x), np.int64) for x in (paired.keys(), paired.values()))
    return bucket[rows], bucket[joined]


def _joined(
    source: np.ndarray, groups: list[list[int]], known: dict[int, set[int]], test: Test
) -> list[list[int]]:
    """Groups without a source in common are one where any two of their spans fit: what was
    compared with the first of a group alone may lie within another of it."""
    rows = np.array([row for group in groups for row in group])
    if len(groups) < 2 or len(rows) == len(groups) or len(rows) ** 2 > _PAIRS_MAX:
        return groups
    home = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    a, b = (pair.ravel() for pair in np.meshgrid(np.arange(len(rows)), np.arange(len(rows))))
    a, b = a[home[a] < home[b]], b[home[a] < home[b]]
    fits = test(rows[a], rows[b])
    into = list(range(len(groups)))
    sources = [_sources(source, group, known) for group in groups]
    for one, other in sorted(set(zip(home[a[fits]].tolist(), home[b[fits]].tolist(), strict=True))):
        one, other = into[one], into[other]
        if one != other and not sources[one] & sources[other]:
            groups[one] += groups[other]
            sources[one] |= sources[other]
            groups[other] = []
            into = [one if at == other else at for at in into]
    return [group for group in groups if group]


def _innermost_first(s: Spans, bucket: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The sources of a bucket, the one whose spans last least first."""
    sources, code = np.unique(source[bucket], return_inverse=True)
    lasted = np.bincount(code, s.end[bucket] - s.start[bucket]) / np.bincount(code)
    inner: np.ndarray = sources[np.argsort(lasted, kind="stable")]
    return inner


def _sources_of_twins(o: Ownership, bucket: np.ndarray, source: np.ndarray) -> dict[int, set[int]]:
    """Row -> sources of the siblings that were found to be its twins before."""
    twin = np.flatnonzero(o.reason == reason_code(_SIBLING))
    twin = twin[np.isin(o.survivor[twin], bucket)]
    known: dict[int, set[int]] = {}
    for head, one in zip(o.survivor[twin].tolist(), source[twin].tolist(), strict=True):
        known.setdefault(head, set()).add(one)
    return known


def _without_shared_sources(
    source: np.ndarray,
    groups: Sequence[list[int]],
    members: np.ndarray,
    edges: list[list[int]],
    known: dict[int, set[int]],
) -> list[list[int]]:
    """Leaves out pairs that would give a call two spans of one source."""

    taken = [_sources(source, group, known) for group in groups]
    own = [_sources(source, [int(m)], known) for m in members]
    return [[g for g in joins if not taken[g] & own[m]] for m, joins in enumerate(edges)]


def _sources(source: np.ndarray, rows: Sequence[int], known: dict[int, set[int]]) -> set[int]:
    """The sources of some spans and of their twins."""
    return {int(source[r]) for r in rows}.union(*(known.get(r, set()) for r in rows))


def _edges(
    s: Spans, groups: Sequence[list[int]], members: np.ndarray, test: Test
) -> list[list[int]]:
    """For every member the groups it may join, best fit first.

    Of more pairs than can be looked at, only those at the same place in the order of start.
    """
    g = np.array([group[0] for group in groups])
    if len(g) * len(members) > _PAIRS_MAX:
        count = min(len(g), len(members))
        by_start = g[np.argsort(s.start[g], kind="stable")][:count]
        fits = test(members[:count], by_start)
        place = np.argsort(s.start[g], kind="stable")
        found = [[int(place[i])] if fit else [] for i, fit in enumerate(fits.tolist())]
        return found + [[] for _ in range(len(members) - count)]
    a, b = np.repeat(members, len(g)), np.tile(g, len(members))
    fits = test(a, b)
    distance = np.abs(s.start[a] - s.start[b]) + np.abs(s.end[a] - s.end[b])
    distance = np.where(same_id(s, a, b), -1, distance)
    ranked = np.argsort(distance.reshape(len(members), -1), axis=1, kind="stable")
    allowed = fits.reshape(len(members), -1)
    return [[int(j) for j in ranked[i] if allowed[i, j]] for i in range(len(members))]


def beside(s: Spans, rules: Rules, may_be: MayBe) -> Test:
    """One interval in the other, or one told right after the other; no proof of two calls, and
    neither above the other."""

    def test(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        near = contained(s, a, b, rules.slack_ns)
        near |= told_after(s, a, b, rules.told_ns) | told_after(s, b, a, rules.told_ns)
        fits = near & may_be(s, a, b)
        return fits & ~is_ancestor(s.tree, a, b) & ~is_ancestor(s.tree, b, a)

    return test


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
