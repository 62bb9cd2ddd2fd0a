"""Single attributes of spans as columns: for labels and rules, which name theirs."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.tables import codes


def attribute_columns(spans: pa.Table, keys: Sequence[str]) -> dict[str, pa.Array]:
    """Text of each attribute for every span, NULL where absent. O(attributes), plus per key."""
    column = spans.column("attributes").combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no chunks at all
        return {key: pa.nulls(spans.num_rows, pa.string()) for key in keys}
    offsets = column.offsets.to_numpy()
    low, high = int(offsets[0]), int(offsets[-1])
    rows = np.repeat(np.arange(len(column)), np.diff(offsets))
    number = pc.index_in(column.keys.slice(low, high - low), value_set=pa.array(keys, pa.string()))
    which = number.fill_null(-1).to_numpy(zero_copy_only=False)
    values = column.items.slice(low, high - low)
    found = {}
    for i, key in enumerate(keys):
        at = np.flatnonzero(which == i)
        entry = np.full(len(column), -1, dtype=np.int64)
        entry[rows[at][::-1]] = at[::-1]  # of a repeated key the first
        found[key] = values.take(pa.array(entry, mask=entry < 0))
    return found


def resource_columns(spans: pa.Table, keys: Sequence[str]) -> dict[str, pa.Array]:
    """Text of each resource attribute for every span; looked up per distinct resource."""
    resources = codes(spans.column("resource"))
    parsed = [json.loads(text) if text else {} for text in resources.dictionary.to_pylist()]
    return {
        key: pa.array([_text(r.get(key)) for r in parsed], pa.string()).take(resources.indices)
        for key in keys
    }


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
