"""The canonical text of entries, which seals are made of. See docs/audit.md.

An entry is one line of seven fields with a tab between, and a line feed:

    KEYS      four ids, each a field of text
    NUMBERS   one field: each number as 16 hex digits, amounts of money as 32, two's complement;
              dashes for NULL. Decimals count their smallest digit (1e-12 dollars), times are
              microseconds since 1970 UTC
    TEXTS     SHA-256 of the text of these columns, which are mostly different in each entry
    FACTS     SHA-256 of the text of all other columns, which are alike in many entries

The text of several columns has a tab between them. A value is written as it is, with backslash, tab
and line feed as \\\\ \\t \\n; whole numbers in decimal digits, decimals as above; NULL is \\N.

`journal` and `batch_seq` are in the seal, `environment` and `date` in the name of the partition.

Entries of a batch are numbered in the order of their traces, and data files are sorted by trace: so
the lines of one batch come in the right order from any file that holds them, also from one that
merges many batches, and are hashed as they come. Each partition of a batch has a digest of its own.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.ledger.layout import ENTRY_ROWS
from agentcost_collector.model.tables import codes

FORM = "agentcost.entries/1"
"""Names these rules and the columns below."""

KEYS = ("trace_id", "span_id", "parent_span_id", "step_id")
NUMBERS = (
    *("started_at", "ended_at", "duration_ms", "booked_at", "row_no", "input_tokens"),
    *("cache_read_tokens", "cache_write_short_tokens", "output_tokens", "reasoning_tokens"),
    *("reported_cost_usd", "cost_usd", "input_cost_usd", "cache_cost_usd", "output_cost_usd"),
    *("list_cost_usd", "original_cost"),
)
TEXTS = ("name", "path", "parent_run_id", "labels", "session_id", "user_id", "response_id")
ELSEWHERE = ("journal", "batch_seq", "environment", "date")
FACTS = tuple(
    name for name in ENTRY_ROWS.rows.names if name not in {*KEYS, *NUMBERS, *TEXTS, *ELSEWHERE}
)

_NULL = "\\N"
_TEXT = pa.string()
# with a type, or Arrow guesses it at every call, for which it looks for a package on the disk
_NOTHING, _TAB, _END = pa.scalar("", _TEXT), pa.scalar("\t", _TEXT), pa.scalar("\n", _TEXT)
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"))
_LONG_DIGITS = 18  # what surely fits into 64 bits
_SLICE = 65_536
_FEW = 4000  # rows of which finding the equal ones would cost more
_ROWS = 2048  # so that their numbers stay in the processor's cache
_CODES_MAX = 2**62


def slices(rows: pa.Table) -> Iterator[pa.Table]:
    """`rows` in slices whose text stays far below 2 GiB."""
    for start in range(0, rows.num_rows, _SLICE):
        yield rows.slice(start, _SLICE)


class Lines:
    """The lines of some entries."""

    def __init__(self, rows: pa.Table) -> None:
        """Of ENTRIES; text may be coded. Cost: about 2 us a row, 1 ms a call."""
        fields = [_tokens(_column(rows, name)) for name in KEYS]
        fields += [_numbers(rows), _digests(rows, TEXTS), _digests(rows, FACTS)]
        fields[-1] = pc.binary_join_element_wise(fields[-1], _NOTHING, _END)
        _, offsets, self._data = _joined(fields, rows.num_rows).buffers()
        self._begins = memoryview(offsets).cast("i")

    def text(self, begin: int, end: int) -> memoryview:
        """Those of the rows `begin` to `end`, one after the other."""
        return memoryview(self._data or b"")[self._begins[begin] : self._begins[end]]


@dataclass
class PartHash:
    """Digest of the entries that one batch has in one partition, fed in the order of row_no."""

    rows: int = 0
    last_row_no: int = -1
    _state: Any = field(default_factory=hashlib.sha256)

    def add(self, lines: Lines, begin: int, end: int, last_row_no: int) -> None:
        """The rows `begin` to `end` of `lines`."""
        self._state.update(lines.text(begin, end))
        self.rows += end - begin
        self.last_row_no = last_row_no

    def hexdigest(self) -> str:
        """Of what was added so far."""
        return str(self._state.hexdigest())


def batch_hash(parts: Mapping[str, PartHash]) -> str:
    """Digest of a batch: of a line for each partition, which says its rows and their digest."""
    return sha256_lines(
        [FORM, *(f"{name} {parts[name].rows} {parts[name].hexdigest()}" for name in sorted(parts))]
    )


def sha256_lines(of: Iterable[str]) -> str:
    """Digest of lines, each ended by a line feed."""
    return hashlib.sha256("".join(f"{line}\n" for line in of).encode()).hexdigest()


def _numbers(rows: pa.Table) -> pa.Array:
    """The field of NUMBERS."""
    columns = [_words(_column(rows, name)) for name in NUMBERS]
    width = 16 * sum(len(words) for words, _ in columns)
    text = np.empty((rows.num_rows, width), np.uint8)
    for begin in range(0, rows.num_rows, _ROWS):
        block = text[begin : begin + _ROWS]
        words = np.empty((len(block), width // 16), ">i8")
        at = 0
        for values, _ in columns:
            for value in values:
                words[:, at] = value[begin : begin + _ROWS]
                at += 1
        block[:] = np.frombuffer(binascii.hexlify(words.data), np.uint8).reshape(block.shape)
        at = 0
        for values, is_null in columns:
            end = at + 16 * len(values)
            if is_null is not None:
                block[is_null[begin : begin + _ROWS], at:end] = ord("-")
            at = end
    offsets = np.arange(rows.num_rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows.num_rows, pa.py_buffer(offsets), pa.py_buffer(text))


def _words(values: pa.Array) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Numbers as one or two columns of 64 bits, the high one first, and which of them are NULL."""
    is_null = None
    if values.null_count:
        is_null = _plain(values.is_null().cast(pa.int8())).astype(bool)
    if pa.types.is_decimal(values.type):
        pairs = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)
        pairs = pairs[values.offset : values.offset + len(values)]
        if values.type.precision <= _LONG_DIGITS:
            return [pairs[:, 0]], is_null
        return [pairs[:, 1], pairs[:, 0]], is_null
    return [_plain(values)], is_null


def _plain(values: pa.Array) -> np.ndarray:
    """Signed integers or times as they lie in memory; anything for NULL."""
    whole = np.frombuffer(values.buffers()[1], f"i{values.type.bit_width // 8}")
    return whole[values.offset : values.offset + len(values)]


def _digests(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    """SHA-256 of the text of these columns; in many rows worked out once for equal ones."""
    if rows.num_rows <= _FEW:
        return _each_digest(rows, names)
    alike = _alike(rows, names)
    first = np.empty(len(alike.dictionary), np.int64)
    code = _plain(alike.indices)
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)
    few = rows.select(names).take(pa.array(first))
    return _each_digest(few, names).take(alike.indices)


def _each_digest(rows: pa.Table, names: Sequence[str]) -> pa.Array:
    """The same from the text of every row: about 0.02 us a column, and 1 us a distinct text."""
    fields = [_tokens(_column(rows, name)) for name in names]
    texts = _joined(fields, rows.num_rows).dictionary_encode()
    _, offsets, data = texts.dictionary.buffers()
    ends = memoryview(offsets).cast("i")[: len(texts.dictionary) + 1].tolist()
    text = memoryview(data or b"")
    digests = [hashlib.sha256(text[begin:end]).hexdigest() for begin, end in pairwise(ends)]
    return pa.array(digests, _TEXT).take(texts.indices)


def _alike(rows: pa.Table, names: Sequence[str]) -> pa.DictionaryArray:
    """A code for each row, equal where the values of all these columns are."""
    code, size = np.zeros(rows.num_rows, np.int64), 1
    for name in names:
        values = codes(_column(rows, name))
        of_column, count = values.indices, len(values.dictionary)
        if len(values) in (values.null_count, 0) or (count == 1 and not values.null_count):
            continue
        if values.null_count:
            of_column, count = of_column.fill_null(count), count + 1
        if size * count > _CODES_MAX:
            fewer = pa.array(code).dictionary_encode()
            code, size = _plain(fewer.indices).astype(np.int64), len(fewer.dictionary)
        code *= count
        code += _plain(of_column)
        size *= count
    return pa.array(code).dictionary_encode()


def _joined(fields: Sequence[pa.Array | pa.Scalar], rows: int) -> pa.Array:
    """These fields of every row with a tab between."""
    if all(isinstance(each, pa.Scalar) for each in fields):
        fields = [pa.repeat(fields[0], rows), *fields[1:]]
    return pc.binary_join_element_wise(
        *fields, _TAB, null_handling="replace", null_replacement=_NULL
    )


def _tokens(values: pa.Array) -> pa.Array | pa.Scalar:
    """Each value as text, NULL as NULL."""
    of_type = values.type
    if values.null_count == len(values):
        return pa.scalar(None, _TEXT)
    if pa.types.is_dictionary(of_type):
        return _tokens(values.dictionary).take(values.indices)
    if pa.types.is_decimal(of_type):  # the same digits without a decimal point
        whole = pa.decimal128(of_type.precision, 0)
        values = pa.Array.from_buffers(whole, len(values), values.buffers(), offset=values.offset)
    elif pa.types.is_string(of_type):
        return _escaped(values)
    return values.cast(_TEXT)


def _escaped(texts: pa.Array) -> pa.Array:
    _, offsets, data = texts.buffers()
    begins = memoryview(offsets).cast("i")
    text = bytes(memoryview(data or b"")[begins[texts.offset] : begins[texts.offset + len(texts)]])
    for plain, escaped in _ESCAPES:
        if plain.encode() in text:
            texts = pc.replace_substring(texts, plain, escaped)
    return texts


def _column(rows: pa.Table, name: str) -> pa.Array:
    column = rows[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
