from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.ledger.index import HOUR_NS, Group, Index, trace_keys
from tests.ledger.tables import ids

TRACES_MAX = 10**6


def group(committed_h: int, name: str = "a") -> Group:
    return Group(committed_h * HOUR_NS, True, (f"{name}-s",), (f"{name}-l",))


def found(index: Index, traces: list[int]) -> dict[int, set[int]]:
    hits = index.find(ids(*traces))
    pairs: dict[int, set[int]] = {n: set() for n in traces}
    for row, number in zip(hits.rows.tolist(), hits.groups.tolist(), strict=True):
        pairs[traces[row]].add(number)
    return pairs


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), max_size=12))
@settings(max_examples=60, deadline=None)
def test_every_group_of_a_trace_is_found(batches):
    """For any commits, each trace is found in just the groups it was added to."""
    index, _ = Index.open(Path(":memory:"))
    wanted: dict[int, set[int]] = defaultdict(set)
    for number, traces in enumerate(batches, 1):
        index.add(ids(*traces), group(number))
        for trace in traces:
            wanted[trace].add(number)
    assert found(index, list(range(45))) == {n: wanted[n] for n in range(45)}
    index.close()


def test_what_was_added_is_there_after_reopening(tmp_path):
    """Groups, files, keys and reach survive; a new index says that it is new."""
    index, is_new = Index.open(tmp_path / "i.db")
    assert is_new
    index.add(ids(1, 2), group(5, "x"))
    index.add(ids(2, 3), group(6, "y"))
    index.restart(7)
    index.close()
    again, is_new = Index.open(tmp_path / "i.db")
    assert not is_new
    assert again.since_ns == 7
    assert again.groups == {1: group(5, "x"), 2: group(6, "y")}
    assert found(again, [1, 2, 3, 4]) == {1: {1}, 2: {1, 2}, 3: {2}, 4: set()}
    again.add(ids(4), group(7, "z"))
    assert found(again, [4]) == {4: {3}}
    again.close()


@pytest.mark.parametrize("damage", ["garbage", "short", "format", "keys", "table"])
def test_a_damaged_index_is_started_anew(tmp_path, damage):
    """Anything that is not the index as written gives an empty one, never an error or half."""
    path = tmp_path / "i.db"
    index, _ = Index.open(path)
    index.add(ids(1), group(1))
    index.close()
    if damage == "garbage":
        path.write_bytes(b"not a database" * 100)
    elif damage == "short":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        change = {
            "format": "PRAGMA user_version = 99",
            "keys": "UPDATE groups SET keys = x'0000000000000000'",
            "table": "DROP TABLE groups",
        }[damage]
        database = sqlite3.connect(path)
        database.execute(change)
        database.commit()
        database.close()
    again, is_new = Index.open(path)
    if damage == "table":  # an empty index is what the missing table says
        assert not again.groups
    else:
        assert is_new
        assert found(again, [1]) == {1: set()}
    again.close()


def test_forgetting_keeps_all_groups_of_traces_seen_since(tmp_path):
    """Pruning drops old commits, but a trace with a younger commit keeps its older ones."""
    index, _ = Index.open(tmp_path / "i.db")
    index.add(ids(1, 2), group(0, "old"))
    index.add(ids(3), group(1, "gone"))
    index.add(ids(2, 4), group(30, "young"))
    index.prune(6 * HOUR_NS, TRACES_MAX)
    assert index.since_ns == 6 * HOUR_NS
    assert found(index, [1, 2, 3, 4]) == {1: set(), 2: {1, 3}, 3: set(), 4: {3}}
    index.close()
    again, _ = Index.open(tmp_path / "i.db")
    assert found(again, [1, 2, 3, 4]) == {1: set(), 2: {1, 3}, 3: set(), 4: {3}}
    assert set(again.groups) == {1, 3}
    again.close()


def test_what_is_kept_of_a_trace_keeps_what_it_links_to(tmp_path):
    """Links lie in the group of the spans: a younger commit of entries alone keeps them as well."""
    index, _ = Index.open(tmp_path / "i.db")
    index.add(ids(1), group(0, "spans"), ids(8))
    index.add(ids(2), group(1, "gone"), ids(9))
    index.add(ids(1), group(30, "entries"))
    index.prune(6 * HOUR_NS, TRACES_MAX)
    index.close()
    again, _ = Index.open(tmp_path / "i.db")
    assert again.find_linking(ids(8)).groups.tolist() == [1]
    assert not len(again.find_linking(ids(9)).groups)
    assert found(again, [1, 2, 8]) == {1: {1, 3}, 2: set(), 8: set()}
    again.prune(40 * HOUR_NS, TRACES_MAX)
    assert not again.groups
    again.close()


def test_pruning_waits_for_an_hour_and_never_looks_back(tmp_path):
    """Nothing happens within an hour of the last time, or when the clock jumps back."""
    index, _ = Index.open(tmp_path / "i.db")
    index.add(ids(1), group(10))
    index.prune(10 * HOUR_NS + HOUR_NS // 2, TRACES_MAX)
    assert (index.since_ns, len(index.groups)) == (None, 1)
    index.prune(12 * HOUR_NS, TRACES_MAX)
    assert (index.since_ns, len(index.groups)) == (12 * HOUR_NS, 0)
    index.prune(3 * HOUR_NS, TRACES_MAX)
    assert index.since_ns == 12 * HOUR_NS
    index.close()


def test_the_number_of_traces_is_bounded(tmp_path):
    """Beyond the limit the older half is forgotten, and the reach says so."""
    index, _ = Index.open(tmp_path / "i.db")
    for n in range(20):
        index.add(ids(*range(n * 10, n * 10 + 10)), group(n))
        index.prune(-(10**6) * HOUR_NS, 100)
    assert sum(len(hits) for hits in found(index, list(range(200))).values()) <= 100
    assert index.since_ns is not None
    kept = {n for n, hits in found(index, list(range(200))).items() if hits}
    assert kept == {n for n in range(200) if n // 10 * HOUR_NS >= index.since_ns}
    index.close()


def test_dropped_groups_are_not_found(tmp_path):
    """A forgotten group takes its traces with it, on disk too."""
    index, _ = Index.open(tmp_path / "i.db")
    index.add(ids(1, 2), group(1))
    index.add(ids(2), group(2))
    index.drop([1])
    index.close()
    again, _ = Index.open(tmp_path / "i.db")
    assert found(again, [1, 2]) == {1: set(), 2: {2}}
    again.close()


def test_keys_of_any_text():
    """Equal ids have equal keys; ids that differ in one digit, short and odd ones differ."""
    texts = ["", "a", "é", "0" * 31 + "1", "0" * 32, "1" + "0" * 31, "f" * 32, "x" * 40]
    keys = trace_keys(pa.array([*texts, *texts]))
    assert len(np.unique(keys)) == len(texts)
    assert (keys[: len(texts)] == keys[len(texts) :]).all()
    assert len(trace_keys(pa.array([], pa.string()))) == 0
