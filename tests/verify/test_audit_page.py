"""docs/audit.md, followed to the letter."""

from __future__ import annotations

import json
import os
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

from agentcost_collector.ledger.layout import ENTRY_ROWS, declared
from tests.verify.sealed import BATCHES, SQL, file_of, fill, rewrite, with_column

SQL_WORDS = ("chr", "9", "concat", "concat_ws", "hex16", "hex32", "sha256")
PAGE = SQL.with_name("audit.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    fill(tmp_path / "ledger")
    return tmp_path


def shell(command: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=True,
        cwd=at,
        text=True,
        capture_output=True,
        check=False,
        executable="/bin/bash",
    )


def by_sql(data: Path) -> dict[int, bool]:
    """Step 2 of the page."""
    (variables,) = blocks("sql")
    before = os.getcwd()
    os.chdir(data)
    try:
        with duckdb.connect() as connection:
            for statement in duckdb.extract_statements(variables + SQL.read_text()):
                found = connection.execute(statement)
            names = [column[0] for column in found.description]
            assert names == ["journal", "batch_seq", "rows", "cost_usd", "ok"]
            return {row[1]: row[4] for row in found.fetchall()}
    finally:
        os.chdir(before)


def test_a_sound_ledger_passes(data: Path) -> None:
    """sha256sum has nothing to say, and every batch is ok."""
    done = shell(blocks("sh")[0], data)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert by_sql(data) == dict.fromkeys(range(1, BATCHES + 1), True)


def test_an_edit_is_found_by_both(data: Path) -> None:
    """sha256sum names the file, and the SQL the batch."""
    file = file_of(data / "ledger", 2)
    rewrite(file, lambda rows: with_column(rows, "cost_usd", [None] * rows.num_rows))
    done = shell(blocks("sh")[0], data)
    assert done.returncode == 1
    assert file.name in done.stdout
    assert by_sql(data) == {1: True, 2: False, 3: True}


def test_the_list_of_files_is_hashed_as_the_page_says(data: Path) -> None:
    """The seal is worked out by hand from its line and the digest that sha256sum gives."""
    (chain,) = (data / "ledger" / "seals").iterdir()
    of_files = shell(blocks("sh")[1], data / "ledger").stdout.split()[0]
    seal = json.loads(chain.read_text().splitlines()[0])
    names = ("prev", "journal", "batch_seq", "rows", "cost_usd", "batch_hash")
    facts = [str(seal[name]) for name in names]
    text = "".join(f"{v}\n" for v in ("agentcost.seal/1", *facts, of_files, seal["sealed_at"]))
    assert sha256(text.encode()).hexdigest() == seal["seal"]


def test_the_sql_hashes_every_column() -> None:
    """A line is made of all of an entry but what names its batch and its partition."""
    line = re.search(
        r"AS part,\s*concat_ws\((.*?)\) \|\| lf\(\) AS line", SQL.read_text(), re.DOTALL
    )
    assert line
    words = re.findall(r"[a-z_0-9]+", line[1])
    listed = [word for word in words if word not in SQL_WORDS]
    named_elsewhere = ["journal", "batch_seq", "environment", "date"]
    assert sorted(listed + named_elsewhere) == sorted(declared(ENTRY_ROWS).names)
