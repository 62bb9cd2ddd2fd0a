"""Settling in any order and any number of parts ends in the same ledger."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest

from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.errors import TransientError
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.pipeline import Follower, Progress
from agentcost_collector.report.views import open_views
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.support.recordings import names, requests_of
from tests.support.trees import draw, drawn_in
from tests.support.walked import decode

NOW_NS = 1_795_400_000_000_000_000


@pytest.fixture(scope="module")
def spans() -> pa.Table:
    return decode(body for name in names() for body in requests_of(name))


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return Rulebook.of(Settings())


def settle(data: Path, rulebook: Rulebook, parts: list[pa.Table]) -> None:
    settings = Settings(data=data)
    with Ledger.open(settings.ledger_path, "test", settings.ledger) as ledger:
        settler = Settler(ledger, rulebook, settings)
        for part in parts:
            settler.settle(part, {}, NOW_NS)


def steps_of(data: Path) -> pa.Table:
    order = "trace_id, started_at, step_id"
    return open_views(data).sql(f"SELECT * FROM steps ORDER BY {order}").to_arrow_table()


def test_a_late_root_ends_in_the_same_steps(tmp_path, rulebook, spans):
    """Children settle as orphans, the root comes later: reversed, booked again, byte-equal."""
    roots = pa.compute.is_null(spans.column("parent_span_id"))
    settle(tmp_path / "whole", rulebook, [spans])
    late = [spans.filter(pa.compute.invert(roots)), spans.filter(roots)]
    settle(tmp_path / "late", rulebook, late)
    assert steps_of(tmp_path / "late").equals(steps_of(tmp_path / "whole"))
    reasons = dict(
        open_views(tmp_path / "late")
        .sql("SELECT entry_reason || ' ' || sign, count(*) FROM ledger GROUP BY 1")
        .fetchall()
    )
    assert reasons["late -1"] > 50
    assert reasons["first 1"] > 100


def test_any_split_and_order_ends_in_the_same_steps(tmp_path, rulebook, spans):
    """Spans of all recordings in random parts, some of them sent twice."""
    settle(tmp_path / "whole", rulebook, [spans])
    source = random.Random(3)
    rows = list(range(spans.num_rows))
    source.shuffle(rows)
    cuts = sorted(source.sample(range(1, len(rows)), 7))
    parts = [spans.take(rows[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    settle(tmp_path / "parts", rulebook, [*parts, parts[2], parts[5]])
    assert steps_of(tmp_path / "parts").equals(steps_of(tmp_path / "whole"))


def test_settling_again_writes_nothing(tmp_path, rulebook, spans):
    """A replay finds everything kept and booked."""
    settings = Settings(data=tmp_path)
    with Ledger.open(settings.ledger_path, "test", settings.ledger) as ledger:
        settler = Settler(ledger, rulebook, settings)
        kept, written = settler.settle(spans, {}, NOW_NS)
        assert kept == spans.num_rows
        assert written > 0
        assert settler.settle(spans, {}, NOW_NS) == (0, 0)


HOUR_NS = 3600 * 10**9


@contextmanager
def following(settings: Settings, rulebook: Rulebook) -> Iterator[Follower]:
    """The pipeline process as it starts."""
    with (
        JournalReader.open(settings.journal_path, settings.journal) as reader,
        Ledger.open(settings.ledger_path, reader.journal_id, settings.ledger) as ledger,
    ):
        yield Follower(reader, ledger, rulebook, settings)


def test_a_clock_that_is_set_does_not_stop_it(tmp_path, rulebook):
    """Traces close by time passed, whatever the wall clock does meanwhile."""
    settings = Settings(data=tmp_path)
    with Journal.open(settings.journal_path, settings.journal) as journal:
        for number, set_by_ns in enumerate((0, -10_000 * HOUR_NS, 10_000 * HOUR_NS, -HOUR_NS), 1):
            body = draw(f"run{number}\n  step{number}").body()
            journal.append(decode([body]), REJECTS.empty_table())
            with following(settings, rulebook) as follower:
                follower.step(NOW_NS, 0)
                follower.step(NOW_NS + set_by_ns, 10**9)
                assert follower.progress.spans_open == 2
                follower.step(NOW_NS + set_by_ns, 10 * 10**9)
                assert follower.progress.spans_open == 0
    assert open_views(tmp_path).sql("SELECT count(*) FROM spans").fetchall() == [(8,)]


def test_every_acknowledged_span_is_read_after_a_restart_too(tmp_path, rulebook):
    """Acknowledged = read and settled, also where the last batches were all sent before: they
    make no commit, yet are trimmed."""
    settings = Settings(data=tmp_path)
    body = draw("run\n  step").body()
    with Journal.open(settings.journal_path, settings.journal) as journal:
        for second in range(3):
            journal.append(decode([body]), REJECTS.empty_table())
            with following(settings, rulebook) as follower:
                follower.step(NOW_NS, second)
                follower.step(NOW_NS, 100 * 10**9)
                assert follower.progress.spans_read == 2 * (second + 1)
                assert follower.progress.spans_open == 0
    with following(settings, rulebook) as follower:
        assert (follower.progress.position, follower.progress.spans_read) == (3, 6)
    assert open_views(tmp_path).sql("SELECT count(*) FROM spans").fetchall() == [(2,)]


@pytest.mark.parametrize("seed", range(3))
def test_every_span_read_is_open_stored_or_a_repeat(tmp_path, rulebook, monkeypatch, seed):
    """After every turn the four counts agree, each counted by itself: with repeats within and
    across traces, batches and restarts, with restarts at any moment, and with commits that fail
    after the evidence is written and before the entries are."""
    settings = Settings(data=tmp_path)
    source = random.Random(seed)
    append = Ledger._append_entries

    def failing(self, *arguments):
        if source.random() < 0.2:
            raise TransientError("no space")
        return append(self, *arguments)

    monkeypatch.setattr(Ledger, "_append_entries", failing)
    runs = [decode([draw(f"run{n}\n  step{n}\n    more{n}").body()]) for n in range(8)]
    every = pa.concat_tables(runs)
    sent: set[int] = set()
    read = now = 0
    with Journal.open(settings.journal_path, settings.journal) as journal:
        for _ in range(12):
            rows = [source.randrange(every.num_rows) for _ in range(source.randint(1, 12))]
            sent.update(rows)
            journal.append(every.take(rows), REJECTS.empty_table())
            with suppress(TransientError), following(settings, rulebook) as follower:
                for _ in range(source.randint(1, 3)):
                    now += source.choice([0, 3, 30]) * 10**9
                    follower.step(NOW_NS, now)
                    read = max(read, follower.progress.spans_read)
                    assert_conserved(settings, follower.progress, journal.journal_id)
    monkeypatch.undo()
    with following(settings, rulebook) as follower:
        follower.step(NOW_NS, now)
        follower.step(NOW_NS, now + HOUR_NS)
        assert follower.progress.spans_open == 0
        assert follower.progress.spans_read == read
        assert follower.progress.spans_repeated == read - len(sent) > 0
        assert_conserved(settings, follower.progress, journal.journal_id)


def assert_conserved(settings: Settings, at: Progress, journal_id: str) -> None:
    stored = LedgerReader(settings.ledger_path).spans_stored(journal_id, at.batch_seq)
    assert at.spans_read == at.spans_open + stored + at.spans_repeated


def test_a_note_that_cannot_be_written_is_transient(tmp_path, rulebook):
    """Where the data folder is full or read-only, settling is tried again, not given up."""
    settings = Settings(data=tmp_path)
    settings.progress_path.with_suffix(".tmp").mkdir()
    Journal.open(settings.journal_path, settings.journal).close()
    with following(settings, rulebook) as follower, pytest.raises(TransientError, match="progress"):
        follower.step(NOW_NS, 0)


def test_linked_runs_settle_in_any_order(tmp_path, rulebook):
    """The payer that a run names by a link is found in whatever order a chain of linked runs comes
    in, span by span, each time after a restart; re-sent spans change nothing.

    report link=followup
      chat_r openinference.span.kind=LLM llm.model_name=gpt-4o-mini llm.token_count.prompt=1000
    followup link=digest team=t
      chat_f openinference.span.kind=LLM llm.model_name=gpt-4o-mini llm.token_count.prompt=2000
    digest feature=d
      write
    """
    spans = decode([drawn_in(test_linked_runs_settle_in_any_order).body()])
    settle(tmp_path / "whole", rulebook, [spans])
    whole = steps_of(tmp_path / "whole")
    paid = whole.select(["input_tokens", "feature", "feature_from", "team", "team_from"])
    assert sorted(tuple(row.values()) for row in paid.to_pylist()) == [
        (1000, None, "none", "t", "link"),
        (2000, "d", "link", "t", "ancestor"),
    ]
    parts = [spans.slice(row, 1) for row in range(spans.num_rows)]
    orders = list(itertools.permutations(parts))
    for number, order in enumerate(random.Random(5).sample(orders, 6)):
        data = tmp_path / str(number)
        for part in order:
            settle(data, rulebook, [part])
        assert steps_of(data).equals(whole)
        version = LedgerReader(data / "ledger").snapshot().version
        settle(data, rulebook, [*order, spans])
        assert LedgerReader(data / "ledger").snapshot().version == version
