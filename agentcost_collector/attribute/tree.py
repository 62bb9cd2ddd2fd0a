"""The span forest of a batch as arrays, and the questions that the walk asks of it.

No recursion and no loop per span: ancestors are found by pointer jumping, so a chain of 10,000
spans takes 14 rounds. Hostile input (self-parents, cycles, repeated ids) is cut, never followed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    n = spans.num_rows
    trace_ids = spans.column("trace_id").combine_chunks()
    trace = pc.dictionary_encode(trace_ids).indices.to_numpy(zero_copy_only=False).astype(np.int64)
    key = pc.binary_join_element_wise(trace_ids, spans.column("span_id"), "")
    wanted = pc.binary_join_element_wise(trace_ids, spans.column("parent_span_id"), "")
    repeated_of = _repeated(spans, key)
    used = np.flatnonzero(repeated_of < 0)
    found = pc.index_in(wanted, value_set=key.take(pa.array(used))).fill_null(NONE)
    at = found.to_numpy(zero_copy_only=False).astype(np.int64)
    parent = np.where(at >= 0, used[at] if n else at, NONE)
    names_parent = spans.column("parent_span_id").is_valid().to_numpy(zero_copy_only=False)
    cut = _cycle_heads(parent)
    parent[cut] = NONE
    orphan = names_parent & (at < 0)
    return Tree(trace, parent, depths(parent), orphan, repeated_of, cut)


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


def _repeated(spans: pa.Table, key: pa.Array) -> np.ndarray:
    """For rows whose span id came more than once, the row of the fullest version; else -1.

    Fullest: latest end, then most attributes, then the greatest text; never arrival order.
    """
    n = spans.num_rows
    result = np.full(n, NONE, dtype=np.int64)
    coded = pc.dictionary_encode(key)
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    if len(coded.dictionary) == n:
        return result
    codes = coded.indices.to_numpy(zero_copy_only=False)
    counts = np.bincount(codes)
    rows = np.flatnonzero(counts[codes] > 1)  # few: only ids that really repeat
    order = {int(r): _fullness(spans, int(r)) for r in rows}
    best: dict[int, int] = {}
    for row, fullness in order.items():
        kept = best.get(int(codes[row]))
        if kept is None or fullness > order[kept]:
            best[int(codes[row])] = row
    for row in order:
        if best[int(codes[row])] != row:
            result[row] = best[int(codes[row])]
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
