"""The receiver says whether it can take in more, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentcost_collector import readiness
from agentcost_collector.journal.config import Config
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.errors import TransientError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.readiness import Readiness, held
from tests.support.recordings import requests_of
from tests.support.walked import decode

PAYLOADS = [Payload(b"", 0)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a folder of its own."""
    with Journal.open(tmp_path / "journal", Config()) as journal:
        yield journal


def test_ready_is_a_pipeline_that_lives(journal: Journal, tmp_path: Path) -> None:
    """Not before the first look, not without the process, and again not after its end; only
    changes are logged."""
    lock = tmp_path / "pipeline.lock"
    ready = Readiness(journal, tmp_path / "journal", lock)
    assert ready.faults
    with capture_logs() as logged:
        assert not ready.look()
        assert "No pipeline process" in " ".join(ready.faults)
        with held(lock), held(lock):  # an old one that still settles keeps nobody from starting
            assert ready.look()
            assert ready.look()
            assert ready.faults == ()
        assert not ready.look()
        with held(lock):
            assert ready.look()
        ready.stopping()
    assert [line["event"] for line in logged] == ["not_ready", "ready_again"]
    assert ready.faults == ("The service is stopping.",)


def test_a_journal_that_refuses_is_not_ready_until_it_takes_a_write(
    journal: Journal, tmp_path: Path
) -> None:
    """After a failed commit the journal is tried; what senders hear is what probes hear."""
    folder, lock = tmp_path / "journal", tmp_path / "pipeline.lock"
    spans = decode(requests_of("mcp_two_processes"))

    def store(payloads: list[Payload]) -> list[Outcome]:
        journal.append(spans, REJECTS.empty_table())
        return [Outcome()] * len(payloads)

    ready = Readiness(journal, folder, lock)
    watched = ready.watched(store)
    with held(lock):
        watched(PAYLOADS)
        assert ready.look()
        (folder / "journal.sqlite").rename(folder / "away")
        with pytest.raises(TransientError) as refused:
            watched(PAYLOADS)
        assert not ready.look()
        assert ready.faults == (str(refused.value),)
        (folder / "away").rename(folder / "journal.sqlite")
        assert ready.look()


def test_a_disk_that_is_nearly_full_is_not_ready(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While requests are still taken: senders are better sent elsewhere before they are refused."""
    lock = tmp_path / "pipeline.lock"
    ready = Readiness(journal, tmp_path / "journal", lock)
    with held(lock):
        monkeypatch.setattr(readiness, "FREE_BYTES_MIN", 2**62)
        assert not ready.look()
        (fault,) = ready.faults
        assert str(tmp_path / "journal") in fault
        assert "bytes left" in fault
        monkeypatch.undo()
        assert ready.look()
        gone = Readiness(journal, tmp_path / "nowhere", lock)
        assert not gone.look()
        assert "cannot be used: No such file" in gone.faults[0]
