"""Every command that takes up the data leaves its trail in the audit log."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from agentcost_collector.cli import app
from tests.cli.command import FIXTURES, agentcost, refusal
from tests.report.ledgers import booked, write_ledger

QUERY = "SELECT feature, sum(cost_usd) FROM steps GROUP BY ALL"

NO_DATA = {
    "send": "takes no data folder: it talks to the service, which logs what it refuses",
    "policy check": "reads one file of the user's",
    "budget check": "reads one file of the user's, and who signed it",
    "check": "replays recordings into a folder that is thrown away",
    "diff": "replays recordings into folders that are thrown away",
    "alert test": "tells the doors something, and nothing of the data",
    "rates check": "reads rate cards, which hold no spend",
    "rates import": "drafts rate cards",
    "rates quote": "reads rate cards",
    "_receiver": "started by serve, which is logged",
    "_pipeline": "started by serve, which is logged",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small ledger."""
    write_ledger(tmp_path / "data", [[booked()]])
    return tmp_path / "data"


def trail(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "audit.jsonl").read_text().splitlines()]


def test_a_read_is_logged(data: Path) -> None:
    """Who, when, the SQL text, how many rows, and how it ended."""
    assert agentcost("sql", QUERY, "--data", data).returncode == 0
    begin, end = trail(data)
    assert begin["who"]["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert begin["command"] == ["sql", QUERY, "--data", str(data)]
    assert (begin["event"], end["event"], begin["run"]) == ("begin", "end", end["run"])
    assert (end["exit"], end["rows"]) == (0, 1)


def test_a_refused_read_is_logged_too(data: Path) -> None:
    """What somebody tried, and that it failed."""
    refusal("sql", "SELECT * FROM read_text('/etc/passwd')", "--data", data)
    begin, end = trail(data)
    assert "/etc/passwd" in begin["command"][1]
    assert end["exit"] == 2


def test_an_unwritable_log_stops_changes_and_is_said_to_readers(data: Path) -> None:
    """What changes anything is refused before it does; a read goes on with a word on stderr."""
    (data / "audit.jsonl").mkdir()
    read = agentcost("sql", QUERY, "--data", data, "--format", "csv")
    assert (read.returncode, "search" in read.stdout) == (0, True)
    assert "not in the audit log" in read.stderr
    assert "nothing was done" in refusal("token", "create", "x", "--data", data)
    assert "nothing was done" in refusal("replay", FIXTURES / "crewai", "--data", data)
    assert not (data / "tokens.jsonl").exists()


def test_the_log_can_be_elsewhere(data: Path, tmp_path: Path) -> None:
    """With the setting `access.audit`."""
    elsewhere = tmp_path / "log" / "audit.jsonl"
    elsewhere.parent.mkdir()
    agentcost("status", "--data", data, AGENTCOST_ACCESS__AUDIT=str(elsewhere))
    assert elsewhere.read_text().count("\n") == 2
    assert not (data / "audit.jsonl").exists()


ARGUMENTS = {
    "serve": ["--rate-cards", "{tmp}/nowhere"],
    "replay": [FIXTURES / "crewai"],
    "restate": ["--from", "2026-03-01"],
    "sql": ["SELECT 1"],
    "duckdb": ["--output", "{tmp}/x.duckdb"],
    "explain": ["a" * 32],
    "allocate": ["{tmp}/shared.yaml"],
    "rates diff": ["{tmp}/cards", "{tmp}/cards"],
    "verify": ["--prices"],
    "quarantine show": ["1"],
    "quarantine retry": ["1"],
    "rates settle": ["--period", "2026-03"],
    "report": ["showback"],
    "budget sign": ["x", "--by", "me"],
    "budget ack": ["x", "--by", "me", "--reason", "r", "--until", "2026-03-01"],
    "token create": ["x"],
    "token revoke": ["x"],
}


def _commands(command: Any, names: tuple[str, ...] = ()) -> list[str]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [" ".join(names)]
    return [found for name, one in inner.items() for found in _commands(one, (*names, name))]


@pytest.mark.parametrize("name", [n for n in _commands(get_command(app)) if n not in NO_DATA])
def test_every_command_leaves_a_trail(data: Path, tmp_path: Path, name: str) -> None:
    """All but those that never see the data. A new command fails here until it calls `reading` or
    `writing` and, where it cannot be called without arguments, has some in ARGUMENTS."""
    arguments = [str(a).format(tmp=tmp_path) for a in ARGUMENTS.get(name, [])]
    agentcost(*name.split(), *arguments, "--data", data)
    assert (data / "audit.jsonl").exists(), "no trail"
    begin, end = trail(data)
    assert begin["command"][: len(name.split())] == name.split()
    assert end["event"] == "end"
