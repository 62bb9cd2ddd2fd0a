"""Attribute values as text: whole columns, and single values of a resource or an array."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.wire import ArrayValue, KeyValueList, parse

DEPTH_MAX = 32
"""Arrays and maps nested deeper than this are dropped."""

_KINDS = (
    "string_value",
    "bool_value",
    "int_value",
    "double_value",
    "array_value",
    "kvlist_value",
    "bytes_value",
)


def present(values: pa.StructArray) -> np.ndarray:
    """Mask of the AnyValues that hold something."""
    mask = np.zeros(len(values), dtype=bool)
    for kind in _KINDS:
        mask |= _holds(values.field(kind))
    return mask


class Texts:
    """Texts of some rows, NULL where there is none: row i has `pool[at[i]]`. What is replaced is
    added to the pool, so that all the others are copied once, at the end."""

    def __init__(self, pool: pa.StringArray, at: np.ndarray) -> None:
        self._pool = pool
        self._at = at

    def known(self) -> np.ndarray:
        """Mask of the rows that have a text."""
        return _holds(self._pool)[self._at]

    def of(self, rows: np.ndarray) -> pa.StringArray:
        """The texts of some rows, in that order."""
        return self._pool.take(pa.array(self._at[rows]))

    def replace(self, mask: np.ndarray, texts: pa.StringArray) -> None:
        """Gives the rows of `mask` other texts."""
        if len(texts):
            self._at[mask] = len(self._pool) + np.arange(len(texts))
            self._pool = pa.concat_arrays([self._pool, texts])


def value_texts(values: pa.StructArray, rows: np.ndarray, config: Config) -> Texts:
    """Text of the AnyValues at `rows`; NULL where it cannot be read.

    Every value must be `present`; of one that holds two kinds the first kind is taken.
    """
    parts = [pa.array([], pa.string())]
    source = np.zeros(len(rows), dtype=np.int64)
    read = 0
    for kind in reversed(_KINDS):
        column = values.field(kind)
        at = np.flatnonzero(_holds(column)[rows])
        if len(at):
            parts.append(_column_texts(kind, column.take(pa.array(rows[at])), config))
            source[at] = np.arange(read, read + len(at))
            read += len(at)
    return Texts(pa.concat_arrays(parts), source)


def utf8_texts(raw: pa.BinaryArray, chars_max: int) -> pa.StringArray:
    """`raw` as text, cut at `chars_max`; invalid UTF-8 becomes replacement characters."""
    try:
        text = raw.cast(pa.string())
    except pa.ArrowInvalid:  # somebody's broken encoder; about 0.2 us a row
        cut = pc.binary_slice(raw, 0, 4 * chars_max).to_pylist()
        return pa.array([decoded(value, chars_max) for value in cut], pa.string())
    long = pc.binary_length(raw).fill_null(0).to_numpy() > chars_max
    if not long.any():
        return text
    cut = pc.utf8_slice_codeunits(text.filter(pa.array(long)), 0, chars_max)
    return pc.replace_with_mask(text, pa.array(long), cut)


def decoded(raw: bytes | None, chars_max: int) -> str | None:
    """One text, as `utf8_texts` gives it."""
    return None if raw is None else raw[: 4 * chars_max].decode("utf-8", "replace")[:chars_max]


def value_text(value: Any, config: Config) -> str | None:
    """Text of one AnyValue message, as `value_texts` gives it."""
    if value.HasField("string_value"):
        return decoded(value.string_value, config.value_chars_max)
    for kind in _KINDS[1:]:
        if value.HasField(kind):
            column = _column_texts(kind, pa.array([getattr(value, kind)]), config)
            text: str | None = column[0].as_py()
            return text
    return None


def _holds(column: pa.Array) -> np.ndarray:
    """Mask of the rows that are not NULL."""
    if column.null_count == len(column):
        return np.zeros(len(column), dtype=bool)
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False))


def _column_texts(kind: str, column: pa.Array, config: Config) -> pa.StringArray:
    if kind == "string_value":
        return utf8_texts(column, config.value_chars_max)
    if kind in ("bool_value", "int_value", "double_value"):
        return column.cast(pa.string())
    distinct = column.dictionary_encode()
    texts = [_bytes_text(kind, raw, config) for raw in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)


def _bytes_text(kind: str, raw: bytes, config: Config) -> str | None:
    if kind == "bytes_value":
        enough = raw[: config.value_chars_max]  # four characters for three bytes
        return base64.b64encode(enough).decode()[: config.value_chars_max]
    if len(raw) > config.nested_bytes_max:
        return None
    try:
        plain = _plain_nested(kind, raw, 1)
    except ValueError:
        return None
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text[: config.value_chars_max]


def _plain(value: Any, depth: int) -> Any:
    if value.HasField("string_value"):
        return _whole(value.string_value)
    for kind in ("bool_value", "int_value"):
        if value.HasField(kind):
            return getattr(value, kind)
    if value.HasField("double_value"):
        return _plain_double(value.double_value)
    for kind in ("array_value", "kvlist_value"):
        if value.HasField(kind):
            return _plain_nested(kind, getattr(value, kind), depth + 1)
    return base64.b64encode(value.bytes_value).decode() if value.HasField("bytes_value") else None


def _plain_nested(kind: str, raw: bytes, depth: int) -> Any:
    """Raises ValueError where it is malformed or nested too deep."""
    if depth > DEPTH_MAX:
        raise ValueError("nested too deep")
    if kind == "array_value":
        items: Any = parse(ArrayValue, raw)
        return [_plain(value, depth) for value in items.values]
    pairs: Any = parse(KeyValueList, raw)
    return {_whole(pair.key): _plain(pair.value, depth) for pair in pairs.values}


def _plain_double(number: float) -> float | str:
    """JSON has no number for these three; the texts are those of protobuf's JSON."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _whole(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
