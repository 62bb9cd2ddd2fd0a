"""The span forest of a batch as arrays, and the questions that the walk asks of it.

No recursion and no loop per span: ancestors are found by pointer jumping, so a chain of 10,000
spans takes 14 rounds. Hostile input (self-parents, cycles, repeated ids) is cut, never followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from agentcost_collector.model.tables import codes

NONE = -1


@dataclass
class Tree:
    """Row numbers throughout; -1 means "none". `parent` may be moved by the walk's inference."""

    trace: np.ndarray
    """Code of the trace, equal within a trace."""
    parent: np.ndarray
    depth: np.ndarray
    orphan: np.ndarray
    """Names a parent that is not here."""
    repeated_of: np.ndarray
    """Row of the version that is used, for other versions of the same span."""
    cut: np.ndarray
    """Had its parent removed because it lay on a cycle."""


def build_tree(spans: pa.Table) -> Tree:
    """Forest of SPANS sorted by (trace_id, start_ns, span_id). O(n log depth)."""
    trace = codes(spans.column("trace_id")).indices.to_numpy(zero_copy_only=False).astype(np.int64)
    row, at = _rows_of_ids(spans, trace)
    repeated_of = _repeated(spans, row)
    parent = np.where(at >= 0, np.where(repeated_of[at] >= 0, repeated_of[at], at), NONE)
    names_parent = spans.column("parent_span_id").is_valid().to_numpy(zero_copy_only=False)
    cut = _cycle_heads(parent)
    parent[cut] = NONE
    orphan = names_parent & (at < 0)
    return Tree(trace, parent, depths(parent), orphan, repeated_of, cut)


def _rows_of_ids(spans: pa.Table, trace: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every row the first row of its trace with its span id, and with its parent's, or -1."""
    ids, parents = (spans.column(name).chunks for name in ("span_id", "parent_span_id"))
    coded = codes(pa.chunked_array([*ids, *parents], pa.string()))
    code = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    first = _first_rows(code, trace)
    if (trace[first[code[: len(trace)]]] != trace).any():  # traces share ids
        pair = np.tile(trace, 2) * (len(coded.dictionary) + 1) + code
        code = codes(pa.array(pair)).indices.to_numpy()
        first = _first_rows(code, trace)
    own, above = np.split(first[code], 2)
    return own, np.where(trace[above] == trace, above, NONE)


def _first_rows(code: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """For every code the first row that it is the code of, or -1."""
    first = np.full(code.max(initial=NONE) + 1, NONE, dtype=np.int64)
    rows = np.arange(len(trace))[::-1]
    first[code[rows]] = rows
    return first


def nearest(parent: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """For every row the nearest strict ancestor in `stop`, or -1."""
    if not stop.any():
        return np.full(len(parent), NONE, dtype=np.int64)
    jump = parent.copy()
    open_rows = np.flatnonzero((jump >= 0) & ~stop[jump])
    while len(open_rows):
        jump[open_rows] = jump[jump[open_rows]]
        target = jump[open_rows]
        open_rows = open_rows[(target >= 0) & ~stop[target]]
    return jump


def nearest_or_self(parent: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """As `nearest`, but a row in `stop` is its own answer."""
    return np.where(stop, np.arange(len(parent)), nearest(parent, stop))


def topmost_or_self(parent: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """For every row the outermost row in `stop` among itself and its ancestors, or -1."""
    above = nearest(parent, stop)
    top = np.where(above >= 0, above, np.where(stop, np.arange(len(parent)), NONE))
    # climb from boundary to boundary: `above` of a boundary is the next one out
    climb = np.where(stop, np.where(above >= 0, above, np.arange(len(parent))), NONE)
    rows = np.flatnonzero(top >= 0)
    while True:
        higher = climb[top[rows]]
        if (higher == top[rows]).all():
            return top
        top[rows] = higher
        own = climb >= 0
        climb[own] = climb[climb[own]]


def depths(parent: np.ndarray) -> np.ndarray:
    """Number of ancestors of every row of a forest without cycles."""
    depth = (parent >= 0).astype(np.int64)
    jump = parent.copy()
    live = np.flatnonzero(jump >= 0)
    while len(live):
        depth[live] += depth[jump[live]]
        jump[live] = jump[jump[live]]
        live = live[jump[live] >= 0]
    return depth


def below(tree: Tree, marked: np.ndarray) -> np.ndarray:
    """For every row one marked row strictly beneath it (of the nearest level), or -1."""
    found = np.full(len(marked), NONE, dtype=np.int64)
    child = np.flatnonzero(marked)
    source = child
    while True:
        parent = tree.parent[child]
        up = np.flatnonzero(parent >= 0)
        up = up[found[parent[up]] < 0]
        if not len(up):
            return found
        child, first = np.unique(parent[up], return_index=True)
        source = source[up[first]]
        found[child] = source


def sum_below(tree: Tree, values: np.ndarray) -> np.ndarray:
    """For every row the sum of `values` over the rows strictly beneath it. One step a level."""
    total = np.zeros(len(values), dtype=np.int64)
    order = np.argsort(-tree.depth, kind="stable")
    ends = np.flatnonzero(np.diff(tree.depth[order])) + 1
    for level in np.split(order, ends):
        rows = level[tree.parent[level] >= 0]
        np.add.at(total, tree.parent[rows], total[rows] + values[rows])
    return total


def below_orphan(tree: Tree) -> np.ndarray:
    """Spans whose chain of parents ends at a span that names a missing parent."""
    return tree.orphan | (nearest(tree.parent, tree.orphan) >= 0)


def is_ancestor(tree: Tree, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Whether `upper[i]` is a strict ancestor of `lower[i]`."""
    at = tree.parent[lower]
    found = np.zeros(len(upper), dtype=bool)
    live = np.flatnonzero((at >= 0) & (tree.depth[upper] < tree.depth[lower]))
    while len(live):
        found[live] = at[live] == upper[live]
        live = live[~found[live] & (tree.depth[at[live]] > tree.depth[upper[live]])]
        at[live] = tree.parent[at[live]]
    return found


def _repeated(spans: pa.Table, first: np.ndarray) -> np.ndarray:
    """For rows whose span id came more than once, the row of the fullest version; else -1.

    Fullest: latest end, then most attributes, then the greatest text; never arrival order.
    `first`: the first row with the same id.
    """
    result = np.full(len(first), NONE, dtype=np.int64)
    if (first == np.arange(len(first))).all():
        return result
    counts = np.bincount(first, minlength=len(first))
    rows = np.flatnonzero(counts[first] > 1)  # few: only ids that really repeat
    order = {int(r): _fullness(spans, int(r)) for r in rows}
    best: dict[int, int] = {}
    for row, fullness in order.items():
        kept = best.get(int(first[row]))
        if kept is None or fullness > order[kept]:
            best[int(first[row])] = row
    for row in order:
        if best[int(first[row])] != row:
            result[row] = best[int(first[row])]
    return result


def _fullness(spans: pa.Table, row: int) -> tuple[int, int, str]:
    values = spans.slice(row, 1).drop_columns(["received_at_ns"]).to_pylist()[0]
    return values["end_ns"], len(values["attributes"] or ()), repr(values)


def _cycle_heads(parent: np.ndarray) -> np.ndarray:
    """The smallest row of every cycle of the parent links."""
    jump = parent.copy()
    for _ in range(max(len(parent), 2).bit_length()):
        live = jump >= 0
        if not live.any():
            return np.zeros(0, dtype=np.int64)
        jump[live] = jump[jump[live]]
    on_cycle = np.unique(jump[jump >= 0])  # where 2^k >= n steps lead is on a cycle
    least = np.arange(len(parent))
    step = parent.copy()
    for _ in range(max(len(on_cycle), 2).bit_length() + 1):
        least[on_cycle] = np.minimum(least[on_cycle], least[step[on_cycle]])
        step[on_cycle] = step[step[on_cycle]]
    heads: np.ndarray = on_cycle[least[on_cycle] == on_cycle]
    return heads
