"""Whatever stacks and networks do to a trace, no call is counted twice and none is invented."""

import random
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.recordings import names, requests_of
from tests.support.walked import decode, input_of, table_of, walk_table

Rows = list[dict[str, Any]]
IDS_OF_A_CALL = ("response.id", "request.id", "call_id", "tool.call.id", ".openai.id", "pic.id")
MS = 1_000_000


@cache
def recording(name: str) -> tuple[Rows, tuple[int, int]]:
    spans = decode(requests_of(name))
    return spans.to_pylist(), walk_table(spans).totals()


TWINS = ("nested_twin", "sibling_twin", "same_response")


@cache
def most(name: str) -> tuple[int, int]:
    """Totals if every call counted for what the most generous of its reports says: where reports
    differ, the better one may be the one that is lost."""
    walked = walk_table(decode(requests_of(name)))
    reports = {row["span_id"]: (input_of(row), row["output_tokens"] or 0) for row in walked.calls()}
    for row in walked.verdicts.to_pylist():
        call = row["survivor_span_id"]
        if row["reason"] in TWINS and call in reports:
            told = (row["input_tokens"] or 0, row["output_tokens"] or 0)
            reports[call] = tuple(map(max, reports[call], told))
    return sum(i for i, _ in reports.values()), sum(o for _, o in reports.values())


def span_id(seed: object) -> str:
    return f"{random.Random(repr(seed)).getrandbits(64):016x}"


def totals(rows: Rows) -> tuple[int, int]:
    return walk_table(table_of(rows)).totals()


def twin_of(span: dict[str, Any], scope: str, beneath: bool) -> dict[str, Any]:
    """The span again, as a second instrumentation would report it, beside it or beneath it."""
    return span | {
        "span_id": span_id((span["span_id"], scope)),
        "scope_name": f"{scope} {span['scope_name']}",
        "parent_span_id": span["span_id"] if beneath else span["parent_span_id"],
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_span_repeated_under_another_scope_moves_nothing(data):
    """A second instrumentation that reports a span again, beside it or beneath it."""
    rows, truth = recording(data.draw(st.sampled_from(names())))
    span = data.draw(st.sampled_from(rows))
    assert totals([*rows, twin_of(span, "another", data.draw(st.booleans()))]) == truth


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_span_repeated_under_two_other_scopes_moves_nothing(data):
    """Three instrumentations at once, each beside the first or beneath one of the others."""
    rows, truth = recording(data.draw(st.sampled_from(names())))
    span = data.draw(st.sampled_from(rows))
    second = twin_of(span, "second", data.draw(st.booleans()))
    over = data.draw(st.sampled_from([span, second]))
    third = twin_of(over, "third", data.draw(st.booleans()))
    assert totals([*rows, second, third]) == truth


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(names()),
    scopes=st.sampled_from([("second",), ("second", "third")]),
    skew_ns=st.integers(-3 * MS, 3 * MS),
)
def test_every_call_repeated_by_clocks_that_disagree_moves_nothing(name, scopes, skew_ns):
    """Whole instrumentations beside the first, each a few milliseconds off."""
    rows, truth = recording(name)
    again = [
        twin_of(row, scope, beneath=False)
        | {"start_ns": row["start_ns"] + skew_ns, "end_ns": row["end_ns"] + skew_ns}
        for scope in scopes
        for row in rows
    ]
    assert totals([*rows, *again]) == truth


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_span_lost_and_another_repeated_never_add_to_the_totals(data):
    """Drop one span and repeat another: the second changes nothing that the first left."""
    name = data.draw(st.sampled_from(names()))
    rows, limit = recording(name)[0], most(name)
    lost, twice = (data.draw(st.integers(0, len(rows) - 1)) for _ in range(2))
    twin = twin_of(rows[twice], "another", data.draw(st.booleans()))
    found = totals([*rows[:lost], *rows[lost + 1 :], twin])
    assert found[0] <= limit[0]
    assert found[1] <= limit[1]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_lost_span_never_adds_to_the_totals(data):
    """Drop any span: what it reported may be missing, nothing else may appear."""
    name = data.draw(st.sampled_from(names()))
    rows, limit = recording(name)[0], most(name)
    lost = data.draw(st.integers(0, len(rows) - 1))
    remaining = totals(rows[:lost] + rows[lost + 1 :])
    assert remaining[0] <= limit[0]
    assert remaining[1] <= limit[1]


def parallel(rows: Rows, times: int, offset_ns: int) -> Rows:
    """The same work `times` times in one trace, each copy `offset_ns` after the one before."""
    made = list(rows)
    for copy in range(1, times):
        ids = {row["span_id"]: span_id((row["span_id"], copy)) for row in rows}
        for row in rows:
            attributes = [
                (key, f"{value}-{copy}" if key.endswith(IDS_OF_A_CALL) else value)
                for key, value in row["attributes"]
            ]
            made.append(
                row
                | {
                    "span_id": ids[row["span_id"]],
                    "parent_span_id": ids.get(row["parent_span_id"], row["parent_span_id"]),
                    "start_ns": row["start_ns"] + copy * offset_ns,
                    "end_ns": row["end_ns"] + copy * offset_ns,
                    "attributes": attributes,
                }
            )
    return made


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(names()),
    times=st.integers(2, 5),
    offset_ns=st.sampled_from([0, 1, 1000, MS // 10, MS, 3 * MS, 10 * MS, 50 * MS, 1000 * MS]),
)
def test_the_same_calls_in_parallel_are_counted_as_often_as_they_were_made(name, times, offset_ns):
    """Equal calls side by side at any offset stay as many calls as there were."""
    rows, truth = recording(name)
    assert totals(parallel(rows, times, offset_ns)) == (times * truth[0], times * truth[1])


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    times=st.integers(2, 4),
    offset_ns=st.sampled_from([0, 1, MS // 10, MS, 10 * MS, 1000 * MS]),
)
def test_parallel_copies_doubly_instrumented_that_lose_a_span(data, times, offset_ns):
    """Every span twice, beside each other, in each of several copies, and one span lost anywhere:
    never more than was billed, and with nothing lost exactly that."""
    name = data.draw(st.sampled_from(names()))
    rows, truth = recording(name)
    doubled = [*rows, *(twin_of(row, "another", beneath=False) for row in rows)]
    made = parallel(doubled, times, offset_ns)
    expected = times * truth[0], times * truth[1]
    assert totals(made) == expected
    lost = data.draw(st.integers(0, len(made) - 1))
    found = totals(made[:lost] + made[lost + 1 :])
    assert found[0] <= times * most(name)[0]
    assert found[1] <= times * most(name)[1]


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(names()), seed=st.integers())
def test_order_of_arrival_does_not_matter(name, seed):
    """Shuffled spans give the same steps, to the byte."""
    rows, _ = recording(name)
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert walk_table(table_of(shuffled)).steps.equals(walk_table(table_of(rows)).steps)


@pytest.mark.parametrize("name", names())
def test_a_span_that_came_twice_with_other_content_counts_once(name):
    """The fuller version of a span is used, whichever came first."""
    rows, truth = recording(name)
    partial = [row | {"attributes": [], "end_ns": row["end_ns"] - 1} for row in rows]
    assert totals([*partial, *rows]) == truth
    assert totals([*rows, *partial]) == truth
