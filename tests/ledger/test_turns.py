"""The ledger has one writer; who asks for it gets it when the writer gives way or ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.turns import is_wanted
from agentcost_collector.model.errors import ConfigError, TransientError
from tests.ledger.tables import NOW, entries_table, entry, span, spans_table
from tests.support.recordings import ROOT


class GivenUpError(Exception):
    """Ends the asking."""


@contextmanager
def asker(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that asks for the ledger and keeps it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.turn_asker", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def line_when_it_has_it(process: subprocess.Popen[str]) -> str:
    return next(line for line in iter(lambda: line_of(process), "") if "waiting" not in line)


def refuse(holder: str) -> None:
    raise GivenUpError(holder)


def test_a_writer_sees_that_it_is_asked_and_its_ledger_goes_over(tmp_path):
    """It is told who waits only by `wanted`; the asker is told who has it, and gets it at close."""
    with Ledger.open(tmp_path, "service", Config()) as ledger:
        assert not ledger.wanted
        with asker(tmp_path) as other:
            assert "(journal service)" in line_of(other)
            assert ledger.wanted
            ledger.close()
            assert line_when_it_has_it(other) == "has it"
            with pytest.raises(TransientError, match=rf"process {other.pid} \(journal asker\)"):
                Ledger.open(tmp_path, "service", Config())
            other.communicate()
            assert other.returncode == 0
        assert not is_wanted(tmp_path)
        ledger = Ledger.open(tmp_path, "service", Config())


@pytest.mark.parametrize("had_it", [False, True])
def test_a_killed_asker_frees_its_turn(tmp_path, had_it):
    """kill -9 while it waits or while it writes: nothing is left behind that stops others."""
    ledger = Ledger.open(tmp_path, "service", Config())
    with asker(tmp_path) as other:
        line_of(other)
        if had_it:
            ledger.close()
            assert line_when_it_has_it(other) == "has it"
        other.kill()
        other.wait()
        assert not is_wanted(tmp_path)
    if not had_it:
        ledger.close()
    Ledger.open(tmp_path, "service", Config()).close()


def test_two_that_ask_exclude_each_other(tmp_path):
    """The second waits for the first, and is told its name."""
    with asker(tmp_path) as first:
        assert line_of(first) == "has it"
        with pytest.raises(GivenUpError, match=rf"process {first.pid} \(journal asker\)"):
            Ledger.open_in_turn(tmp_path, "second", Config(), refuse)
        with asker(tmp_path) as second:
            assert f"process {first.pid} " in line_of(second)
            first.communicate()
            assert line_when_it_has_it(second) == "has it"


def test_an_asker_that_gives_up_leaves_everything_as_it_was(tmp_path):
    """An exception from `wait` frees the turn; the writer keeps the ledger."""
    with Ledger.open(tmp_path, "service", Config()) as ledger:
        with pytest.raises(GivenUpError):
            Ledger.open_in_turn(tmp_path, "asker", Config(), refuse)
        assert not ledger.wanted
        with pytest.raises(ConfigError, match="being written"):
            Ledger.open(tmp_path, "other", Config())


def test_counters_of_one_journal_outlive_commits_of_another(tmp_path):
    """What a journal noted without rows is still there when it comes back, though another journal
    has committed in between."""
    with Ledger.open(tmp_path, "service", Config()) as ledger:
        ledger.commit(spans_table([span(1)]), entries_table([entry(1)]), {"position": 1}, NOW)
        ledger.note({"position": 7}, NOW)
    for number in (2, 3):
        with Ledger.open_in_turn(tmp_path, "other", Config(), refuse) as ledger:
            rows = spans_table([span(number)]), entries_table([entry(number)])
            ledger.commit(*rows, {"position": number}, NOW)
    with Ledger.open(tmp_path, "service", Config()) as ledger:
        assert ledger.state == {"position": 7}
    with Ledger.open(tmp_path, "other", Config()) as ledger:
        assert ledger.state == {"position": 3}


def test_counters_of_a_journal_without_any_batch_outlast_the_turn_of_another(tmp_path):
    """All that came was stored before, by another journal: that it came is not forgotten."""
    with Ledger.open(tmp_path, "journal-1", Config()) as ledger:
        ledger.note({"spans_repeated": 16}, NOW)
    with Ledger.open(tmp_path, "journal-2", Config()) as ledger:
        ledger.commit(spans_table([span(1)]), entries_table([entry(1)]), {"position": 1}, NOW)
    with Ledger.open(tmp_path, "journal-1", Config()) as ledger:
        assert ledger.state == {"spans_repeated": 16}
