"""Rows as text: a table for people, CSV for spreadsheets, JSON for programs, Markdown
for pages of a code host."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentcost_collector.cli.text import amount, printable

TABLE_ROWS_MAX = 10_000

_FORMULA = re.compile(r"[\s'\"‘’“”＇＂\u00ad\u200b-\u200d\u2060\ufeff]*[=+\-@＝＋－＠−]")
"""Text that a spreadsheet may run: what it skips at the start of a cell, then a sign."""
_MARKUP = re.compile(r"[^\w .,:;/()+%$'-]|(?<!\w)_|_(?!\w)", re.ASCII)
_WIDE = 100_000


def write_table(rows: pa.RecordBatchReader, out: TextIO) -> None:
    """A table in the width of the terminal; elsewhere as wide as it needs. Ends after
    TABLE_ROWS_MAX rows and says so."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for field in rows.schema:
        right = pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
        justify = "right" if right or pa.types.is_floating(field.type) else "left"
        table.add_column(Text(printable(field.name)), justify=justify, overflow="fold")  # type: ignore[arg-type]
    rest, number = "", -1
    for number, row in enumerate(_rows(rows)):
        if number == TABLE_ROWS_MAX:
            rest = f"only the first {TABLE_ROWS_MAX} rows are shown; --format csv gives all\n"
            break
        table.add_row(*(Text(_cell(value)) for value in row))
    _Console(file=out, width=None if out.isatty() else _WIDE, highlight=False).print(table)
    out.write(rest if number >= 0 else "no rows\n")


def write_csv(rows: pa.RecordBatchReader, out: TextIO) -> None:
    """Header, then rows. Text is quoted; text that a spreadsheet would take for a formula gets a
    leading apostrophe, control characters are left out. NULL is empty, empty text is ""."""
    out.write(",".join(_quoted(name) for name in rows.schema.names) + "\n")
    for batch in rows:
        for row in zip(*map(_csv_column, batch.columns), strict=True):
            out.write(",".join(row) + "\n")


def write_markdown(rows: pa.RecordBatchReader, out: TextIO) -> None:
    """A table of GitHub's Markdown. Names and values stay text, whatever is in them."""
    numbers = [pa.types.is_integer(f.type) or pa.types.is_decimal(f.type) for f in rows.schema]
    rules = ["---:" if number else "---" for number in numbers]
    header = [markdown_text(name) for name in rows.schema.names]
    for line in (header, rules, *([markdown_text(_cell(v)) for v in row] for row in _rows(rows))):
        out.write(f"| {' | '.join(line)} |\n")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no link, image, markup or mention comes of it."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", printable(text))


def write_json(rows: pa.RecordBatchReader, out: TextIO) -> None:
    """An array with one object per row. Integers are numbers, decimals strings with all digits,
    times ISO 8601 in UTC, bytes base64; what is not finite is a string."""
    names = [json.dumps(name).replace("%", "%%") for name in _distinct(rows.schema.names)]
    line = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
    separator = "[\n"
    for batch in rows:
        for row in zip(*map(_json_column, batch.columns), strict=True):
            out.write(separator + line % row)
            separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _rows(rows: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    for batch in rows:
        yield from zip(*(_values(column) for column in batch.columns), strict=True)


def _values(column: pa.Array) -> list[Any]:
    """Python values; times as ISO 8601 text, which needs no time zone database."""
    if pa.types.is_timestamp(column.type):
        zone = "Z" if column.type.tz else ""
        text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
        text = pc.replace_substring(text, " ", "T", max_replacements=1)
        return pc.binary_join_element_wise(text, zone, "").to_pylist()
    if pa.types.is_map(column.type):
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    return column.to_pylist()


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return amount(value)
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else _nested(value))


def _csv_column(column: pa.Array) -> list[str]:
    values = _values(column)
    if pa.types.is_string(column.type):  # few distinct texts, each of which is looked at once
        quoted = {value: _csv_value(value) for value in set(values)}
        return [quoted[value] for value in values]
    return [_csv_value(value) for value in values]


def _csv_value(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case Decimal():
            return format(value, "f")
        case str():
            return _quoted(value)
        case _:
            return _quoted(_nested(value))


def _quoted(text: str) -> str:
    text = printable(text)
    if _FORMULA.match(text):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


def _nested(value: Any) -> str:
    plain = _json_value(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _json_column(column: pa.Array) -> list[str]:
    values = _values(column)
    if pa.types.is_string(column.type):  # few distinct texts
        texts = {value: json.dumps(value) for value in set(values)}
        return [texts[value] for value in values]
    if pa.types.is_integer(column.type):
        return ["null" if value is None else str(value) for value in values]
    if pa.types.is_decimal(column.type):
        return ["null" if value is None else f'"{value:f}"' for value in values]
    return [json.dumps(_json_value(value), allow_nan=False) for value in values]


def _json_value(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case float() if not math.isfinite(value):
            return str(value)
        case None | str() | bool() | int() | float():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(key): _json_value(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_json_value(inner) for inner in value]
        case timedelta():
            return value.total_seconds()
        case _:  # dates and times
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _distinct(names: list[str]) -> list[str]:
    """Column names of a SELECT may repeat; the keys of an object may not."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
