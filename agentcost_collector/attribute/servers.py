"""One call, reported by the process that made it and by the server or proxy that answered it.

Where the caller's model span was not made current, the server's span is not beneath it but beside:
under the request's span, or under whatever was current.
"""

from __future__ import annotations

import numpy as np

from agentcost_collector.attribute.ownership import Ownership, Rules, Spans, inside
from agentcost_collector.attribute.siblings import MayBe, Test, match_bucket
from agentcost_collector.attribute.tree import (
    NONE,
    below_orphan,
    is_ancestor,
    nearest_or_self,
)

_HOPS_MAX = 8


def serving_processes(s: Spans, modelled: np.ndarray) -> np.ndarray:
    """Spans of the processes that answer model calls, of traces that others make calls in too.

    Such a process reports a call in, or as, the span of the request for it: a SERVER span of the
    same scope. The web framework of an app is another scope than the SDK that makes its calls.
    """
    home = s.tree.trace * (int(s.process.max(initial=0)) + 1) + s.process
    rows = np.flatnonzero(modelled)
    _, first = np.unique(home[rows], return_index=True)
    processes = np.bincount(s.tree.trace[rows[first]], minlength=len(s.kind))
    rows = rows[processes[s.tree.trace[rows]] > 1]
    if not len(rows):
        return np.zeros(len(s.kind), bool)
    request = nearest_or_self(s.tree.parent, s.server)[rows]
    found = (request >= 0) & (s.scope[request] == s.scope[rows]) & (home[request] == home[rows])
    found &= (s.tree.parent[request] >= 0) | s.tree.orphan[request]
    return np.isin(home, home[rows[found]])


def server_twins(
    s: Spans, o: Ownership, serves: np.ndarray, rows: np.ndarray, rules: Rules, may_be: MayBe
) -> None:
    """Pairs calls of serving processes with calls of the processes that called them."""
    if not serves.any():
        return
    rows = rows[np.isin(s.tree.trace[rows], s.tree.trace[serves])]
    rows = rows[np.lexsort((s.start[rows], s.kind[rows], s.tree.trace[rows]))]
    key = np.stack([s.tree.trace[rows], s.kind[rows]])
    starts = np.flatnonzero((key[:, 1:] != key[:, :-1]).any(axis=0)) + 1
    test = _answers(s, serves, rules, may_be)
    for bucket in np.split(rows, starts):
        match_bucket(s, o, bucket, s.process, test)


def _answers(s: Spans, serves: np.ndarray, rules: Rules, may_be: MayBe) -> Test:
    """One of a pair answers the other, and neither is above the other."""
    same = (s.tree.parent >= 0) & (s.process[s.tree.parent] == s.process)
    top = nearest_or_self(np.where(same, s.tree.parent, NONE), ~same)
    caller = s.tree.parent[top]
    """The nearest span above in another process."""
    lost = below_orphan(s.tree)

    def answers(server: np.ndarray, client: np.ndarray) -> np.ndarray:
        """The request came from the client's process, within the client's time; where it cannot
        be seen, the server worked within that time."""
        request = caller[server]
        for _ in range(_HOPS_MAX):  # gateways between
            elsewhere = (request >= 0) & (s.process[request] != s.process[client])
            request = np.where(elsewhere, caller[request], request)
        seen = (request >= 0) & (s.process[request] == s.process[client])
        within = seen & inside(s, request, client, rules.slack_ns)
        within |= (seen | (lost[server] & ~serves[client])) & inside(
            s, server, client, rules.slack_ns
        )
        return serves[server] & within

    def test(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        one = (answers(a, b) | answers(b, a)) & may_be(s, a, b)
        return one & ~is_ancestor(s.tree, a, b) & ~is_ancestor(s.tree, b, a)

    return test
