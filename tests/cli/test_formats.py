"""Each format shows the same rows: exact, and harmless where they are opened."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TextIO

import pyarrow as pa
import pytest

from agentcost_collector.cli.formats import TABLE_ROWS_MAX, write_csv, write_json, write_table
from agentcost_collector.model.money import USD

Writer = Callable[[pa.RecordBatchReader, TextIO], None]
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ISO = "2026-03-01T12:30:00"


def _written(writer: Writer, table: pa.Table) -> str:
    out = io.StringIO()
    writer(table.to_reader(), out)
    return out.getvalue()


def _column(value: Any, of_type: pa.DataType) -> pa.Table:
    return pa.table({"x": pa.array([value], of_type)})


@pytest.mark.parametrize(
    ("value", "of_type", "in_csv", "in_json"),
    [
        (None, pa.string(), "", None),
        ("", pa.string(), '""', ""),
        ('say "x", y', pa.string(), '"say ""x"", y"', 'say "x", y'),
        (True, pa.bool_(), "true", True),
        (2**63 - 1, pa.int64(), "9223372036854775807", 2**63 - 1),
        (1.5, pa.float64(), "1.5", 1.5),
        (float("nan"), pa.float64(), "nan", "nan"),
        (Decimal("0.000000000001"), USD, "0.000000000001", "0.000000000001"),
        (Decimal(2**64), pa.decimal128(38, 0), str(2**64), str(2**64)),
        (AT, pa.timestamp("us", tz="UTC"), f'"{ISO}.000000Z"', f"{ISO}.000000Z"),
        (AT, pa.timestamp("us", tz="Mars/Olympus"), f'"{ISO}.000000Z"', f"{ISO}.000000Z"),
        (1, pa.timestamp("ns"), '"1970-01-01T00:00:00.000000001"', "1970-01-01T00:00:00.000000001"),
        (date(2026, 3, 1), pa.date32(), '"2026-03-01"', "2026-03-01"),
        (b"\x00\xff", pa.binary(), '"AP8="', "AP8="),
        ([("k", "v")], pa.map_(pa.string(), pa.string()), '"{""k"": ""v""}"', {"k": "v"}),
        ([Decimal("1.50")], pa.list_(pa.decimal128(5, 2)), '"[""1.50""]"', ["1.50"]),
        ({"a": 1}, pa.struct([("a", pa.int64())]), '"{""a"": 1}"', {"a": 1}),
    ],
)  # fmt: skip
def test_every_kind_of_value(value: Any, of_type: pa.DataType, in_csv: str, in_json: Any) -> None:
    """Every type that a query can give has one exact form in CSV and in JSON."""
    table = _column(value, of_type)
    assert _written(write_csv, table) == f'"x"\n{in_csv}\n'
    assert json.loads(_written(write_json, table)) == [{"x": in_json}]


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        " =1",
        "\t=1",
        "\r=1",
        '"=1',
        "'=1",
        "＝1",
        "＋1",
        "－1",
        "＠SUM(A1)",
        "\u00a0=1",
        "\u3000=1",
        "\ufeff=1",
        "\u200b=1",
        "\n=1",
        "“=1",
        "\u202e=1",
        "−1",
        "\x00=1",
        "=\x1b[2J",
    ],
)
def test_text_is_no_formula(text: str) -> None:
    """A cell of text that a spreadsheet would run begins with an apostrophe; numbers do not."""
    table = pa.table({text: pa.array([text]), "n": pa.array([-1])})
    head, row = csv.reader(io.StringIO(_written(write_csv, table)))
    assert head[0].startswith("'")
    assert row[0].startswith("'")
    assert row[1] == "-1"
    assert "\x1b" not in row[0]


def test_csv_is_read_back_row_by_row() -> None:
    """Line ends and quotes inside of text do not make rows or columns."""
    texts = ["a\nb", 'c","d', "e\r\nf", "plain"]
    rows = list(csv.reader(io.StringIO(_written(write_csv, pa.table({"x": texts, "y": texts})))))
    assert [len(row) for row in rows] == [2] * 5


def test_json_keeps_columns_of_one_name_and_control_characters() -> None:
    """No column is lost, and hostile text is escaped, not changed."""
    table = pa.table([pa.array(["\x1b[2J"]), pa.array([2])], names=["a", "a"])
    text = _written(write_json, table)
    assert json.loads(text) == [{"a": "\x1b[2J", "a_2": 2}]
    assert "\x1b" not in text


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_json_is_one_array(rows: int) -> None:
    """Any number of rows is a valid array, one object a line."""
    text = _written(write_json, pa.table({"x": pa.array(range(rows), pa.int64())}))
    assert json.loads(text) == [{"x": n} for n in range(rows)]


def test_a_table_shows_all_of_a_cell() -> None:
    """Off a terminal nothing is cut or wrapped; hostile names and cells are only text."""
    table = pa.table(
        {
            "[red]name\x1b": ["[bold]x[/bold]" + "y" * 500, "\x1b]0;title\x07z", None],
            "cost_usd": pa.array([Decimal("0.5"), None, Decimal("-1.25")], USD),
        }
    )
    lines = _written(write_table, table).splitlines()
    assert lines[0].split() == ["[red]name", "cost_usd"]
    assert lines[2].split() == ["[bold]x[/bold]" + "y" * 500, "0.5"]
    assert lines[3].split() == ["]0;titlez"]
    assert lines[4].split() == ["-1.25"]


def test_a_table_ends_somewhere() -> None:
    """More rows than anyone reads are not shown, and that is said."""
    lines = _written(write_table, pa.table({"x": range(TABLE_ROWS_MAX + 1)})).splitlines()
    assert lines[-2].strip() == str(TABLE_ROWS_MAX - 1)
    assert f"only the first {TABLE_ROWS_MAX} rows" in lines[-1]
    assert "first" not in _written(write_table, pa.table({"x": range(3)}))
