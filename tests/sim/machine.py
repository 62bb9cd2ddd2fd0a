"""One machine: its data directory, its clock, the two processes of the service, and an operator."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from unittest import mock

from agentcost_collector import replay as replaying
from agentcost_collector import restate as restating
from agentcost_collector.caretaker import Caretaker
from agentcost_collector.decode.config import Config as DecodeConfig
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.intake import into_journal
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.kept import keep_of
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.history import Period
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.errors import ConfigError, TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.normalise import compile_vocabulary
from agentcost_collector.normalise.dialects import DIALECTS
from agentcost_collector.pipeline import Follower
from agentcost_collector.policy_file import read_policy
from agentcost_collector.price.archived import archived_set
from agentcost_collector.replay import Tally, replay
from agentcost_collector.restate import Outside, Restated, restate
from agentcost_collector.settings import Settings
from tests.sim.disk import Disk, KilledError, copy_of
from tests.sim.senders import Request
from tests.sim.truth import EPOCH_NS, Span
from tests.support.recordings import write_frames

EVER = Period(0, 2**63 - 1)
Done = TypeVar("Done")

_RUNS_MAX = 5


class OwnCards(Settings):
    """Settings that price by the cards of the simulation alone."""

    def rate_card_directories(self) -> list[Path]:
        """Without the bundled ones."""
        return list(self.rate_cards)


class Machine:
    """Everything that happens on it happens when it is told, on one thread."""

    def __init__(self, settings: Settings, disk: Disk) -> None:
        self.settings = settings
        self._disk = disk
        self.now_ns = EPOCH_NS
        self.set_by_ns = 0
        """How far its clock is off."""
        self.journaled: Counter[tuple[str, str]] = Counter()
        """Spans in the journal, by how often they came."""
        self.came_ns: dict[tuple[str, str], int] = {}
        """When each of them came first."""
        self.replayed: set[tuple[str, str]] = set()
        self.quarantined = 0
        self._journal: Journal | None = None
        self._store: Store
        self._head = 0
        self._reader: JournalReader | None = None
        self._ledger: Ledger | None = None
        self.follower: Follower | None = None
        self._caretaker: Caretaker

    @property
    def wall_ns(self) -> int:
        """What its clock shows."""
        return self.now_ns + self.set_by_ns

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until it is switched off. Commands read its clock."""
        with (
            mock.patch.object(restating, "time", self),
            mock.patch.object(replaying, "time", self),
            self._disk.installed(),
        ):
            try:
                yield
            finally:
                self._disk.clear()
                self.stop_receiver()
                self.stop_pipeline()

    @property
    def receiving(self) -> bool:
        """Whether there is a journal."""
        return self._head > 0

    @property
    def batches_waiting(self) -> int:
        """What the pipeline has not read yet."""
        return self._head - (self.follower.progress.position if self.follower else 0)

    def time_ns(self) -> int:
        """As of the module `time`."""
        return self.wall_ns

    # The receiver process.

    def take(self, requests: Sequence[Request]) -> Sequence[Outcome] | None:
        """A group of requests as the receiver takes it; None where senders get no good answer."""
        payloads = [Payload(request.body, self.wall_ns) for request in requests]
        try:
            if self._journal is None:
                self._journal = Journal.open(self.settings.journal_path, self.settings.journal)
                self._store = into_journal(self.settings, self._journal)
            outcomes = self._store(payloads)
        except TransientError:
            return self._unanswered(payloads, requests)
        except KilledError:
            self.stop_receiver()
            return self._unanswered(payloads, requests)
        self._kept(requests, outcomes)
        return outcomes

    def stop_receiver(self) -> None:
        """Nothing is written at its end, so that it is the same as killing it."""
        if self._journal:
            self._journal.close()
            self._journal = None

    def decoder(self, limits: DecodeConfig) -> Decoder:
        """As the receiver process makes it."""
        policy = read_policy(self.settings.policy).policy
        vocabulary = compile_vocabulary(DIALECTS, policy.aliases)
        return Decoder(keep_of(self.settings.keep, vocabulary, policy), limits)

    def _unanswered(self, payloads: Sequence[Payload], requests: Sequence[Request]) -> None:
        """What failed may be in the journal all the same, whole or not at all."""
        with (
            suppress(ConfigError),  # there may be no journal yet
            JournalReader.open(self.settings.journal_path, self.settings.journal) as journal,
        ):
            if journal.head() > self._head:
                self._kept(requests, self.decoder(self.settings.decode).decode(payloads).outcomes)

    def _kept(self, requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
        kept = [r for r, outcome in zip(requests, outcomes, strict=True) if not outcome.malformed]
        for request in kept:
            usable = self.usable(request)
            self.journaled.update(span.key for span in usable)
            self._came(usable)
            self.quarantined += request.broken + len(request.spans) - len(usable)
        self._head += any(request.spans or request.broken for request in kept)

    def usable(self, request: Request) -> list[Span]:
        """Its spans but those that are too far ahead of this machine's clock."""
        latest_ns = self.wall_ns + 48 * 3600 * 10**9
        return [span for span in request.spans if max(span.start_ns, span.end_ns) <= latest_ns]

    def _came(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.came_ns.setdefault(span.key, self.now_ns)

    # The pipeline process.

    def turn(self) -> bool:
        """One turn of its loop, as `run_pipeline` makes it; False where it failed."""
        try:
            if self._reader is None:
                self._reader = JournalReader.open(self.settings.journal_path, self.settings.journal)
            if self.follower is None:
                rulebook = Rulebook.of(self.settings)
                self._ledger = Ledger.open(
                    self.settings.ledger_path, self._reader.journal_id, self.settings.ledger
                )
                self._ledger.archive_cards(*archived_set(rulebook.rates))
                self.follower = Follower(self._reader, self._ledger, rulebook, self.settings)
                self._caretaker = Caretaker(self._ledger, self.settings.ledger.compact_every_h)
            self.follower.step(self.wall_ns, self.now_ns - EPOCH_NS)
            while self._caretaker.step(self.wall_ns, self.now_ns - EPOCH_NS):
                pass
        except TransientError:
            self._give_away()
            return False
        except KilledError:
            self.stop_pipeline()
            self._as_killed()
            return False
        return True

    def stop_pipeline(self) -> None:
        """What is open is read again at the next start."""
        self._give_away()
        if self._reader:
            self._reader.close()
            self._reader = None

    def keep_files(self) -> None:
        """Saves the ledger as it is, for when the process that writes it is killed."""
        folder = self.settings.ledger_path
        shutil.copytree(folder, copy_of(folder))

    def _as_killed(self) -> None:
        folder = self.settings.ledger_path
        shutil.rmtree(folder)
        copy_of(folder).rename(folder)

    def _give_away(self) -> None:
        self.follower = None
        if self._ledger:
            self._ledger.close()
            self._ledger = None

    # The operator.

    def restate(self, commits_max: int) -> Restated:
        """Restates everything beside the service, interrupted once after so many commits, and
        run again until it is through."""
        asked = 0

        def stopped() -> bool:
            nonlocal asked
            asked += 1
            return asked == commits_max

        def once() -> Restated:
            outside = Outside(lambda done, total: None, lambda holder: self._give_away(), stopped)
            return restate(self.settings, EVER, False, outside)

        done = self._command(once)
        while done.interrupted:
            done = self._command(once)
        return done

    def replay(self, requests: Sequence[Request]) -> Tally:
        """Replays a recording of these requests. The service must be stopped for it."""
        path = self.settings.data / "recorded.otlp.bin"
        with path.open("wb") as file:
            write_frames(file, (request.body for request in requests))
        if self._ledger:
            try:
                replay([path], self.settings, lambda done, total: None)
            except ConfigError:
                self.stop_pipeline()
            else:
                raise AssertionError("two processes write one ledger")
        done = self._command(lambda: replay([path], self.settings, lambda done, total: None))
        for request in requests:
            self.replayed.update(span.key for span in request.spans)
            self._came(request.spans)
        return done

    def _command(self, run: Callable[[], Done]) -> Done:
        """Runs a command again where it fails or is killed."""
        for _ in range(_RUNS_MAX):
            try:
                return run()
            except TransientError:
                continue
            except KilledError:
                self._as_killed()
        raise AssertionError("a command fails again and again though the disk is sound")

    def lose_index(self) -> None:
        """Somebody deletes the trace index while the service is stopped."""
        self.stop_pipeline()
        for path in self.settings.ledger_path.glob("index.db*"):
            path.unlink()
