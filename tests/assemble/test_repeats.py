import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.assemble.repeats import unique_spans


def kept(spans: pa.Table) -> list[str]:
    return spans.column("name").to_pylist()


def test_without_repeats_the_table_is_returned_as_it_is(row, table):
    """Equal span ids in different traces, and equal content under different ids, are no repeats."""
    spans = table([row("t", "a", None), row("u", "a", None), row("t", "b", None, name="a")])
    assert unique_spans(spans) == (spans, 0)
    assert unique_spans(spans.slice(0, 0)) == (spans.slice(0, 0), 0)


def test_a_span_that_only_arrived_again_goes(row, table):
    """Rows that differ in the time of receipt only are one span; the first is kept."""
    again = [row("t", "a", None, received_at_ns=at) for at in (3, 1, 2)]
    spans, removed = unique_spans(table([*again, row("t", "b", None)]))
    assert (spans.column("received_at_ns").to_pylist(), removed) == ([3, 1], 2)


@pytest.mark.parametrize(
    "change",
    [
        {"parent_span_id": "1" * 16},
        {"parent_span_id": None},
        {"kind": 3},
        {"name": "b"},
        {"name": None},
        {"start_ns": 101},
        {"end_ns": 201},
        {"status": 2},
        {"scope_name": "other"},
        {"scope_version": None},
        {"resource": '{"a":"b"}'},
        {"attributes": [("key", "other")]},
        {"attributes": [("keya", "")]},
        {"attributes": [("key", "a"), ("more", "1")]},
        {"attributes": []},
        {"attributes": None},
        {"links": [{"trace_id": "c", "span_id": "e"}]},
        {"links": []},
        {"links": None},
        {"dropped_attributes": 1},
    ],
)
def test_versions_that_differ_in_any_column_all_stay(row, table, change):
    """Other content under the same id is evidence and is kept, once."""
    link = [{"trace_id": "c", "span_id": "d"}]
    first = row("t", "a", "p", links=link)
    other = {**first, **change}
    spans, removed = unique_spans(table([first, other, first, other, other]))
    assert removed == 3
    assert spans.to_pylist() == table([first, other]).to_pylist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("tu"), st.sampled_from("ab"), st.integers(0, 2))))
def test_exactly_the_first_of_every_version_stays(row, table, drawn):
    """For any mix of traces, ids and versions: one row per distinct content, in order."""
    rows = [
        row(trace, span, None, end_ns=version, received_at_ns=i)
        for i, (trace, span, version) in enumerate(drawn)
    ]
    spans, removed = unique_spans(table(rows))
    first = [drawn.index(key) for key in dict.fromkeys(drawn)]
    assert spans.column("received_at_ns").to_pylist() == first
    assert removed == len(drawn) - len(first)
