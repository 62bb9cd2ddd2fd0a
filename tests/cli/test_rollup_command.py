"""`agentcost rollup` as a user runs it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, write_ledger


def test_days_are_summed_once(tmp_path: Path) -> None:
    """The second run finds nothing to do; the view is asked by the clock of the settings."""
    write_ledger(tmp_path, [[booked(step_id=str(n), date=date(2026, 3, n)) for n in (1, 2)]])
    for made in (2, 0):
        done = agentcost("rollup", "--data", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{made} of 2 days had new entries")
    query = "SELECT day, steps FROM days"
    zone = {"AGENTCOST_REPORT__TIME_ZONE": "Pacific/Auckland"}
    done = agentcost("sql", query, "--data", tmp_path, "--format", "csv", **zone)
    assert done.stdout.splitlines() == ['"day","steps"', '"2026-03-02",2']


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    """A time zone that nobody knows, and a folder that is not there."""
    zone = {"AGENTCOST_REPORT__TIME_ZONE": "Mars/Olympus"}
    told = agentcost("rollup", "--data", tmp_path, **zone)
    assert (told.returncode, "IANA" in told.stderr) == (2, True)
    assert "no such folder" in refusal("rollup", "--data", tmp_path / "none")
