"""SPANS with attributes as plain bytes, the form in which rows are cheap to move.

Taking rows of a map column costs a copy per key and per value: 0.5 us a span, more than all other
columns together. Here a row's keys, its values and the lengths of both are one byte string each.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.schemas import ATTRIBUTES, SPANS
from agentcost_collector.model.tables import conform

_PARTS = ("key_bytes", "key_lengths", "value_bytes", "value_lengths")
_CODED_BYTES = pa.dictionary(pa.int32(), pa.binary())

PACKED = pa.schema(
    [
        *(field for field in SPANS if field.name != "attributes"),
        *((name, _CODED_BYTES) for name in _PARTS[:2]),
        *((name, pa.binary()) for name in _PARTS[2:]),
    ]
)
"""`key_bytes` is NULL where `attributes` is; a value's length is -1 where the value is NULL."""


def pack(spans: pa.Table) -> pa.Table:
    """SPANS as PACKED. Row bytes are shared with `spans`, not copied."""
    whole = conform(spans, SPANS)
    if not whole.num_rows:
        return PACKED.empty_table()
    attributes = whole.column("attributes").chunk(0)
    ends = attributes.offsets.to_numpy()
    validity = None
    if attributes.null_count:
        validity = pa.py_buffer(np.packbits(attributes.is_valid(), bitorder="little"))
    keys = [part.dictionary_encode() for part in _pack_texts(attributes.keys, ends, validity)]
    values = _pack_texts(attributes.items, ends, None)
    others = whole.drop_columns(["attributes"]).columns
    return pa.table([*others, *keys, *values], schema=PACKED)


def unpack(packed: pa.Table) -> pa.Table:
    """PACKED as SPANS, each dictionary with exactly the values in use, in order of their rows."""
    whole = conform(packed, PACKED)
    if not whole.num_rows:
        return SPANS.empty_table()
    parts = [whole.column(name).chunk(0) for name in _PARTS]
    keys, ends = _unpack_texts(parts[0].dictionary_decode(), parts[1].dictionary_decode())
    values, _ = _unpack_texts(parts[2], parts[3])
    pairs = pa.StructArray.from_arrays([keys, values], fields=[*_pair_fields()])
    validity = parts[0].is_valid() if parts[0].null_count else None
    mask = validity and pa.py_buffer(np.packbits(validity, bitorder="little"))
    attributes = pa.Array.from_buffers(
        ATTRIBUTES, whole.num_rows, [mask, pa.py_buffer(ends)], children=[pairs]
    )
    columns = [
        attributes if field.name == "attributes" else whole.column(field.name) for field in SPANS
    ]
    return pa.table(shrink_columns(columns, SPANS), schema=SPANS)


def shrink(packed: pa.Table) -> pa.Table:
    """The same rows without the dictionary values that they do not use."""
    return pa.table(shrink_columns(packed.columns, PACKED), schema=PACKED)


def shrink_columns(columns: list[pa.ChunkedArray], schema: pa.Schema) -> list[pa.ChunkedArray]:
    """Single-chunk columns of a schema, dictionary columns shrunk to the values in use."""
    return [
        _shrink(column.chunk(0)) if pa.types.is_dictionary(field.type) else column
        for field, column in zip(schema, columns, strict=True)
    ]


def _shrink(column: pa.DictionaryArray) -> pa.DictionaryArray:
    distinct = column.dictionary.dictionary_encode()
    codes = column.indices
    if len(distinct.dictionary) < len(column.dictionary):  # a value twice, or NULL as a value
        codes = distinct.indices.take(codes)
    used = codes.unique().drop_null()
    place = np.zeros(len(distinct.dictionary) + 1, dtype=np.int32)
    place[used.to_numpy()] = np.arange(len(used), dtype=np.int32)
    indices = pa.array(place[codes.fill_null(-1).to_numpy()])
    if codes.null_count:
        indices = pc.if_else(codes.is_valid(), indices, pa.scalar(None, pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, distinct.dictionary.take(used))


def _pair_fields() -> tuple[pa.Field, pa.Field]:
    return ATTRIBUTES.key_field, ATTRIBUTES.item_field


def _pack_texts(
    texts: pa.StringArray, row_ends: np.ndarray, validity: pa.Buffer | None
) -> tuple[pa.BinaryArray, pa.BinaryArray]:
    """Bytes and lengths of the texts of each row, which end at `row_ends`."""
    filled = texts.fill_null("") if texts.null_count else texts
    ends = np.zeros(1, dtype=np.int32)
    if len(filled):
        ends = np.frombuffer(filled.buffers()[1], dtype=np.int32)
        ends = ends[filled.offset : filled.offset + len(filled) + 1]
    lengths = np.diff(ends)
    if texts.null_count:
        lengths[texts.is_null().to_numpy(zero_copy_only=False)] = -1
    data = filled.buffers()[2] if len(filled) else None
    rows = len(row_ends) - 1
    return (
        _binary(rows, validity, ends[row_ends], data or pa.py_buffer(b"")),
        _binary(rows, None, row_ends * np.int32(4), pa.py_buffer(lengths)),
    )


def _binary(rows: int, validity: pa.Buffer | None, ends: np.ndarray, data: pa.Buffer) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(), rows, [validity, pa.py_buffer(ends), data])


def _unpack_texts(
    texts: pa.BinaryArray, lengths: pa.BinaryArray
) -> tuple[pa.StringArray, np.ndarray]:
    """The texts of all rows one after the other, and where each row ends among them."""
    sizes_from, sizes = _span_of(lengths)
    _, data = _span_of(texts)
    counted = np.frombuffer(sizes, dtype=np.int32)
    ends = np.zeros(len(counted) + 1, dtype=np.int32)
    np.cumsum(np.maximum(counted, 0), out=ends[1:])
    missing = counted < 0
    validity = None
    if missing.any():
        validity = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    texts_in_use = pa.StringArray.from_buffers(len(counted), pa.py_buffer(ends), data, validity)
    return texts_in_use, (sizes_from - sizes_from[0]) // 4


def _span_of(column: pa.BinaryArray) -> tuple[np.ndarray, pa.Buffer]:
    """Offsets of the rows, and the bytes between the first and the last of them."""
    ends = np.frombuffer(column.buffers()[1], dtype=np.int32)
    ends = ends[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2] or pa.py_buffer(b"")
    return ends, data.slice(int(ends[0]), int(ends[-1] - ends[0]))
