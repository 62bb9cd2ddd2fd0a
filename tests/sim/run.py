"""One seed from beginning to end."""

from __future__ import annotations

import hashlib
import random
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock
from uuid import UUID

from agentcost_collector.assemble.config import Config as AssembleConfig
from agentcost_collector.decode.config import Config as DecodeConfig
from agentcost_collector.journal import writer
from agentcost_collector.journal.config import Config as JournalConfig
from agentcost_collector.ledger.config import Config as LedgerConfig
from tests.sim.disk import Disk
from tests.sim.laws import (
    FEW_TRACES,
    Auditor,
    BrokenLawError,
    Change,
    compare_with_a_run_in_time,
    restated_traces,
)
from tests.sim.machine import Machine, OwnCards
from tests.sim.senders import ATTEMPTS_MAX, Request, cut, encode
from tests.sim.truth import (
    DAY_NS,
    EPOCH_NS,
    HOUR_NS,
    SECOND_NS,
    SERVICES,
    Span,
    Trace,
    draw_trace,
    write_cards,
    write_policy,
)

SETTLE_S, IDLE_S, AGE_S = 5, 60, 600
_GAPS_NS = (
    *(seconds * SECOND_NS for seconds in (1, 2, SETTLE_S + 1, IDLE_S + 1, AGE_S)),
    *(hours * HOUR_NS for hours in (1, 3, 23, 26, 50, 24 * 6)),
)
_SPANS_PER_REQUEST_MAX = 40


@dataclass(frozen=True)
class Weather:
    """How likely what is, in this run. Most of it is off in most runs, so that what is on meets."""

    late: float
    lost: float
    unanswered: float
    again: float
    broken: float
    refused: float
    killed: float
    stopped: float
    operator: float
    clocks_off: bool
    clock_set: bool

    @classmethod
    def draw(cls, source: random.Random) -> Weather:
        """Each on or off by itself."""
        return cls(
            source.choice((0.0, 0.5)),
            *(source.choice((0.0, 0.0, high)) for high in (0.3, 0.3, 0.3, 0.3)),
            *(source.choice((0.0, 0.0, high)) for high in (0.5, 0.5, 0.4, 0.5)),
            source.random() < 0.3,
            source.random() < 0.15,
        )


@dataclass
class Outcome:
    """What became of a seed."""

    seed: int
    events: list[str] = field(default_factory=list)
    broken: str | None = None
    trace: str = ""

    @property
    def digest(self) -> str:
        """Equal for equal events."""
        return hashlib.sha256("\n".join(self.events).encode()).hexdigest()[:16]

    @property
    def line(self) -> str:
        """What to run to see it again, and what was wrong."""
        return f"make sim SEED={self.seed}    {self.broken}"


def run_seed(seed: int) -> Outcome:
    """Everything that this seed stands for, in a directory of its own."""
    outcome = Outcome(seed)
    sys.modules.setdefault("pandas", None)  # or Arrow looks for it on the disk again and again
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="sim", dir=memory if memory.is_dir() else None))
    try:
        Simulation(seed, folder, outcome.events).run()
    except BrokenLawError as law:
        outcome.broken = str(law)
    except Exception as error:  # nothing else may come out of the product either
        outcome.broken = f"{type(error).__name__}: {error}"
        outcome.trace = traceback.format_exc()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


class Simulation:
    """The world of one seed."""

    def __init__(self, seed: int, folder: Path, events: list[str]) -> None:
        self._source = random.Random(seed)
        self._events = events
        self._weather = Weather.draw(self._source)
        self._cards = [write_cards(folder / f"cards{edition}", edition) for edition in (0, 1)]
        self._policy = write_policy(folder / "policy.yaml")
        self._editions, self._renamed = {0}, {False}
        self._disk = Disk()
        self._machine = Machine(self._settings(folder / "data"), self._disk)
        self._clocks_ns = self._clocks()
        self._clocks_wrong = self._weather.clocks_off or self._weather.clock_set
        self._traces: list[Trace] = []
        self._sent: dict[tuple[str, str], Span] = {}
        self._requests: list[Request] = []
        self._acknowledged: set[tuple[str, str]] = set()
        self._auditor = Auditor(self._machine, self._sent)
        self._note(f"{self._weather} {self._clocks_ns}")

    def run(self) -> None:
        """Some rounds, then a calm end in which everything comes that is still to come."""
        source = self._source
        names = random.Random(source.random())

        def name() -> UUID:
            return UUID(int=names.getrandbits(128), version=4)

        with (
            self._machine.running(),
            mock.patch.object(writer.uuid, "uuid4", side_effect=name),
        ):
            rounds = source.randint(2, 3)
            for number in range(rounds):
                self._begin_runs(number, rounds)
                self._deliver(number)
                if source.random() < self._weather.operator:
                    self._operate()
                self._turn()
                self._wait(source.choice(_GAPS_NS))
                if number == 0 or source.random() < 0.3:
                    self._settle_all()
            self._calm()
            for number in range(rounds, rounds + ATTEMPTS_MAX):
                self._deliver(number)
            self._settle_all()
            self._compare()

    # What is drawn.

    def _settings(self, data: Path) -> OwnCards:
        source = self._source
        data.mkdir(parents=True)
        return OwnCards(
            data=data,
            rate_cards=(self._cards[0],),
            settle_spans_max=source.choice((8, *[200_000] * 9)),
            read_bytes_max=source.choice((1, 10**9, 10**9)),
            decode=DecodeConfig(spans_per_request_max=_SPANS_PER_REQUEST_MAX),
            journal=JournalConfig(trim_batches_per_step=source.choice((1, 64))),
            assemble=AssembleConfig(
                settle_ms=SETTLE_S * 1000,
                idle_ms=IDLE_S * 1000,
                age_ms_max=AGE_S * 1000,
                open_spans_max=source.choice((5, *[10**6] * 4)),
            ),
            ledger=LedgerConfig(
                reopen_window_h=source.choice((2, 24)),
                index_traces_max=source.choice((FEW_TRACES, 10**6, 10**6)),
                compact_every_h=source.choice((0, 0, 1)),
                compact_quiet_h=source.choice((0, 24)),
                checkpoint_every=source.choice((2, 25, 25)),
            ),
        )

    def _clocks(self) -> dict[str, int]:
        """How far the clocks of the services are off."""
        if not self._weather.clocks_off:
            return dict.fromkeys(SERVICES, 0)
        offs = (0, SECOND_NS, HOUR_NS, -HOUR_NS, 30 * HOUR_NS, -30 * HOUR_NS, 100 * HOUR_NS)
        return {service: self._source.choice(offs) for service in SERVICES}

    def _begin_runs(self, number: int, rounds: int) -> None:
        """New runs, cut into requests that are due now or in a later round."""
        source = self._source
        runs: list[list[Span]] = []
        for _ in range(source.randint(1, 3)):
            trace = draw_trace(source, self._machine.now_ns, self._clocks_ns, self._traces)
            self._traces.append(trace)
            self._sent.update((span.key, span) for span in trace.spans)
            runs.append(trace.spans)
        if source.random() < 0.5:  # one exporter for all
            runs = [[span for spans in runs for span in spans]]
        for spans in runs:
            size = source.choice((2, 8, _SPANS_PER_REQUEST_MAX + 5))
            all_late = source.random() < self._weather.late / 2
            for piece in cut(source, spans, size):
                late = all_late or source.random() < self._weather.late / 2
                due = source.randint(number + 1, rounds) if late else number
                broken = source.randint(1, 2) if source.random() < self._weather.broken else 0
                body = encode(source, piece, broken)
                self._requests.append(Request(len(self._requests), piece, broken, body, due))

    # What happens.

    def _deliver(self, number: int) -> None:
        """Senders try what is due and not answered; the network mixes, loses and repeats."""
        source, weather = self._source, self._weather
        due = [
            request
            for request in self._requests
            if request.due <= number and not request.answered and request.attempts < ATTEMPTS_MAX
        ]
        source.shuffle(due)
        while due:
            together = [due.pop() for _ in range(min(len(due), source.randint(1, 4)))]
            arriving = []
            for request in together:
                request.attempts += 1
                if source.random() >= weather.lost:
                    arriving.append(request)
                    if source.random() < weather.again:
                        arriving.append(request)
            if arriving:
                self._receive(arriving)
            if source.random() < weather.stopped / 2:
                self._wait(source.choice((0, SECOND_NS, (SETTLE_S + 1) * SECOND_NS)))
                self._turn()

    def _receive(self, arriving: list[Request]) -> None:
        source, machine = self._source, self._machine
        if source.random() < self._weather.stopped / 4:
            machine.stop_receiver()
            self._note("receiver restarts")
        self._set_trap(source.randint(1, 4), lambda: None)
        outcomes = machine.take(arriving)
        self._clear_trap()
        numbers = [request.number for request in arriving]
        self._note(f"requests {numbers}: {outcomes}")
        for request, outcome in zip(arriving, outcomes or [], strict=False):
            if source.random() < self._weather.unanswered:
                continue
            request.answered = True
            if not outcome.malformed:
                self._acknowledged.update(span.key for span in machine.usable(request))

    def _turn(self) -> None:
        source, machine = self._source, self._machine
        if source.random() < self._weather.stopped / 2:
            machine.stop_pipeline()
            self._note("pipeline restarts")
        if machine.receiving:
            self._set_trap(source.randint(1, 30), machine.keep_files)
            machine.turn()
            self._clear_trap()
            if machine.follower:
                self._note(f"{machine.now_ns - EPOCH_NS} {machine.follower.progress}")

    def _set_trap(self, steps: int, keep: object) -> None:
        source, weather = self._source, self._weather
        if source.random() < weather.killed:
            self._disk.trap(steps, True, keep)
        elif source.random() < weather.refused:
            self._disk.trap(steps, False, keep)

    def _clear_trap(self) -> None:
        self._disk.clear()
        if self._disk.fell:
            self._note(self._disk.fell)
            self._disk.fell = None

    def _wait(self, for_ns: int) -> None:
        self._machine.now_ns += for_ns
        if self._weather.clock_set and self._source.random() < 0.3:
            offs = (0, HOUR_NS, -HOUR_NS, 3 * DAY_NS, -3 * DAY_NS, 400 * DAY_NS)
            self._machine.set_by_ns = self._source.choice(offs)

    def _operate(self) -> None:
        """What an operator does beside or between."""
        source, machine = self._source, self._machine
        what = source.choice(("restate", "replay", "index", "card", "policy"))
        self._note(what)
        if what == "restate" and machine.follower:
            self._set_trap(source.randint(1, 30), machine.keep_files)
            done = machine.restate(source.randint(1, 3))
            self._note(f"restated {done.spans} {done.entries}")
        elif what == "replay":
            whole = [r for r in self._requests if not r.broken and len(r.spans) < 30]
            whole = [r for r in whole if len(machine.usable(r)) == len(r.spans)]
            some = source.sample(whole, min(len(whole), source.randint(1, 3)))
            if some:
                done = machine.replay(some)
                self._note(f"replayed {done.spans} {done.kept} {done.entries}")
        elif what == "index":
            machine.lose_index()
        elif what == "card":
            self._change(rate_cards=(self._cards[1],))
            self._editions.add(1)
        elif what == "policy":
            self._change(policy=self._policy)
            self._renamed.add(True)
        self._clear_trap()

    def _change(self, **changed: object) -> None:
        """Settings are read at a start."""
        machine = self._machine
        machine.stop_receiver()
        machine.stop_pipeline()
        machine.settings = machine.settings.model_copy(update=changed)

    def _note(self, event: str) -> None:
        self._events.append(event)

    # What must hold.

    def _settle_all(self) -> None:
        """Waits until nothing is open, with a sound disk, and audits."""
        machine = self._machine
        if not machine.receiving:
            return
        for _ in range(3):
            for _ in range(1 + machine.batches_waiting):
                assert machine.turn(), "a turn fails though the disk is sound"
            if machine.batches_waiting:
                raise BrokenLawError(f"{machine.batches_waiting} batches are not in the journal")
            self._wait((IDLE_S + 1) * SECOND_NS)
        self._audit(self._editions, self._renamed, restated=False)

    def _audit(self, editions: set[int], renamed: set[bool], restated: bool) -> None:
        change = Change(frozenset(editions), frozenset(renamed), self._clocks_wrong, restated)
        found = self._auditor.check(self._acknowledged, change, len(self._renamed))
        self._note(f"audit {found}")

    def _calm(self) -> None:
        nothing = dict.fromkeys(vars(self._weather), 0.0)
        self._weather = Weather(**{**nothing, "clocks_off": False, "clock_set": False})

    def _compare(self) -> None:
        """What stands at the end is what a run in time would have made, and, in some runs, what
        history says when it is worked out again. After a change of rules only that holds."""
        machine = self._machine
        changed = len(self._editions) + len(self._renamed) > 2
        restated = self._source.random() < 0.3
        far = self._auditor.is_out_of_reach
        unsure = {trace.trace_id for trace in self._traces if trace.root.link or far(trace)}
        if restated:
            done = machine.restate(0)
            self._note(f"restated {done.spans} {done.entries}")
            if not changed and (unexpected := restated_traces(machine) - unsure):
                raise BrokenLawError(f"restating without a change books {unexpected} anew")
            assert machine.turn()
            self._audit({max(self._editions)}, {max(self._renamed)}, restated=True)
        if restated or not changed:
            kept = machine.journaled.keys() | machine.replayed
            spans = [span for key, span in self._sent.items() if key in kept]
            body = encode(self._source, spans, 0)
            compare_with_a_run_in_time(machine, spans, body, set() if restated else unsure)
