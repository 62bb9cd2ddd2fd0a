"""The canonical text of entries, against docs/audit.md written out row by row."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from agentcost_collector.ledger.canonical import KEYS, NUMBERS, TEXTS, Lines
from agentcost_collector.model.schemas import ENTRIES
from tests.ledger.tables import entries_table, entry

ODD = ("", "tab\tline\nfeed\\", "ü€🙂", None, "\\N", "plain")
ELSEWHERE = {"journal", "batch_seq", "environment", "date"}


def rows_of(count: int) -> list[dict]:
    """Entries of which some columns are alike in many, some NULL, some hard to write."""
    return [
        entry(
            number // 3,
            number,
            Decimal(-number).scaleb(-12) if number % 5 else None,
            name=ODD[number % 6],
            path=f"root;{number}",
            model=ODD[number % 4],
            labels=None if number % 2 else '{"a":"b"}',
            request_bytes=-number if number % 3 else None,
            duration_ms=Decimal(number).scaleb(-3),
            output_tokens=None if number % 2 else -number,
            row_no=number,
        )
        for number in range(count)
    ]


def count_of(value: object, of_type: pa.DataType) -> int:
    """A number as its smallest digits."""
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(value, Decimal):
        return int(value.scaleb(of_type.scale))
    assert isinstance(value, int)
    return value


def line_of(row: dict) -> str:
    def text(name: str) -> str:
        value = row[name]
        if value is None:
            return r"\N"
        if isinstance(value, str):
            return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n")
        return str(count_of(value, ENTRIES.field(name).type))

    def digits(name: str) -> str:
        of_type = ENTRIES.field(name).type
        size = 32 if pa.types.is_decimal(of_type) and of_type.precision > 18 else 16
        if row[name] is None:
            return "-" * size
        return f"{count_of(row[name], of_type) % 16**size:0{size}x}"

    def digest(names: list[str]) -> str:
        return hashlib.sha256("\t".join(map(text, names)).encode()).hexdigest()

    of_facts = [n for n in ENTRIES.names if n not in {*KEYS, *NUMBERS, *TEXTS, *ELSEWHERE}]
    numbers = "".join(map(digits, NUMBERS))
    return "\t".join([*map(text, KEYS), numbers, digest([*TEXTS]), digest(of_facts)]) + "\n"


@pytest.mark.parametrize("count", [1, 700, 4_500])
@pytest.mark.parametrize("coded", [False, True])
def test_lines_are_what_the_page_says(count: int, coded: bool) -> None:
    """Whether few rows or many, whether text comes coded or not: each entry's line is the one that
    docs/audit.md describes, also of rows in the middle of a table."""
    table = entries_table([*rows_of(3), *rows_of(count)])
    expected = [line_of(row) for row in table.slice(3).to_pylist()]
    for name in ("name", "model", "entry_reason") if coded else ():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table[name].dictionary_encode())
    lines = Lines(table.slice(3))
    assert bytes(lines.text(0, count)).decode() == "".join(expected)
    assert bytes(lines.text(count - 1, count)).decode() == expected[-1]
