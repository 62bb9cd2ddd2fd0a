"""`agentcost duckdb` writes a file that any DuckDB client can ask."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb

from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, write_ledger


def test_a_file_with_the_views(tmp_path: Path) -> None:
    """Another client, started elsewhere, gets the same sums; writing it again is allowed."""
    data, output = tmp_path / "data", tmp_path / "views.duckdb"
    write_ledger(data, [[booked()]])
    for _ in range(2):
        done = agentcost("duckdb", "--data", data, "--output", output)
        assert (done.returncode, done.stderr) == (0, "")
    with duckdb.connect(str(output), read_only=True) as connection:
        total = connection.execute("SELECT sum(cost_usd) FROM runs").fetchone()
    assert total == (Decimal("0.000350000000"),)


def test_a_link_stays_one(tmp_path: Path) -> None:
    """Where the output is a link, the file that it points to is written."""
    link, target = tmp_path / "link.duckdb", tmp_path / "target.duckdb"
    link.symlink_to(target)
    assert agentcost("duckdb", "--data", tmp_path, "--output", link).returncode == 0
    assert link.is_symlink()
    assert target.is_file()
    assert not list(tmp_path.glob(".*"))


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A file that is not ours is not replaced, and a missing data folder is named."""
    notes = tmp_path / "notes.duckdb"
    notes.write_text("mine")
    assert "choose another name" in refusal("duckdb", "--data", tmp_path, "--output", notes)
    assert notes.read_text() == "mine"
    nowhere = tmp_path / "no/such/x.duckdb"
    assert f"{nowhere}: cannot be written" in refusal(
        "duckdb", "--data", tmp_path, "--output", nowhere
    )
    assert "not valid UTF-8" in refusal("duckdb", "--data", tmp_path, "--output", "x\udcff")
    assert "no such folder" in refusal("duckdb", "--data", tmp_path / "x", "--output", notes)
