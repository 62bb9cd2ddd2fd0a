"""`agentcost ledger repair`."""

from pathlib import Path

import pytest

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from tests.cli.command import agentcost
from tests.ledger.tables import NOW, entries_table, entry, span, spans_table

LOG = Path("ledger/ledger/_delta_log")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three commits; the second wrote a checkpoint."""
    with Ledger.open(tmp_path / "ledger", "journal", Config(checkpoint_every=2)) as ledger:
        for n in (1, 2, 3):
            ledger.commit(spans_table([span(n)]), entries_table([entry(n)]), {"position": n}, NOW)
    return tmp_path


def repair(data: Path, *words: str) -> tuple[int, str, str]:
    done = agentcost("ledger", "repair", *words, "--data", data)
    return done.returncode, done.stdout, done.stderr


def contents(data: Path) -> dict[str, bytes]:
    within = (data / "ledger").rglob("*")
    files = [p for p in within if p.is_file() and p.name not in ("lock", "turn")]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def test_a_sound_ledger_is_left_alone(data):
    """Nothing is found, nothing is changed."""
    before = contents(data)
    assert repair(data) == (0, "nothing to repair\n", "")
    assert contents(data) == before


def test_a_torn_commit_is_named_and_moved_aside(data):
    """An entry that no commit returned for: a dry run only says so, then it goes, once."""
    torn = data / LOG / f"{4:020d}.json"
    torn.write_text('{"commitInfo":{"agentc')
    before = contents(data)
    code, said, _ = repair(data, "--dry-run")
    assert code == 0
    assert str(torn) in said
    assert "would be moved aside" in said
    assert contents(data) == before
    code, said, _ = repair(data)
    assert code == 0
    moved = data / "ledger" / "torn" / f"ledger-{torn.name}.0"
    assert f"moved to {moved}" in said
    assert moved.read_text() == '{"commitInfo":{"agentc'
    assert not torn.exists()
    assert repair(data) == (0, "nothing to repair\n", "")


def test_a_torn_checkpoint_goes_with_its_pointer(data):
    """The log entries say the same: both are moved aside, and the ledger opens."""
    (checkpoint,) = sorted((data / LOG).glob("*.checkpoint.parquet"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-50])
    code, said, _ = repair(data)
    assert code == 0
    assert said.count("moved to") == 2
    assert not checkpoint.exists()
    with Ledger.open(data / "ledger", "journal", Config()) as ledger:
        assert ledger.state == {"position": 3}


@pytest.mark.parametrize("version", [1, 3])
def test_what_was_acknowledged_is_never_moved(data, version):
    """An old entry or the newest: the sentence says that only a backup helps, exit code 1."""
    entry_file = data / LOG / f"{version:020d}.json"
    entry_file.write_bytes(entry_file.read_bytes()[:40])
    before = contents(data)
    code, said, complaint = repair(data)
    assert (code, said) == (1, "")
    assert str(entry_file) in complaint
    assert "restore this file from a backup" in complaint
    assert contents(data) == before
