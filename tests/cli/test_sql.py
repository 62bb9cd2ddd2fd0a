"""`agentcost sql` answers from the ledger in every format, and refuses in one sentence."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agentcost_collector.model.money import USD
from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, write_ledger

QUERY = (
    "SELECT feature, sum(cost_usd) AS cost, sum(input_tokens) AS n FROM steps GROUP BY 1 ORDER BY 1"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A ledger in which someone named a feature to harm the reader."""
    folder = tmp_path / "data"
    write_ledger(
        folder,
        [[booked(step_id="1"), booked(step_id="2", feature="=cmd|'/c calc'!A1\x1b[31m")]],
    )
    return folder


def test_a_table_for_people(data: Path) -> None:
    """The default format: columns, exact amounts, no escape sequences."""
    done = agentcost("sql", QUERY, "--data", data)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[3].split() == ["search", "0.00035", "100"]
    assert "\x1b" not in done.stdout


def test_csv_for_spreadsheets(data: Path) -> None:
    """Text that could run as a formula does not; amounts have all digits."""
    assert agentcost("sql", QUERY, "--data", data, "--format", "csv").stdout == (
        '"feature","cost","n"\n'
        "\"'=cmd|'/c calc'!A1[31m\",0.000350000000,100\n"
        '"search",0.000350000000,100\n'
    )


def test_json_for_programs(data: Path) -> None:
    """Sums of money and of integers beyond 64 bits are strings, so no reader rounds them."""
    rows = json.loads(agentcost("sql", QUERY, "--data", data, "--format", "json").stdout)
    assert rows[1] == {"feature": "search", "cost": "0.000350000000", "n": "100"}


def test_parquet_for_engines(data: Path, tmp_path: Path) -> None:
    """A Parquet file keeps type and value of money; to the terminal it is refused."""
    output = tmp_path / "out.parquet"
    done = agentcost("sql", QUERY, "--data", data, "--format", "parquet", "--output", output)
    assert (done.returncode, done.stdout) == (0, "")
    table = pq.read_table(output)
    assert table.schema.field("cost").type == USD
    assert table["cost"].to_pylist() == [Decimal("0.000350000000")] * 2
    assert "--output" in refusal("sql", QUERY, "--data", data, "--format", "parquet")


def test_a_file_is_whole_or_not_there(data: Path, tmp_path: Path) -> None:
    """A query that fails half way leaves the file of before and nothing else."""
    output = tmp_path / "out.csv"
    agentcost("sql", QUERY, "--data", data, "--format", "csv", "--output", output)
    before = output.read_text()
    assert before.startswith('"feature"')
    failing = (
        "SELECT CASE WHEN range = 300000 THEN CAST('x' AS INTEGER) END FROM range(400000)"
        " WHERE range % 2 = random() * 0"
    )
    refusal("sql", failing, "--data", data, "--format", "csv", "--output", output)
    assert output.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out.csv"]


def test_a_pipe_or_device_is_written_to_not_replaced(data: Path, tmp_path: Path) -> None:
    """A named pipe gets the rows and stays a pipe; a link stays a link to what is written."""
    pipe, link, target = (tmp_path / name for name in ("pipe", "link.csv", "target.csv"))
    os.mkfifo(pipe)
    link.symlink_to(target)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text)
        asked = ("sql", "SELECT 1 AS one", "--data", data, "--format", "csv", "--output")
        assert agentcost(*asked, pipe).returncode == 0
        assert read.result() == '"one"\n1\n'
    assert pipe.is_fifo()
    assert agentcost(*asked, link).returncode == 0
    assert link.is_symlink()
    assert target.read_text() == '"one"\n1\n'


def test_a_query_may_begin_with_a_comment(data: Path) -> None:
    """`-- ...` in front of a query is an SQL comment, not an option; options work as ever."""
    for query in (
        "-- who pays\nSELECT 7 AS n",
        "--who pays\nSELECT 7 AS n",
        "-- a=b\nSELECT 7 AS n",
    ):
        done = agentcost("sql", query, "--data", data, "--format=csv")
        assert (done.returncode, done.stdout) == (0, '"n"\n7\n'), done.stderr
    assert "No such option" in agentcost("sql", "SELECT 1", "--nope", "--data", data).stderr
    assert "exactly one SELECT" in refusal("sql", "-- nothing else", "--data", data)


def test_rates_are_the_cards_in_use(data: Path, tmp_path: Path) -> None:
    """The view `rates` shows every dated price of the configured cards, each valid to the next."""
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "own.yaml").write_text(CARD)
    query = (
        "SELECT unit, band, amount, per, CAST(valid_from AS DATE) AS since,"
        " CAST(valid_to AS DATE) AS until FROM rates WHERE sku = 'own/model'"
        " ORDER BY unit, valid_from"
    )
    rows = agentcost(
        "sql", query, "--data", data, "--format", "csv", AGENTCOST_RATE_CARDS=str(cards)
    ).stdout
    by_flag = agentcost("sql", query, "--data", data, "--format", "csv", "--rate-cards", cards)
    assert by_flag.stdout == rows
    assert rows.splitlines()[1:] == [
        '"token.input",,2.500000000000000000,1000000,"2024-01-01","2025-01-01"',
        '"token.input",,2.000000000000000000,1000000,"2025-01-01",',
        '"token.output",,0.000001000000000001,1,"2024-01-01","2026-01-01"',
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT featur FROM steps", '"featur" not found'),
        ("SELECT * FROM read_csv('/etc/passwd')", "Permission Error"),
        ("DROP VIEW steps", "exactly one SELECT"),
        ("SELECT 1; SELECT 2", "exactly one SELECT"),
        ("COPY steps TO '/tmp/x.csv'", "exactly one SELECT"),
        ("ATTACH '/tmp/x.db'", "exactly one SELECT"),
        ("SELECT '\udcff'", "not valid UTF-8"),
    ],
)
def test_a_query_that_cannot_be(data: Path, query: str, says: str) -> None:
    """What the engine says, in one line, exit code 2."""
    assert says in refusal("sql", query, "--data", data)


def test_no_data(tmp_path: Path) -> None:
    """A folder that is not there is named; an empty one has empty views."""
    gone = tmp_path / "gone"
    assert f"{gone}: there is no such folder" in refusal("sql", "SELECT 1", "--data", gone)
    assert not gone.exists()
    done = agentcost(
        "sql", "SELECT sum(cost_usd) AS c FROM steps", "--data", tmp_path, "--format", "json"
    )
    assert json.loads(done.stdout) == [{"c": None}]


def test_where_nothing_can_be_written(data: Path, tmp_path: Path) -> None:
    """An output that cannot be made is named."""
    for name, format_ in (("out.csv", "csv"), ("out.parquet", "parquet")):
        output = tmp_path / "no/such" / name
        assert f"{output}: cannot be written" in refusal(
            "sql", "SELECT 1", "--data", data, "--format", format_, "--output", output
        )


CARD = """
schema: agentcost.ratecard/v1
card_id: own
kind: list
issuer: own
currency: USD
sources: {s: {url: "https://example.org", retrieved: 2026-01-01T00:00:00Z}}
skus:
  - sku: own/model
    match: {provider: [own], operation: [chat], model: {equals: [own-model]}}
    lines:
      - id: input
        kind: token.input
        per: 1000000
        prices:
          - {from: 2024-01-01T00:00:00Z, amount: "2.50", src: s}
          - {from: 2025-01-01T00:00:00Z, amount: "2", src: s}
      - id: output
        kind: token.output
        prices:
          - from: 2024-01-01T00:00:00Z
            to: 2026-01-01T00:00:00Z
            amount: "0.000001000000000001"
            src: s
"""
