"""Which span owns each model call: every call counted once, every duplicate named.

The rules in their order (DESIGN: "Rules of the walk"): nested twins, carriers, sibling twins, same
response id, calls without usage. They speak of kinds, scopes, tree, time and numbers only.
"""

from __future__ import annotations

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
)
from agentcost_collector.attribute.servers import server_twins, serving_processes
from agentcost_collector.attribute.siblings import (
    beside,
    buckets,
    loose_buckets,
    match_bucket,
    may_be_twins,
    pair_in_step,
    silent_pair,
    told_later,
)
from agentcost_collector.attribute.tree import NONE, below, below_orphan, nearest, sum_below
from agentcost_collector.model.kinds import KINDS, Kind
from agentcost_collector.model.reasons import UsageReason

_AGENT = KINDS.index(Kind.AGENT)
CALL_KINDS = tuple(KINDS.index(k) for k in (Kind.LLM, Kind.EMBEDDING, Kind.RERANK))
BLOCKER_KINDS = tuple(KINDS.index(k) for k in (Kind.TOOL, Kind.AGENT, Kind.RETRIEVAL))


_SAME_ID_MAX = 32
_TWIN_REASONS = tuple(
    reason_code(r)
    for r in (UsageReason.NESTED_TWIN, UsageReason.SIBLING_TWIN, UsageReason.SAME_RESPONSE)
)


def own_calls(s: Spans, rules: Rules) -> Ownership:
    """Applies the rules to a batch. Vectorised; Python only per candidate group of twins."""
    n = len(s.kind)
    live = s.tree.repeated_of < 0
    numbers = live & ((s.input >= 0) | (s.output >= 0))
    modelled = np.isin(s.kind, CALL_KINDS)
    o = Ownership(np.full(n, NONE, np.int64), np.full(n, NONE, np.int64), modelled & numbers, {})
    o.survivor[o.call] = np.flatnonzero(o.call)
    _nested_twins(s, o)
    _written_twins(s, o, numbers & ~modelled & s.writes_on_caller)
    _carriers(s, o, numbers & ~modelled, rules)
    serves = serving_processes(s, live & modelled)
    _sibling_twins(s, o, serves, rules)
    _same_response(s, o)
    _silent_calls(s, o, live & modelled & ~numbers, serves, rules)
    _settle(s, o, serves)
    _residuals(s, o, numbers & ~modelled & ~o.call & s.sums_this_call)
    return o


def _nested_twins(s: Spans, o: Ownership) -> None:
    """A model span around model spans, nothing but structure between, is not a call of its own.

    Equal to one of them: its twin. Else it sums or wraps them, unless its usage was written there
    by a library that it called, or it is another, smaller model call.
    """
    blocker = np.isin(s.kind, BLOCKER_KINDS)
    for kind in CALL_KINDS:
        same = o.call & (s.kind == kind)
        inner = np.flatnonzero(same)
        if len(inner) < 2:
            continue
        outer = nearest(s.tree.parent, same | blocker)[inner]
        pair = (outer >= 0) & same[np.maximum(outer, 0)]
        inner, outer = inner[pair], outer[pair]
        equal = same_numbers(s, outer, inner) | same_id(s, outer, inner)
        order = np.lexsort((s.start[inner], equal))  # the last equal one wins
        twin = np.full(len(s.kind), NONE, np.int64)
        twin[outer[order][equal[order]]] = inner[order][equal[order]]
        rest = np.unique(outer[twin[outer] < 0])
        twins = np.flatnonzero(twin >= 0)
        drop(o, twins, twin[twins], UsageReason.NESTED_TWIN)
        wrapper = rest[~_own_call_around(s, rest, inner, outer)]
        deepest = np.full(len(s.kind), NONE, np.int64)
        deepest[outer] = inner
        drop(o, wrapper, deepest[wrapper], UsageReason.CALLS_BENEATH)


def _own_call_around(
    s: Spans, rows: np.ndarray, inner: np.ndarray, outer: np.ndarray
) -> np.ndarray:
    """Which of `rows` are calls of their own though other calls lie beneath them."""
    total_in = np.zeros(len(s.kind), np.int64)
    total_out = np.zeros(len(s.kind), np.int64)
    other_model = np.ones(len(s.kind), bool)
    np.add.at(total_in, outer, np.maximum(s.input[inner], 0))
    np.add.at(total_out, outer, np.maximum(s.output[inner], 0))
    differs = (s.model[inner] >= 0) & (s.model[outer] >= 0) & (s.model[inner] != s.model[outer])
    np.logical_and.at(other_model, outer, differs)
    sums = (s.input[rows] >= total_in[rows]) & (s.output[rows] >= total_out[rows])
    return s.writes_on_caller[rows] | (other_model[rows] & ~sums)


def _written_twins(s: Spans, o: Ownership, written: np.ndarray) -> None:
    """A library's call that it wrote on its caller's span, and that is reported beneath as well."""
    if not written.any():
        return
    calls = np.flatnonzero(o.call)
    outer = nearest(s.tree.parent, written | np.isin(s.kind, BLOCKER_KINDS))[calls]
    pair = (outer >= 0) & written[np.maximum(outer, 0)]
    calls, outer = calls[pair], outer[pair]
    same = same_id(s, outer, calls) | (same_numbers(s, outer, calls) & same_model(s, outer, calls))
    drop(o, outer[same], calls[same], UsageReason.NESTED_TWIN)


def _carriers(s: Spans, o: Ownership, carriers: np.ndarray, rules: Rules) -> None:
    """Agents, workflows and the like that report usage: calls only if nothing beneath is one."""
    rows = np.flatnonzero(carriers & (o.survivor < 0))
    if not len(rows):
        return
    beneath = _explained_beneath(s, rows, o.survivor >= 0)
    adopted = _orphan_call_within(s, o, rows, rules)
    own = s.writes_on_caller[rows] | ((beneath < 0) & (adopted < 0))
    copied = _copies(s, rows[own], rows[~own], rules)
    drop(o, rows[own][copied >= 0], copied[copied >= 0], UsageReason.CALLS_BENEATH)
    sums, sums_orphans = ~own & (beneath >= 0), ~own & (beneath < 0)
    own[np.flatnonzero(own)[copied >= 0]] = False
    drop(o, rows[sums], beneath[sums], UsageReason.CALLS_BENEATH)
    drop(o, rows[sums_orphans], adopted[sums_orphans], UsageReason.ORPHAN_CALLS)
    o.call[rows[own]] = True
    o.survivor[rows[own]] = rows[own]
    _running_totals(s, o, rows[own])
    inner = _explained_beneath(s, rows, o.call)
    outer = own & (inner >= 0) & ~s.writes_on_caller[rows]
    drop(o, rows[outer], inner[outer], UsageReason.CALLS_BENEATH)


def _running_totals(s: Spans, o: Ownership, bare: np.ndarray) -> None:
    """Of a carrier with nothing beneath it that adds up the runs of its agent, what it reports
    beyond the run before."""
    agents = bare[s.running_total[bare] & (s.kind[bare] == _AGENT)]
    for row in agents:  # only where the calls of a run were lost
        before = s.running_total & (s.end <= s.start[row]) & (s.input >= 0) & (s.output >= 0)
        for of in (s.tree.trace, s.process, s.scope, s.agent, s.kind):
            before &= of == of[row]
        earlier = np.flatnonzero(before)
        if not len(earlier):
            continue
        last = earlier[np.argmax(s.end[earlier])]
        more = int(s.input[row] - s.input[last]), int(s.output[row] - s.output[last])
        if min(more) >= 0:
            drop(o, np.array([row]), o.survivor[[last]], UsageReason.RUNNING_TOTAL)
            if min(more) > 0:
                o.residual[int(row)] = more


def _explained_beneath(s: Spans, rows: np.ndarray, calls: np.ndarray) -> np.ndarray:
    """For each carrier one of `calls` beneath it, or -1; embedding and ranking give no output, so
    a carrier that reports some reports a call that they do not explain."""
    silent = np.isin(s.kind, [KINDS.index(k) for k in (Kind.EMBEDDING, Kind.RERANK)])
    found: np.ndarray = below(s.tree, calls & ~silent)[rows]
    return np.where(s.output[rows] > 0, found, below(s.tree, calls)[rows])


def _copies(s: Spans, bare: np.ndarray, sums: np.ndarray, rules: Rules) -> np.ndarray:
    """For each carrier with nothing beneath it one of `sums` that it repeats, or -1: another scope,
    equal numbers, same trace and process, one interval in the other."""
    found = np.full(len(bare), NONE, np.int64)
    for i in np.flatnonzero(np.isin(s.tree.trace[bare], s.tree.trace[sums])):  # rare
        others = sums[s.tree.trace[sums] == s.tree.trace[bare[i]]]
        row = np.full(len(others), bare[i])
        same = contained(s, row, others, rules.slack_ns) & same_numbers(s, row, others)
        same &= (s.scope[others] != s.scope[row]) & (s.process[others] == s.process[row])
        if same.any():
            found[i] = others[same][0]
    return found


def _orphan_call_within(s: Spans, o: Ownership, carriers: np.ndarray, rules: Rules) -> np.ndarray:
    """For each carrier a call that lost its ancestors and ran in its process and time, or -1."""
    found = np.full(len(carriers), NONE, np.int64)
    orphans = np.flatnonzero((o.survivor >= 0) & below_orphan(s.tree))
    hurt = np.isin(s.tree.trace[carriers], s.tree.trace[orphans])
    for i in np.flatnonzero(hurt):  # only carriers of a trace that lost a span
        row = carriers[i]
        inside = (
            (s.tree.trace[orphans] == s.tree.trace[row])
            & (s.process[orphans] == s.process[row])
            & (s.start[orphans] >= s.start[row] - rules.slack_ns)
            & (s.end[orphans] <= s.end[row] + rules.slack_ns)
        )
        if inside.any():
            found[i] = orphans[inside][0]
    return found


def _sibling_twins(s: Spans, o: Ownership, serves: np.ndarray, rules: Rules) -> None:
    """Spans of different scopes, or of client and server, beside each other that report the same
    call."""
    pair_in_step(s, o, rules)
    for found in (buckets, loose_buckets):
        for bucket in found(s, np.flatnonzero(o.call)):
            match_bucket(s, o, bucket, s.scope, beside(s, rules, may_be_twins))
    server_twins(s, o, serves, np.flatnonzero(o.call), rules, may_be_twins)


def _same_response(s: Spans, o: Ownership) -> None:
    """Calls with one response id are one call if their numbers agree, or if their times overlap and
    they come from two scopes or processes.

    An id that very many spans of a trace share identifies nothing: some servers repeat theirs.
    """
    rows = np.flatnonzero(o.call & (s.response_id >= 0))
    key = s.tree.trace[rows] * (int(s.response_id.max(initial=0)) + 1) + s.response_id[rows]
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    again = np.flatnonzero(key[1:] == key[:-1])
    repeated, times = np.unique(key[1:][again], return_counts=True)
    for value in repeated[times < _SAME_ID_MAX]:  # only ids that really came more than once
        groups: list[list[int]] = []
        for row in rows[key == value].tolist():
            home = next((g for g in groups if _one_call(s, g[0], row)), None)
            if home is None:
                groups.append([row])
            else:
                home.append(row)
        for twins in groups:
            others = np.array(twins[1:], np.int64)
            drop(o, others, np.full(len(others), twins[0]), UsageReason.SAME_RESPONSE)


def _one_call(s: Spans, a: int, b: int) -> bool:
    pair = np.array([a]), np.array([b])
    overlap = s.start[a] <= s.end[b] and s.start[b] <= s.end[a]
    two_views = s.scope[a] != s.scope[b] or s.process[a] != s.process[b]
    return bool((overlap and two_views) or same_numbers(s, *pair)[0])


def _silent_calls(
    s: Spans, o: Ownership, silent: np.ndarray, serves: np.ndarray, rules: Rules
) -> None:
    """Model spans without usage: calls if something shows it, else twins or mere wrappers."""
    if not silent.any():
        return
    blocker = np.isin(s.kind, BLOCKER_KINDS)
    modelled = np.isin(s.kind, CALL_KINDS)
    for kind in CALL_KINDS:
        rows = np.flatnonzero(silent & (s.kind == kind))
        same = modelled & (s.kind == kind) & (s.tree.repeated_of < 0)
        if not len(rows):
            continue
        outer = nearest(s.tree.parent, same | blocker)
        inner_of = np.full(len(s.kind), NONE, np.int64)
        nested = np.flatnonzero(same & (outer >= 0) & same[np.maximum(outer, 0)])
        inner_of[outer[nested]] = nested
        wraps = rows[inner_of[rows] >= 0]
        drop(o, wraps, inner_of[wraps], UsageReason.NESTED_TWIN)
        rest = rows[inner_of[rows] < 0]
        reported = outer[rest]
        twin = (reported >= 0) & same[np.maximum(reported, 0)] & ~silent[np.maximum(reported, 0)]
        drop(o, rest[twin], reported[twin], UsageReason.NESTED_TWIN)
        _judge_silent(s, o, rest[~twin], serves, rules)


def _judge_silent(
    s: Spans, o: Ownership, rows: np.ndarray, serves: np.ndarray, rules: Rules
) -> None:
    """What is left is a call if it is a leaf or has a response id; the rest says nothing."""
    structural = ~np.isin(s.kind, tuple(KINDS.index(k) for k in (Kind.HTTP, Kind.OTHER)))
    leaf = below(s.tree, structural)[rows] < 0
    evident = (leaf | (s.response_id[rows] >= 0)) & ~s.call_needs_usage[rows]
    nothing = rows[~evident]
    drop(o, nothing, np.full(len(nothing), NONE), UsageReason.NO_EVIDENCE)
    calls = rows[evident]
    carrier = nearest(s.tree.parent, o.call & ~np.isin(s.kind, CALL_KINDS))[calls]
    covered = carrier >= 0
    covered &= ~s.writes_on_caller[np.maximum(carrier, 0)]
    drop(o, calls[covered], carrier[covered], UsageReason.COUNTED_ABOVE)
    calls = calls[~covered]
    o.call[calls] = True
    o.survivor[calls] = calls
    told_later(s, o, calls)
    calls = calls[o.call[calls]]
    if len(calls):
        kind = s.kind[calls[0]]
        beside_calls = np.flatnonzero(o.call & (s.kind == kind))
        silent = np.zeros(len(s.kind), bool)
        silent[calls] = True
        for found in (buckets, loose_buckets):
            for bucket in found(s, beside_calls[o.call[beside_calls]]):
                if silent[bucket].any():
                    match_bucket(s, o, bucket, s.scope, beside(s, rules, silent_pair))
        server_twins(s, o, serves, beside_calls[o.call[beside_calls]], rules, silent_pair)


def _settle(s: Spans, o: Ownership, serves: np.ndarray) -> None:
    """Follows chains of twins to their end, then counts each group for its best span: one with
    numbers, in the process of the group's outermost that serves no one, the deepest, the latest
    to start."""
    for _ in range(64):
        known = np.flatnonzero(o.survivor >= 0)
        target = o.survivor[o.survivor[known]]
        move = (target >= 0) & (target != o.survivor[known])
        if not move.any():
            break
        o.survivor[known[move]] = target[move]
    twins = np.flatnonzero((o.survivor >= 0) & np.isin(o.reason, _TWIN_REASONS))
    heads = np.unique(o.survivor[twins])
    member = np.concatenate([heads, twins])
    group = np.concatenate([heads, o.survivor[twins]])
    order = np.lexsort((member, s.start[member], s.tree.depth[member], serves[member], group))
    outermost = member[order]
    _, first = np.unique(o.survivor[outermost], return_index=True)
    home = np.zeros(len(o.survivor), np.int64)
    home[heads] = s.process[outermost[first]]
    silent = (s.input[member] < 0) & (s.output[member] < 0)
    away = s.process[member] != home[group]
    order = np.lexsort((member, -s.start[member], -s.tree.depth[member], away, silent, group))
    _, first = np.unique(group[order], return_index=True)
    best = np.full(len(o.survivor), NONE, np.int64)
    best[heads] = member[order][first]
    changed = heads[best[heads] != heads]
    o.reason[changed], o.reason[best[changed]] = o.reason[best[changed]], NONE
    o.call[best[changed]] = o.call[changed]
    o.call[changed] = False
    moved = np.flatnonzero((o.survivor >= 0) & np.isin(o.survivor, changed))
    o.survivor[moved] = best[o.survivor[moved]]


def _residuals(s: Spans, o: Ownership, carriers: np.ndarray) -> None:
    """What a carrier known to sum exactly its own call reports beyond the calls beneath it."""
    rows = np.flatnonzero(carriers & (o.reason >= 0))
    if not len(rows):
        return
    given, got = (np.where(o.call, np.maximum(c, 0), 0) for c in (s.input, s.output))
    more_in = s.input - sum_below(s.tree, given)
    more_out = s.output - sum_below(s.tree, got)
    calls = np.flatnonzero(o.call & (s.input >= 0))
    lost = below_orphan(s.tree)
    for row in rows[(more_in[rows] > 0) & (more_out[rows] > 0)]:  # a surplus is rare
        same = calls[s.tree.trace[calls] == s.tree.trace[row]]
        near = lost[same] & (s.process[same] == s.process[row])
        near &= (s.start[same] >= s.start[row]) & (s.end[same] <= s.end[row])
        surplus = int(more_in[row] - given[same[near]].sum())
        surplus_out = int(more_out[row] - got[same[near]].sum())
        earlier = int(given[same[s.end[same] <= s.start[row]]].sum())
        if surplus > 0 and surplus_out > 0 and not earlier >= surplus:
            o.residual[int(row)] = (surplus, surplus_out)
