"""The forest of a batch, against a slow and obvious reading of the same parent links."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from agentcost_collector.attribute.tree import (
    Tree,
    below,
    build_tree,
    depths,
    is_ancestor,
    nearest,
    nearest_or_self,
    sum_below,
    topmost_or_self,
)
from agentcost_collector.model.schemas import SPANS


@st.composite
def forests(draw):
    """Parent links without cycles, in any order of rows."""
    size = draw(st.integers(1, 30))
    order = draw(st.permutations(range(size)))
    parent = np.full(size, -1)
    for place in range(1, size):
        above = draw(st.integers(-1, place - 1))
        parent[order[place]] = order[above] if above >= 0 else -1
    stop = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    return parent, stop


def ancestors(parent, row):
    found = []
    while parent[row] >= 0:
        row = parent[row]
        found.append(int(row))
    return found


@given(forests())
def test_questions_of_the_forest_equal_a_walk_by_hand(forest):
    """Depth, nearest, topmost, below and ancestry are what following the links gives."""
    parent, stop = forest
    above = [ancestors(parent, row) for row in range(len(parent))]
    stops = [[a for a in chain if stop[a]] for chain in above]
    assert depths(parent).tolist() == [len(chain) for chain in above]
    assert nearest(parent, stop).tolist() == [s[0] if s else -1 for s in stops]
    own = [[row] if stop[row] else [] for row in range(len(parent))]
    expected = [(o + s)[0] if o + s else -1 for o, s in zip(own, stops, strict=True)]
    assert nearest_or_self(parent, stop).tolist() == expected
    expected = [(o + s)[-1] if o + s else -1 for o, s in zip(own, stops, strict=True)]
    assert topmost_or_self(parent, stop).tolist() == expected
    none = np.zeros(0)
    tree = Tree(none, parent, depths(parent), none, none, none)
    for row, found in enumerate(below(tree, stop).tolist()):
        beneath = [r for r in range(len(parent)) if row in above[r] and stop[r]]
        assert (found in beneath) if beneath else found == -1
    sums = [
        sum(stop[r] for r in range(len(parent)) if row in above[r]) for row in range(len(parent))
    ]
    assert sum_below(tree, stop.astype(np.int64)).tolist() == sums
    pairs = np.array([(u, w) for u in range(len(parent)) for w in range(len(parent))])
    answers = is_ancestor(tree, pairs[:, 0], pairs[:, 1])
    assert answers.tolist() == [u in above[w] for u, w in pairs.tolist()]


def spans(links):
    """One trace; `links` maps span number to parent number (or None)."""
    rows = [
        {
            "trace_id": "a" * 32,
            "span_id": f"{number:016x}",
            "parent_span_id": None if parent is None else f"{parent:016x}",
            "name": f"span {number}",
            "start_ns": number,
            "end_ns": number + 1,
        }
        for number, parent in sorted(links.items())
    ]
    return pa.Table.from_pylist(rows, schema=SPANS)


@given(st.lists(st.one_of(st.none(), st.integers(0, 24)), min_size=1, max_size=20))
def test_any_parent_links_become_a_forest(parents):
    """Self-parents, cycles and lost parents never hang the walk; every cycle is cut once."""
    tree = build_tree(spans(dict(enumerate(parents))))
    size = len(parents)
    assert all(len(ancestors(tree.parent, row)) < size for row in range(size))
    for row, parent in enumerate(parents):
        kept = int(tree.parent[row])
        if row in tree.cut:
            assert kept == -1
        elif parent is not None and parent < size:
            assert kept == parent
        assert bool(tree.orphan[row]) == (parent is not None and parent >= size)


def test_a_chain_of_ten_thousand_is_as_deep_as_that():
    """Depth has no limit and takes no recursion."""
    tree = build_tree(spans({n: n - 1 if n else None for n in range(10_000)}))
    assert tree.depth.tolist() == list(range(10_000))


def test_a_hundred_thousand_children_hang_on_one_root():
    """Width has no limit either."""
    tree = build_tree(spans({n: 0 if n else None for n in range(100_000)}))
    assert (tree.depth[1:] == 1).all()
