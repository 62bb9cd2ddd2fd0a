import random
import sys
from collections.abc import Callable
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agentcost_collector.assemble import open_traces
from agentcost_collector.assemble.chunks import Chunk
from agentcost_collector.assemble.config import Config
from agentcost_collector.assemble.open_traces import Closed, OpenTraces
from agentcost_collector.model.schemas import SPANS

MS = 1_000_000
WHOLE = """
root
  plan
    tool
  answer
"""
NO_ROOT = """
tool <- lost
  embed
"""
LOST_MIDDLE = """
root
call <- lost
"""
SELF = "self <- self"
CYCLE = """
a <- b
b <- a
"""
TWO_ROOTS = """
one
  call
two
"""
CONFIG = Config(settle_ms=10, idle_ms=100, age_ms_max=1_000)


def closed(result: Closed) -> dict[str, str]:
    """Trace -> why it closed, with the short names of the drawing."""
    rows = result.traces.to_pylist()
    assert [row["trace_id"] for row in rows] == sorted(row["trace_id"] for row in rows)
    assert sum(row["spans"] for row in rows) == result.spans.num_rows
    return {row["trace_id"].lstrip("0"): row["closed_by"] for row in rows}


def bytes_of(spans: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, spans.schema) as stream:
        stream.write_table(spans)
    return sink.getvalue().to_pybytes()


def spans_of_many(count: int, first: int = 0, parent: str | None = "f" * 16) -> pa.Table:
    """`count` traces of one span each."""
    ids = pa.array([f"{i:032x}" for i in range(first, first + count)])
    same = {name: pa.repeat(value, count) for name, value in (("name", "n"), ("resource", "{}"))}
    columns = {
        "trace_id": ids,
        "span_id": pa.compute.utf8_slice_codeunits(ids, 16),
        "parent_span_id": pa.repeat(pa.scalar(parent, pa.string()), count),
        "start_ns": pa.repeat(1, count),
        "end_ns": pa.repeat(2, count),
        **same,
    }
    missing = [pa.nulls(count, f.type) for f in SPANS if f.name not in columns]
    names = [f.name for f in SPANS if f.name not in columns]
    columns |= dict(zip(names, missing, strict=True))
    return pa.table([columns[f.name].cast(f.type) for f in SPANS], schema=SPANS)


def calls_during(action: Callable[[], object]) -> int:
    """How many Python and C functions `action` calls."""
    count = 0

    def seen(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("drawing", "closed_by", "at_ms"),
    [
        (WHOLE, "root", 10),
        (TWO_ROOTS, "root", 10),
        ("root", "root", 10),
        (NO_ROOT, "idle", 100),
        (LOST_MIDDLE, "idle", 100),
        (SELF, "idle", 100),
        (CYCLE, "idle", 100),
    ],
)
def test_each_tree_closes_by_its_rule_and_not_a_nanosecond_before(
    tree, table, drawing, closed_by, at_ms
):
    """Complete trees close after `settle`, those that miss a root or a parent after `idle`."""
    spans = table(tree("t", drawing))
    opened = OpenTraces(CONFIG)
    opened.add(1, spans, now_ns=5)
    assert closed(opened.close(5 + at_ms * MS - 1)) == {}
    result = opened.close(5 + at_ms * MS)
    assert closed(result) == {"t": closed_by}
    assert result.spans.to_pylist() == spans.to_pylist()
    assert result.repeated == 0
    assert (opened.traces, opened.spans, opened.bytes) == (0, 0, 0)


def test_arrivals_start_the_quiet_time_again(row, table):
    """A trace that still receives spans is not quiet; each arrival restarts `settle` and
    `idle`."""
    opened = OpenTraces(CONFIG)
    opened.add(1, table([row("t", "root", None)]), 0)
    opened.add(2, table([row("t", "a", "root")]), 9 * MS)
    assert closed(opened.close(18 * MS)) == {}
    opened.add(3, table([row("t", "b", "lost")]), 18 * MS)
    assert closed(opened.close(117 * MS)) == {}
    assert closed(opened.close(118 * MS)) == {"t": "idle"}


def test_a_missing_parent_that_comes_late_completes_the_trace(tree, row, table):
    """A trace waiting for a parent closes `settle` after the parent came, not at `idle`."""
    opened = OpenTraces(CONFIG)
    opened.add(1, table(tree("t", LOST_MIDDLE)), 0)
    assert closed(opened.close(50 * MS)) == {}
    opened.add(2, table([row("t", "lost", "root")]), 60 * MS)
    assert closed(opened.close(69 * MS)) == {}
    result = opened.close(70 * MS)
    assert closed(result) == {"t": "root"}
    assert result.spans.num_rows == 3


def test_a_parent_in_another_trace_is_missing(row, table):
    """Parents are looked for in the same trace only."""
    opened = OpenTraces(CONFIG)
    rows = [row("t", "root", None), row("t", "a", "other"), row("u", "other", None)]
    opened.add(1, table(rows), 0)
    assert closed(opened.close(10 * MS)) == {"u": "root"}


def test_a_busy_trace_closes_at_its_age_and_opens_again(row, table):
    """A trace that never rests closes at `age_ms_max` after its first span; what comes later is a
    new open trace."""
    opened = OpenTraces(CONFIG)
    for i in range(101):
        opened.add(i + 1, table([row("t", str(i), None)]), i * 9 * MS)
        assert closed(opened.close(i * 9 * MS)) == {}
    opened.add(200, table([row("t", "x", None)]), 999 * MS)
    assert closed(opened.close(1_000 * MS - 1)) == {}
    result = opened.close(1_000 * MS)
    assert closed(result) == {"t": "age"}
    assert result.spans.num_rows == 102
    opened.add(201, table([row("t", "late", None)]), 1_000 * MS)
    assert opened.lowest_position() == 201
    assert closed(opened.close(1_010 * MS)) == {"t": "root"}


def test_over_the_span_limit_the_oldest_close_first(row, table):
    """At the limit nothing closes; over it, the traces with the oldest first span, as many as
    needed."""
    opened = OpenTraces(Config(open_spans_max=4))
    opened.add(1, table([row("c", "1", None), row("c", "2", None)]), 0)
    opened.add(2, table([row("a", "1", None)]), 1)
    opened.add(3, table([row("b", "1", None), row("c", "3", None)][:1]), 2)
    assert closed(opened.close(3)) == {}
    opened.add(4, table([row("c", "3", None)]), 4)
    result = opened.close(5)
    assert closed(result) == {"c": "limit"}
    assert (result.spans.num_rows, opened.spans, opened.traces) == (3, 2, 2)


def test_over_the_byte_limit_the_oldest_close_first(row, table):
    """The open set never keeps more bytes than its limit."""
    opened = OpenTraces(Config(open_bytes_max=100_000))
    large = [("key", "v" * 30_000)]
    for i, trace in enumerate("dcba"):
        opened.add(i + 1, table([row(trace, "1", None, attributes=large)]), i)
    assert opened.bytes > 100_000
    assert closed(opened.close(9)) == {"d": "limit"}
    assert 60_000 < opened.bytes <= 100_000


def test_open_traces_without_rows_of_note_are_counted_too(row):
    """A flood of one-span traces meets the byte limit by the cost of the traces themselves."""
    opened = OpenTraces(Config(open_bytes_max=1_000_000))
    opened.add(1, spans_of_many(5_000), 0)
    opened.close(0)
    assert opened.traces < 1_250
    assert opened.bytes <= 1_000_000


def test_everything_closes_by_its_own_rule_or_by_the_end(tree, table):
    """At the end of a replay all traces close; those that were due keep their reason."""
    opened = OpenTraces(CONFIG)
    opened.add(1, table(tree("whole", WHOLE)), 0)
    opened.add(2, table(tree("late", WHOLE)), 5 * MS)
    opened.add(2, table(tree("cut", NO_ROOT)), 5 * MS)
    result = opened.close(10 * MS, oldest=10_000)
    assert closed(result) == {"whole": "root", "late": "end", "cut": "end"}
    assert opened.lowest_position() is None
    assert closed(opened.close(10_000 * MS, oldest=10_000)) == {}


def test_the_oldest_close_a_few_at_a_time(tree, table):
    """Whole traces, oldest first, until so many spans have closed: memory is bounded."""
    opened = OpenTraces(CONFIG)
    for number in range(6):
        opened.add(number + 1, table(tree(f"t{number}", WHOLE)), 0)
    size = opened.spans // 6
    assert closed(opened.close(0, oldest=size + 1)) == {"t0": "end", "t1": "end"}
    assert closed(opened.close(0, oldest=1)) == {"t2": "end"}
    assert (opened.traces, opened.lowest_position()) == (3, 4)
    assert len(closed(opened.close(0, oldest=10_000))) == 3


def test_lowest_position_is_what_must_stay_in_the_journal(row, table):
    """The lowest position of any open trace, also where it closes out of order."""
    opened = OpenTraces(CONFIG)
    assert opened.lowest_position() is None
    opened.add(7, table([row("old", "1", "lost")]), 0)
    opened.add(8, table([row("new", "1", None)]), 0)
    opened.add(9, table([row("old", "2", "lost"), row("new", "2", "1")]), 0)
    assert opened.lowest_position() == 7
    result = opened.close(10 * MS)
    assert result.traces.column("first_position").to_pylist() == [8]
    assert opened.lowest_position() == 7
    opened.add(10, table([row("new", "3", None)]), 100 * MS)
    opened.close(100 * MS)
    assert opened.lowest_position() == 10


def test_time_that_goes_backwards_stands_still(row, table):
    """A clock that is set back neither closes early nor breaks the order of closing."""
    opened = OpenTraces(CONFIG)
    opened.add(1, table([row("t", "1", None)]), 50 * MS)
    opened.add(2, table([row("u", "1", None)]), 20 * MS)
    assert closed(opened.close(59 * MS)) == {}
    assert closed(opened.close(60 * MS)) == {"t": "root", "u": "root"}


def test_spans_sent_again_leave_once(tree, table):
    """Re-sent requests, before or within a batch, are counted and leave once, the first one."""
    rows = tree("t", WHOLE)
    again = [{**row, "received_at_ns": 9} for row in rows]
    other = {**rows[1], "end_ns": 999, "received_at_ns": 5}
    opened = OpenTraces(CONFIG)
    opened.add(1, table([*again, *rows[:2]]), 0)
    opened.add(2, table([*rows, other]), 0)
    result = opened.close(10 * MS)
    assert closed(result) == {"t": "root"}
    assert result.repeated == 6
    assert result.spans.to_pylist() == table([rows[0], rows[1], other, *rows[2:]]).to_pylist()


def test_spans_that_start_together_leave_in_order_of_id(row, table):
    """Equal start times are ordered by span id, then receipt, then content."""
    rows = [
        row("t", span, None, start_ns=7, received_at_ns=received, status=status)
        for span, received, status in [
            ("c", 1, 0),
            ("b", 2, 1),
            ("b", 1, 2),
            ("b", 1, 1),
            ("a", 1, 0),
        ]
    ]
    opened = OpenTraces(CONFIG)
    opened.add(1, table(rows), 0)
    out = opened.close(10 * MS).spans.select(["name", "received_at_ns", "status"])
    # ("b", 2, 1) repeats ("b", 1, 1): only the time of receipt differs.
    assert [tuple(r.values()) for r in out.to_pylist()] == [
        ("a", 1, 0),
        ("b", 1, 1),
        ("b", 1, 2),
        ("c", 1, 0),
    ]


DRAWN = st.lists(
    st.tuples(
        st.sampled_from("tuvw"),  # trace
        st.integers(0, 4),  # span
        st.none() | st.integers(0, 4),  # parent
        st.integers(0, 2),  # start
        st.sampled_from(["x", "y", None]),  # scope
        st.integers(1, 2),  # receipt
    ),
    max_size=40,
)


@settings(deadline=None)
@given(drawn=DRAWN, seed=st.integers(0, 2**16), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_neither_split_nor_order_of_arrival_changes_what_leaves(row, table, drawn, seed, cuts):
    """Any shuffle and any split into batches give the same traces and the same bytes, and they
    are what a plain Python grouping gives."""
    rows = [
        row(
            t,
            str(s),
            None if p is None else str(p),
            start_ns=at,
            scope_name=scope,
            received_at_ns=got,
        )
        for t, s, p, at, scope, got in drawn
    ]
    whole = OpenTraces(CONFIG)
    whole.add(1, table(rows), 0)
    expected = whole.close(10 * MS, oldest=10_000)

    shuffled = random.Random(seed).sample(rows, len(rows))
    split = OpenTraces(CONFIG)
    bounds = [0, *sorted(cuts), len(rows)]
    for i, (start, stop) in enumerate(pairwise(bounds)):
        split.add(i + 1, table(shuffled[start:stop]), 0)
    result = split.close(10 * MS, oldest=10_000)

    assert closed(result) == closed(expected)
    assert result.repeated == expected.repeated
    assert bytes_of(result.spans) == bytes_of(expected.spans)
    assert result.spans.to_pylist() == plainly(rows)
    for trace, closed_by in closed(result).items():
        assert (closed_by == "root") == is_complete(
            [r for r in rows if r["name"] and trace in r["trace_id"]]
        )


def plainly(rows: list[dict]) -> list[dict]:
    """Sorted and without repeats, one row at a time."""

    def order(row: dict) -> tuple:
        return row["trace_id"], row["start_ns"], row["span_id"], row["received_at_ns"], repr(row)

    kept: dict[str, dict] = {}
    for row in sorted(rows, key=order):
        kept.setdefault(repr({**row, "received_at_ns": 0}), row)
    return pa.Table.from_pylist(list(kept.values()), schema=SPANS).to_pylist()


def is_complete(rows: list[dict]) -> bool:
    ids = {row["span_id"] for row in rows}
    parents = {row["parent_span_id"] for row in rows}
    return None in parents and parents - {None} <= ids


def test_a_hundred_thousand_spans_in_one_trace(table):
    """A huge trace that comes in many batches closes whole, once."""
    spans = spans_of_many(100_000, parent=None)
    one = pa.repeat("a" * 32, 100_000)
    spans = spans.set_column(0, SPANS.field(0), one)
    opened = OpenTraces(CONFIG)
    for i in range(0, 100_000, 700):
        opened.add(i + 1, spans.slice(i, 700), 0)
    result = opened.close(10 * MS)
    assert closed(result) == {"a" * 32: "root"}
    assert result.spans.equals(spans.combine_chunks())


@pytest.mark.parametrize("complete", [True, False])
def test_a_chain_ten_thousand_deep(table, complete):
    """Depth costs nothing: a chain is complete where its root is there, else it waits."""
    count = 10_000
    ids = [f"{i:016x}" for i in range(1, count + 1)]
    spans = spans_of_many(count)
    spans = spans.set_column(0, SPANS.field(0), pa.repeat("a" * 32, count))
    spans = spans.set_column(1, SPANS.field(1), pa.array(ids))
    spans = spans.set_column(2, "parent_span_id", pa.array([None, *ids[:-1]], pa.string()))
    opened = OpenTraces(CONFIG)
    opened.add(1, spans if complete else spans.slice(1), 0)
    assert len(closed(opened.close(10 * MS))) == int(complete)
    assert len(closed(opened.close(100 * MS))) == int(not complete)


def test_work_does_not_grow_with_what_is_open():
    """With 200,000 traces open, adding a batch and closing it calls as many functions and copies
    as many rows as with none open."""

    def work(opened: OpenTraces) -> tuple[int, int]:
        copied = opened.rows_copied
        first = spans_of_many(2_000, first=10**9, parent=None)
        second = spans_of_many(2_000, first=2 * 10**9, parent="e" * 16)

        def action() -> None:
            opened.add(100, first, 60 * MS)
            opened.add(101, second, 60 * MS)
            assert opened.close(70 * MS).traces.num_rows == 2_000

        return calls_during(action), opened.rows_copied - copied

    empty, crowded = OpenTraces(CONFIG), OpenTraces(CONFIG)
    for i in range(20):
        crowded.add(i + 1, spans_of_many(10_000, first=i * 10_000), 0)
    crowded.close(20 * MS)
    empty.close(20 * MS)
    assert crowded.traces == 200_000
    calls, copied = work(empty)
    calls_crowded, copied_crowded = work(crowded)
    assert copied_crowded == copied
    assert abs(calls_crowded - calls) < 100
    assert crowded.lowest_position() == 1


def test_what_waits_is_looked_at_once(row, table):
    """A trace with a missing parent is not searched again until something arrives for it."""
    opened = OpenTraces(CONFIG)
    waiting = spans_of_many(1_000, parent="e" * 16)
    roots = spans_of_many(1_000, parent=None)
    roots = roots.set_column(1, SPANS.field(1), pa.repeat("d" * 16, 1_000))
    opened.add(1, pa.concat_tables([waiting, roots]), 0)
    assert closed(opened.close(10 * MS)) == {}
    assert calls_during(lambda: opened.close(11 * MS)) < 200
    assert len(closed(opened.close(100 * MS))) == 1_000


def test_one_long_trace_does_not_pin_the_batches_it_came_in(row, table):
    """Batches whose other traces have closed are cleared out: of 75,000 rows, a long trace with
    one span in each of many batches pins no more than twice what is open, and one small batch."""
    opened = OpenTraces(Config(settle_ms=10, idle_ms=100))
    for i in range(150):
        others = spans_of_many(500, first=1_000 * i, parent=None)
        long = table([row("long", str(i), "lost")])
        opened.add(i + 1, pa.concat_tables([others, long]), i * 20 * MS)
        opened.close(i * 20 * MS)
    held = {id(chunk): chunk for trace in opened._open.values() for chunk in trace.pieces}
    assert sum(len(chunk.rows) for chunk in held.values()) <= 2 * opened.spans + 4_096
    assert len(held) <= 66
    copied_per_span = opened.rows_copied / (150 * 501)
    assert copied_per_span < 3
    result = opened.close(10**18)
    assert result.spans.num_rows == 500 + 150


def test_single_span_batches_are_merged(row, table):
    """Many batches of one span, each at its own time, do not stay as many tables."""
    opened = OpenTraces(CONFIG)
    for i in range(1_000):
        opened.add(i + 1, table([row(str(i % 300), str(i), "lost")]), i)
    opened.close(1_000)
    held = {id(chunk) for trace in opened._open.values() for chunk in trace.pieces}
    assert len(held) <= 66
    assert opened.rows_copied < 1_000 * 40
    result = opened.close(100 * MS + 1_000)
    assert (result.traces.num_rows, result.spans.num_rows) == (300, 1_000)


def test_small_batches_of_one_moment_are_taken_in_together(row, table):
    """A hundred one-span batches that are read at once cost little more than one, and each keeps
    its position."""
    batches = [table([row(str(i % 50), str(i), "lost")]) for i in range(100)]
    opened = OpenTraces(CONFIG)
    opened.add(1, batches[0], 0)
    one = calls_during(lambda: opened.close(0))

    def add_all() -> None:
        for i, batch in enumerate(batches[1:]):
            opened.add(i + 2, batch, 1)
        assert opened.close(1).traces.num_rows == 0

    assert calls_during(add_all) < one + 99 * 60
    assert (opened.traces, opened.spans, opened.lowest_position()) == (50, 100, 1)
    result = opened.close(100 * MS + 1)
    assert sorted(result.traces.column("first_position").to_pylist()) == list(range(1, 51))


def test_an_empty_batch_changes_nothing(table):
    """A batch without spans moves the position and the clock only."""
    opened = OpenTraces(CONFIG)
    opened.add(1, table([]), 0)
    result = opened.close(0, oldest=10_000)
    assert closed(result) == {}
    assert result.spans.schema.equals(SPANS)
    assert (opened.traces, opened.lowest_position()) == (0, None)


def test_settings_out_of_order_are_refused():
    """`settle` beyond `idle`, or `idle` beyond the age limit, is an error at start."""
    with pytest.raises(ValidationError, match="settle_ms <= idle_ms"):
        Config(settle_ms=100_000)
    with pytest.raises(ValidationError, match="settle_ms <= idle_ms"):
        Config(idle_ms=4_000_000)


def test_compressed_rows_leave_as_they_came(tree, row, table, monkeypatch):
    """Beyond so many bytes the oldest batches are kept compressed: the same spans close by the same
    rules, they count for less, and a batch of which most has closed is cleared out as any other."""
    monkeypatch.setattr(open_traces, "_SMALL_ROWS", 2)
    drawn = table(
        [
            *tree("a", "root\n tool\n  llm"),
            row("a", "linked", "root", links=[{"trace_id": "9" * 32, "span_id": "8" * 16}]),
            row("b", "root", None, attributes=None, scope_name=None, resource=None),
            row("c", "lost", "gone", attributes=[("key", None), ("other", "ü")]),
            row("c", "lost", "gone", attributes=[("key", None), ("other", "ü")], received_at_ns=2),
        ]
    )
    more = [table([row(f"d{n}", "x", "gone"), row(f"d{n}", "y", "x")]) for n in range(9)]

    def closing(bytes_max: int) -> tuple[int, int, list[Closed]]:
        monkeypatch.setattr(open_traces, "_PLAIN_BYTES_MAX", bytes_max)
        opened = OpenTraces(CONFIG)
        for at, spans in enumerate([drawn, *more]):
            opened.add(at + 1, spans, at)
        held = opened.bytes
        of_grown = opened.grown(1).num_rows
        opened.add(20, table([row("d3", "z", "y"), row("d4", "z", "y")]), 20 * MS)
        return held, of_grown, [opened.close(at * MS) for at in (20, 110, 200)]

    plain, as_plain, before = closing(10**9)
    packed, as_packed, after = closing(0)
    assert as_plain == as_packed == drawn.num_rows - 1 + 18
    assert plain != packed
    for one, other in zip(before, after, strict=True):
        assert one.traces.equals(other.traces)
        assert bytes_of(one.spans) == bytes_of(other.spans)
        assert one.repeated == other.repeated
    assert [result.spans.num_rows for result in after] == [5, 15, 6]


def test_many_open_spans_are_kept_small(monkeypatch):
    """Beyond 1 MiB, 100,000 open spans take less than half of the bytes that they came with."""
    monkeypatch.setattr(open_traces, "_PLAIN_BYTES_MAX", 2**20)
    opened = OpenTraces(CONFIG)
    came = 0
    for at in range(10):
        spans = spans_of_many(10_000, first=10_000 * at)
        opened.add(at + 1, spans, at)
        came += spans.nbytes
    assert sum(chunk.row_bytes * chunk.live for chunk in _held(opened)) < came / 2
    assert opened.close(200 * MS).spans.num_rows == 100_000


def _held(opened: OpenTraces) -> list[Chunk]:
    return list({chunk: None for trace in opened._open.values() for chunk in trace.pieces})
