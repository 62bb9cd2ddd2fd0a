"""Spans that came more than once: exact repeats go, other versions of a span stay."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.assemble.packing import pack
from agentcost_collector.model.tables import codes


def unique_spans(spans: pa.Table) -> tuple[pa.Table, int]:
    """A SPANS table without exact repeats, and how many were removed.

    A repeat has the trace id, span id and everything else but `received_at_ns` of an earlier row.
    The first is kept, order stays. Cost: O(spans), by columns; rows whose id has several versions
    are compared one by one (about 40 us each).
    """
    drop = repeats(spans)
    removed = int(np.count_nonzero(drop))
    return (spans.filter(pa.array(~drop)) if removed else spans), removed


def repeats(spans: pa.Table) -> np.ndarray:
    """Mask of the rows of a SPANS table that `unique_spans` removes."""
    drop = np.zeros(spans.num_rows, dtype=bool)
    first = _first_of_id(spans)
    later = np.flatnonzero(first != np.arange(len(first)))
    if not len(later):
        return drop
    same = _same_content(spans.take(first[later]), spans.take(later))
    drop[later[same]] = True
    _mark_repeated_versions(spans, first, later[~same], drop)
    return drop


def _first_of_id(spans: pa.Table) -> np.ndarray:
    """For every row, the first row with its trace and span id."""
    traces, ids = codes(spans.column("trace_id")), codes(spans.column("span_id"))
    keys = traces.indices.to_numpy().astype(np.int64) * (len(ids.dictionary) + 1)
    keys += ids.indices.to_numpy()
    first = codes(pa.array(keys))
    by_code = np.zeros(len(first.dictionary), dtype=np.int64)
    at = first.indices.to_numpy()
    by_code[at[::-1]] = np.arange(len(at))[::-1]  # written last: the first row of each code
    rows: np.ndarray = by_code[at]
    return rows


def _same_content(left: pa.Table, right: pa.Table) -> np.ndarray:
    """Row by row: are all columns but `received_at_ns` equal?"""
    left, right = pack(left), pack(right)
    same = _equal_links(left.column("links"), right.column("links"))
    for name in left.schema.names:
        if name not in ("received_at_ns", "links"):
            same &= _equal(left.column(name), right.column(name))
    return same


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_dictionary(left.type):
        left, right = left.cast(left.type.value_type), right.cast(left.type.value_type)
    both_null = pc.and_(left.is_null(), right.is_null())
    same: np.ndarray = np.asarray(pc.or_(both_null, pc.equal(left, right).fill_null(False)))
    return same


def _equal_links(left: pa.ChunkedArray, right: pa.ChunkedArray) -> np.ndarray:
    sizes = pc.list_value_length(left).fill_null(-1)
    same: np.ndarray = np.array(pc.equal(sizes, pc.list_value_length(right).fill_null(-1)))
    # Arrow does not compare lists; few spans have links, so a Python row for each is cheap.
    linked = np.flatnonzero(same & (np.asarray(sizes) > 0))
    pairs = zip(left.take(linked).to_pylist(), right.take(linked).to_pylist(), strict=True)
    same[linked] = [a == b for a, b in pairs]
    return same


def _mark_repeated_versions(
    spans: pa.Table, first: np.ndarray, rows: np.ndarray, drop: np.ndarray
) -> None:
    """Marks repeats among `rows`, which differ from the first row of their id."""
    content = spans.take(rows).drop_columns(["received_at_ns"]).to_pylist()
    seen: set[tuple[int, str]] = set()
    for row, same_id, values in zip(rows.tolist(), first[rows].tolist(), content, strict=True):
        version = (same_id, repr(values))
        drop[row] = version in seen
        seen.add(version)
