"""A user's query is one SELECT; anything else is refused in one sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.query import select
from agentcost_collector.report.views import open_views


@pytest.mark.parametrize(
    "query",
    ["SELECT 1 AS x", "FROM (VALUES (1)) t(x)", "WITH a AS (SELECT 1 AS x) SELECT x FROM a;"],
)
def test_a_select_is_answered(tmp_path: Path, query: str) -> None:
    """Every form of a SELECT gives its rows."""
    assert select(open_views(tmp_path), query).read_all().to_pylist() == [{"x": 1}]


def test_big_sums_stay_exact(tmp_path: Path) -> None:
    """A sum of integers beyond 64 bits and of money beyond a double keep every digit."""
    query = (
        "SELECT sum(a) AS a, sum(b) AS b FROM (VALUES"
        " (9223372036854775807, 12345678901234567890.123456789012::DECIMAL(38, 12)),"
        " (9223372036854775807, 0.000000000001)) t(a, b)"
    )
    (row,) = select(open_views(tmp_path), query).read_all().to_pylist()
    assert row == {"a": 2 * (2**63 - 1), "b": Decimal("12345678901234567890.123456789013")}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "exactly one SELECT"),
        ("-- nothing", "exactly one SELECT"),
        ("SELECT 1; SELECT 2", "exactly one SELECT"),
        ("SELECT 1; DROP VIEW ledger", "exactly one SELECT"),
        ("DROP VIEW ledger", "exactly one SELECT"),
        ("CREATE VIEW x AS SELECT 1", "exactly one SELECT"),
        ("CREATE OR REPLACE VIEW steps AS SELECT 1", "exactly one SELECT"),
        ("INSERT INTO budgets DEFAULT VALUES", "exactly one SELECT"),
        ("PRAGMA database_size", "exactly one SELECT"),
        ("COPY ledger TO 'x.csv'", "exactly one SELECT"),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT featur FROM steps", r'"featur" not found.*Candidate bindings: .*"feature"'),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT CAST('x' AS INTEGER)", "Could not convert string 'x'"),
    ],
)
def test_the_rest_is_refused(tmp_path: Path, query: str, says: str) -> None:
    """Not one SELECT, or one that has no answer: one line that says why."""
    with pytest.raises(ConfigError, match=says) as error:
        select(open_views(tmp_path), query).read_all()
    assert "\n" not in str(error.value)


def test_an_error_in_the_middle_is_told(tmp_path: Path) -> None:
    """A value that fails after many rows ends the reading with the reason, not short rows."""
    query = (
        "SELECT CASE WHEN range = 900000 THEN CAST('x' || range AS INTEGER) END AS v"
        " FROM range(1000000)"
    )
    with pytest.raises(ConfigError, match="'x900000'"):
        select(open_views(tmp_path), query).read_all()


def test_rows_are_streamed(tmp_path: Path) -> None:
    """A long answer comes in batches; the first is there before the last is computed."""
    reader = select(open_views(tmp_path), "SELECT range AS x FROM range(1000000000)")
    first = reader.read_next_batch()
    assert isinstance(first, pa.RecordBatch)
    assert first.column("x")[0].as_py() == 0


def test_a_query_that_needs_too_much_memory_says_what_to_do(tmp_path: Path) -> None:
    """What DuckDB says of it (spilling, another storage) helps nobody here."""
    with pytest.raises(ConfigError, match="more than 2GiB of memory; ask for fewer days"):
        select(open_views(tmp_path), "SELECT list(range) FROM range(400_000_000)").read_all()
