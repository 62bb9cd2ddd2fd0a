"""The SQL door: nothing but the ledger's own files can be read, and nothing can be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.query import select
from agentcost_collector.report.views import open_views, write_views
from tests.report.ledgers import booked, write_ledger

SECRET = "the secret of another tenant"

ESCAPES = {
    "absolute path": "SELECT * FROM read_csv('{outside}/secret.csv')",
    "parent folder": "SELECT * FROM read_csv('{data}/../secret.csv')",
    "symbolic link": "SELECT * FROM read_csv('{data}/link.csv')",
    "file as a table": "SELECT * FROM '{outside}/secret.csv'",
    "text": "SELECT * FROM read_text('{outside}/secret.csv')",
    "bytes": "SELECT * FROM read_blob('{outside}/secret.csv')",
    "json": "SELECT * FROM read_json('{outside}/secret.csv')",
    "glob": "SELECT * FROM glob('{outside}/*')",
    "guessing of a form": "SELECT * FROM sniff_csv('{outside}/secret.csv')",
    "another parquet file": "SELECT * FROM read_parquet('{outside}/other.parquet')",
    "glob of the ledger": "SELECT * FROM read_parquet('{data}/ledger/*/*.parquet')",
    "its metadata": "SELECT * FROM parquet_kv_metadata('{outside}/other.parquet')",
    "another database": "SELECT * FROM read_duckdb('{outside}/x.duckdb')",
    "attach": "ATTACH '{outside}/x.duckdb' AS x",
    "http": "SELECT * FROM read_csv('https://localhost:1/x.csv')",
    "install": "INSTALL httpfs",
    "load": "LOAD '{outside}/x.duckdb_extension'",
    "autoload": "SELECT * FROM sqlite_scan('{outside}/x', 'y')",
    "copy to": "COPY (SELECT 1) TO '{outside}/written.csv'",
    "copy to the ledger": "COPY (SELECT 1) TO '{data}/ledger/written.csv'",
    "copy in a select": "WITH x AS (COPY (SELECT 1) TO '{outside}/written.csv') SELECT 1",
    "export": "EXPORT DATABASE '{outside}/written'",
    "import": "IMPORT DATABASE '{outside}'",
    "unlock": "SET lock_configuration = false",
    "access again": "SET enable_external_access = true",
    "more memory": "SET memory_limit = '100GB'",
    "reset": "RESET memory_limit",
    "pragma": "PRAGMA enable_external_access = true",
    "call": "CALL enable_logging(storage = 'file')",
    "log to a file": "SELECT * FROM enable_logging(storage = 'file')",
    "profile to a file": "SELECT * FROM enable_profiling(save_location = '{outside}/written')",
    "secret": "CREATE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "secrets": "SELECT * FROM duckdb_secrets()",
    "environment": "SELECT getenv('HOME')",
    "variable of the caller": "SELECT * FROM SECRET",
    "view in front of ours": "CREATE OR REPLACE TEMP VIEW ledger AS SELECT 1",
    "macro in front of ours": "CREATE MACRO sum(x) AS 0",
    "stacked": "SELECT 1; DROP VIEW ledger",
    "insert in a select": "WITH x AS (INSERT INTO rates SELECT * FROM rates RETURNING *) FROM x",
    "delete in a select": "WITH x AS (DELETE FROM rates RETURNING *) SELECT * FROM x",
    "query in a text": "SELECT * FROM query('COPY (SELECT 1) TO ''{outside}/written.csv''')",
    "memory of the process": "SELECT * FROM arrow_scan(1, 2, 3)",
    "prepare": "PREPARE p AS SELECT 1",
    "transaction": "ROLLBACK",
    "explain analyze": "EXPLAIN ANALYZE SELECT 1",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A ledger, and beside it what nobody may read."""
    outside = tmp_path_factory.mktemp("outside")
    data = outside / "data"
    write_ledger(data, [[booked()]])
    (outside / "secret.csv").write_text(f"a\n{SECRET}\n")
    os.symlink(outside / "secret.csv", data / "link.csv")
    return data


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_is_refused(data: Path, escape: str) -> None:
    """One sentence, without what was to be read; and no file more than before."""
    query = ESCAPES[escape].format(outside=data.parent, data=data)
    before = sorted(data.parent.rglob("*"))
    with pytest.raises(ConfigError) as refused:
        select(open_views(data), query).read_all()
    assert SECRET not in str(refused.value)
    assert sorted(data.parent.rglob("*")) == before


def test_the_door_is_open_for_what_it_is_for(data: Path) -> None:
    """After refusals on the same connection the ledger still answers, whole."""
    connection = open_views(data)
    for escape in ("delete in a select", "absolute path", "unlock"):
        with pytest.raises(ConfigError):
            select(connection, ESCAPES[escape].format(outside=data.parent, data=data)).read_all()
    (row,) = select(connection, "SELECT count(*) AS n FROM ledger").read_all().to_pylist()
    assert row["n"] > 0


def test_a_query_without_end_is_stopped(data: Path) -> None:
    """After the time that was given, in one sentence."""
    endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c"
    with pytest.raises(ConfigError, match=r"longer than 0\.2 seconds"):
        select(open_views(data), endless, timeout_s=0.2).read_all()


def test_too_many_rows_are_refused_not_cut(data: Path) -> None:
    """A sum over a part of the rows would be a lie: more than allowed is no answer at all."""
    query = "FROM range(10)"
    assert select(open_views(data), query, rows_max=10).read_all().num_rows == 10
    with pytest.raises(ConfigError, match="more than 9 rows"):
        select(open_views(data), query, rows_max=9).read_all()


def test_a_duckdb_file_is_not_written_over_anything(data: Path) -> None:
    """Not over a file of another kind, nor through a link to one."""
    with pytest.raises(ConfigError, match="not a DuckDB file"):
        write_views(data, data / "link.csv")
    assert SECRET in (data.parent / "secret.csv").read_text()
