"""What the ownership rules know of every span, and what they decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agentcost_collector.attribute.tree import Tree
from agentcost_collector.model.reasons import UsageReason

_REASONS = tuple(UsageReason)


def reason_code(reason: UsageReason) -> int:
    """Code of a reason in `Ownership.reason`."""
    return _REASONS.index(reason)


@dataclass
class Spans:
    """What the rules need of every span, as arrays; -1 means "not known"."""

    tree: Tree
    kind: np.ndarray
    server: np.ndarray
    """Spans of OTLP kind SERVER: they answer a request."""
    scope: np.ndarray
    process: np.ndarray
    model: np.ndarray
    """Code of the bare model name."""
    asked: np.ndarray
    """Code of the bare name of the model asked for, in the same numbering."""
    response_id: np.ndarray
    start: np.ndarray
    end: np.ndarray
    input: np.ndarray
    output: np.ndarray
    cache_read: np.ndarray
    cache_write: np.ndarray
    reasoning: np.ndarray
    writes_on_caller: np.ndarray
    call_needs_usage: np.ndarray
    sums_this_call: np.ndarray
    running_total: np.ndarray
    agent: np.ndarray
    """Code of the agent's name."""


@dataclass
class Ownership:
    """`survivor[row]`: the row counted for this span's usage; itself where it is a call.

    `residual[row]`: (input, output) that a carrier reports beyond the calls beneath it.
    """

    survivor: np.ndarray
    reason: np.ndarray
    call: np.ndarray
    residual: dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Rules:
    """Numbers of the rules. `slack_ns`: how far clocks may disagree on containment. `told_ns`: how
    long after a call a span without duration may report it."""

    slack_ns: int = 5_000_000
    told_ns: int = 1_000_000_000


def same_numbers(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Equal input and output, or equal but for how cache or reasoning was counted."""

    def counts(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.maximum(values[rows], 0)

    in_difference = np.abs(counts(s.input, a) - counts(s.input, b))
    out_difference = np.abs(counts(s.output, a) - counts(s.output, b))
    same_in, same_out = in_difference == 0, out_difference == 0
    if same_in.all() and same_out.all():
        return same_in
    for rows in (a, b):
        read, write = counts(s.cache_read, rows), counts(s.cache_write, rows)
        same_in |= (in_difference == read) | (in_difference == write)
        same_in |= in_difference == read + write
        same_out |= out_difference == counts(s.reasoning, rows)
    return same_in & same_out


def same_model(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same bare name, asked for or served, or one of the two says none."""
    unknown = (s.model[a] < 0) | (s.model[b] < 0)
    asked = (s.asked[a] >= 0) & ((s.asked[a] == s.asked[b]) | (s.asked[a] == s.model[b]))
    return (s.model[a] == s.model[b]) | unknown | asked | (s.asked[b] == s.model[a])


def contained(s: Spans, a: np.ndarray, b: np.ndarray, slack_ns: int) -> np.ndarray:
    """One of the two intervals lies in the other, give or take the slack, or a tenth of the
    shorter where that is more: busy processes end their spans late."""
    lasted = np.minimum(s.end[a] - s.start[a], s.end[b] - s.start[b])
    slack = np.maximum(slack_ns, lasted // 10)
    return inside(s, a, b, slack) | inside(s, b, a, slack)


def inside(s: Spans, a: np.ndarray, b: np.ndarray, slack_ns: int | np.ndarray) -> np.ndarray:
    """The interval of `a` lies in that of `b`, give or take the slack."""
    return (s.start[a] >= s.start[b] - slack_ns) & (s.end[a] <= s.end[b] + slack_ns)


def told_after(s: Spans, a: np.ndarray, b: np.ndarray, told_ns: int) -> np.ndarray:
    """`a` has no duration and began soon after `b` ended: it may be a report of that call, as some
    emitters write one when a stream has been read."""
    gap = s.start[a] - s.end[b]
    instant = (s.start[a] == s.end[a]) & (s.start[b] < s.end[b])
    return instant & (gap >= 0) & (gap <= told_ns)


def same_id(s: Spans, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both carry the same provider response id."""
    return (s.response_id[a] >= 0) & (s.response_id[a] == s.response_id[b])


def drop(o: Ownership, rows: np.ndarray, survivor: np.ndarray, reason: UsageReason) -> None:
    """These rows are not counted; `survivor` is, for `reason`."""
    o.survivor[rows] = survivor
    o.reason[rows] = reason_code(reason)
    o.call[rows] = False
