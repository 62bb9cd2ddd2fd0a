"""The whole flow on one screen.

    payloads --decode--> spans --journal--> assemble --> traces --kernel--> charges --book-->
    entries --> ledger

Two processes run it: the receiver's, in `intake.py`, up to the journal, and `run_pipeline` after
it. They are joined by the journal alone.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass

import pyarrow as pa
import structlog

from agentcost_collector.alerting import Alerting
from agentcost_collector.anchor import Anchoring
from agentcost_collector.assemble.open_traces import OpenTraces
from agentcost_collector.canary.canary import Canary
from agentcost_collector.caretaker import Caretaker
from agentcost_collector.intake import gate_of
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.turns import is_wanted
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.metrics import Metrics
from agentcost_collector.metrics_port import registry_of, served
from agentcost_collector.model.errors import TransientError
from agentcost_collector.price.archived import archived_set
from agentcost_collector.readiness import held
from agentcost_collector.self_trace import Span, no_span, self_traced
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler, settled, slices_of_traces

log = structlog.get_logger(__name__)

_RETRY_S = 2
_NS_PER_MS = 1_000_000
_CLOSINGS = 5
"""So many times in settle_ms what is due closes: a commit of few traces costs what one of many
does."""


@dataclass
class Progress:
    """Where the pipeline is. Every span of the journal counts once, restarts included: it is
    either open, or stored in a batch up to `batch_seq`, or was dropped as an exact repeat."""

    position: int = 0
    spans_read: int = 0
    spans_open: int = 0
    traces_open: int = 0
    spans_settled: int = 0
    spans_repeated: int = 0
    batch_seq: int = 0


def run_pipeline(settings: Settings) -> None:
    """Follows the journal until SIGTERM or SIGINT; what is open then is read again at the start."""
    keep_freed_memory()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    rulebook = Rulebook.of(settings)
    canary = Canary(settings.canary, settings.receive.http, settings.receive.tls)
    metrics = Metrics(told=canary.booked)
    scraped = registry_of(metrics, canary)
    anchoring = Anchoring(settings.ledger_path, settings.anchor, metrics.anchored)
    with (
        held(settings.pipeline_lock_path),
        JournalReader.open(settings.journal_path, settings.journal) as journal,
        served(scraped, settings.metrics, settings.receive.tls, gate_of(settings)),
        self_traced(settings.self_trace, "pipeline", settings.listening()) as span,
        Alerting(settings, rulebook) as alerting,
    ):
        while not stop.is_set():
            try:
                _let_others(settings, stop)
                _follow(
                    journal, rulebook, settings, metrics, anchoring, canary, alerting, span, stop
                )
            except TransientError as error:  # nothing is lost: the journal still has it
                metrics.failed()
                log.error("settling_failed", error=str(error), again_in_s=_RETRY_S)
                stop.wait(_RETRY_S)


def _let_others(settings: Settings, stop: threading.Event) -> None:
    """Waits while another process has asked for the ledger; the journal keeps what comes."""
    if is_wanted(settings.ledger_path):
        log.info("ledger_given_away")
        while is_wanted(settings.ledger_path) and not stop.wait(settings.poll_ms / 1000):
            pass
        log.info("ledger_taken_back")


def _follow(
    journal: JournalReader,
    rulebook: Rulebook,
    settings: Settings,
    metrics: Metrics,
    anchoring: Anchoring,
    canary: Canary,
    alerting: Alerting,
    span: Span,
    stop: threading.Event,
) -> None:
    """Until it is told to stop, or another process asks for the ledger."""
    with Ledger.open(settings.ledger_path, journal.journal_id, settings.ledger) as ledger:
        ledger.archive_cards(*archived_set(rulebook.rates))
        metrics.read_ledger(settings.data)
        follower = Follower(journal, ledger, rulebook, settings, metrics, span)
        caretaker = Caretaker(ledger, settings.ledger.compact_every_h)
        while not stop.is_set() and not ledger.wanted:
            began_s = time.monotonic()
            anchoring.step(time.time_ns(), time.monotonic_ns())
            canary.step(time.time_ns())
            follower.step(time.time_ns(), time.monotonic_ns())
            alerting.look(follower.grown, time.monotonic_ns())
            if not caretaker.step(time.time_ns(), time.monotonic_ns()):
                stop.wait(began_s + settings.poll_ms / 1000 - time.monotonic())


class Follower:
    """The loop of the pipeline process, one turn at a time."""

    def __init__(
        self,
        journal: JournalReader,
        ledger: Ledger,
        rulebook: Rulebook,
        settings: Settings,
        metrics: Metrics | None = None,
        span: Span = no_span,
    ) -> None:
        self._span = span
        self._journal = journal
        self._ledger = ledger
        self._metrics = metrics or Metrics()
        self._settler = Settler(ledger, rulebook, settings, self._metrics)
        self._settings = settings
        self._open = OpenTraces(settings.assemble)
        self._received: deque[tuple[int, int]] = deque()  # position and instant of what is open
        self._closed_ns: int | None = None  # when last, by the steady clock
        self._position = journal.first() - 1
        position = max(ledger.state.get("position", 0), self._position)
        self.progress = Progress(position, journal.spans_through(position))
        self._state = self._resumed()
        self._published = ""

    def step(self, now_ns: int, steady_ns: int) -> bool:
        """Reads what is new, settles what has closed, trims. False when there was nothing to do.

        `now_ns` is the time of the bookings. What closes goes by `steady_ns`, a clock that is
        never set: one set back by an hour would keep everything open for an hour.
        """
        read = self._read(steady_ns)
        if not self._is_time_to_close(steady_ns):
            self._publish()
            return read
        closed = self._open.close(steady_ns)
        self._state = {
            **settled(self._state, closed.repeated, closed.repeated),
            "position": self.progress.position,
            "spans_read": self.progress.spans_read,
        }
        for part in slices_of_traces(closed.spans, self._settings.settle_spans_max):
            with self._span("settle", spans=part.num_rows):
                kept, _ = self._settler.settle(part, self._state, now_ns)
            self._state = settled(self._state, part.num_rows, part.num_rows - kept)
        if closed.spans.num_rows:
            self._ledger.note(self._state, now_ns)
            lowest = self._open.lowest_position()
            self._journal.trim(below=self._position + 1 if lowest is None else lowest)
        self._publish()
        return read or closed.spans.num_rows > 0

    def _is_time_to_close(self, steady_ns: int) -> bool:
        every_ns = self._settings.assemble.settle_ms * _NS_PER_MS // _CLOSINGS
        if self._closed_ns is not None and 0 <= steady_ns - self._closed_ns < every_ns:
            return False
        self._closed_ns = steady_ns
        return True

    def grown(self, spans_min: int) -> pa.Table:
        """SPANS so far of open traces with at least so many that have grown since last asked."""
        return self._open.grown(spans_min)

    def _read(self, steady_ns: int) -> bool:
        start = self._position
        for batch in self._journal.after(self._position, self._settings.read_bytes_max):
            self._open.add(batch.position, batch.spans, steady_ns)
            self._position = batch.position
            if batch.spans.num_rows:
                received_ns = batch.spans["received_at_ns"][0].as_py()
                self._received.append((batch.position, received_ns))
            if batch.position > self.progress.position:
                self.progress.position = batch.position
                self.progress.spans_read += batch.spans.num_rows
        return self._position > start

    def _resumed(self) -> dict[str, int]:
        """The counters as noted last, less what was settled then and is read once more now."""
        state = dict(self._ledger.state)
        below = self._journal.spans_through(self._position)
        again = max(0, state.get("spans_settled", 0) - below)
        return settled(state, -again, -again - self._ledger.spans_uncounted)

    def _publish(self) -> None:
        """Lets `agentcost status` see where the pipeline is; a plain file, not the truth."""
        self.progress.spans_open = self._open.spans
        self.progress.traces_open = self._open.traces
        lowest = self._open.lowest_position()
        while self._received and (lowest is None or self._received[0][0] < lowest):
            self._received.popleft()
        self._metrics.reached(
            oldest_ns=self._received[0][1] if self._received else None,
            journal_position=self._journal.head(),
            read_position=self.progress.position,
            spans_waiting=self._journal.totals().spans_acknowledged - self.progress.spans_read,
            spans_open=self.progress.spans_open,
            traces_open=self.progress.traces_open,
            ledger_batch=self._ledger.batch_seq,
            index_traces=self._ledger.index_traces,
        )
        self.progress.spans_settled = self._state.get("spans_settled", 0)
        self.progress.spans_repeated = self._state.get("spans_repeated", 0)
        self.progress.batch_seq = self._ledger.batch_seq
        text = json.dumps(asdict(self.progress))
        if text != self._published:
            path = self._settings.progress_path
            temporary = path.with_suffix(".tmp")
            try:
                temporary.write_text(text)
                temporary.replace(path)
            except OSError as error:
                raise TransientError(f"Cannot write {path}: {error.strerror}.") from error
            self._published = text
