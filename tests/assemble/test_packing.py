import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.assemble.packing import pack, shrink, unpack

ATTRIBUTES = st.none() | st.lists(st.tuples(st.text(max_size=5), st.none() | st.text(max_size=9)))


@settings(deadline=None)
@given(
    maps=st.lists(ATTRIBUTES, max_size=12),
    scopes=st.lists(st.none() | st.sampled_from("abc"), min_size=12, max_size=12),
    cut=st.integers(0, 12),
)
def test_packing_loses_nothing(row, table, maps, scopes, cut):
    """Packed, moved and unpacked rows are the rows as they were: NULL maps, NULL values, empty
    keys, slices and concatenations included."""
    spans = table(
        [
            row("t", str(i), None, attributes=attributes, scope_name=scopes[i])
            for i, attributes in enumerate(maps)
        ]
    )
    parts = [spans.slice(0, cut), spans.slice(cut)]
    assert unpack(pack(spans)).equals(spans)
    assert [unpack(pack(part)).to_pylist() for part in parts] == [p.to_pylist() for p in parts]
    joined = pa.concat_tables([pack(part) for part in parts])
    assert unpack(joined).to_pylist() == spans.to_pylist()
    backwards = pa.array(range(len(maps))[::-1], pa.int64())
    assert unpack(pack(spans).take(backwards)).to_pylist() == spans.to_pylist()[::-1]
    assert unpack(shrink(pack(spans).combine_chunks())).equals(spans)


@pytest.mark.parametrize("scopes", [["b", "a", "b"], [None, "a", "a"], [None, None, None]])
def test_dictionaries_hold_what_is_used_in_order_of_rows(row, table, scopes):
    """Whatever dictionary came in, the one that leaves depends on the rows alone."""
    spans = table([row("t", str(i), None, scope_name=scope) for i, scope in enumerate(scopes)])
    large = pa.array(["x", "a", "b", "a", "y"])
    codes = pa.array(
        [None if s is None else large.to_pylist().index(s) for s in scopes], pa.int32()
    )
    at = spans.schema.get_field_index("scope_name")
    given_column = pa.DictionaryArray.from_arrays(codes, large)
    out = unpack(pack(spans.set_column(at, spans.schema.field(at), given_column)))
    column = out.column("scope_name").chunk(0)
    assert column.to_pylist() == scopes
    assert column.dictionary.to_pylist() == list(dict.fromkeys(s for s in scopes if s))


def test_a_value_twice_in_a_dictionary_leaves_once(row, table):
    """A dictionary with a repeated value, as joined sources can have, becomes distinct."""
    spans = table([row("t", str(i), None) for i in range(3)])
    at = spans.schema.get_field_index("resource")
    twice = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1], pa.int32()), ["r", "s", "r"])
    out = unpack(pack(spans.set_column(at, spans.schema.field(at), twice))).column("resource")
    assert out.to_pylist() == ["r", "r", "s"]
    assert out.chunk(0).dictionary.to_pylist() == ["r", "s"]
