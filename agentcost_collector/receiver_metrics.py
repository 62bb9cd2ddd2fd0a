"""What the receiver process tells Prometheus: requests, refusals, its journal, and who waits.

Counting costs nothing per span: requests are counted one by one, groups are timed, and what was
acknowledged or set aside is read from the journal's own counters when Prometheus asks.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agentcost_collector.duration import Durations
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.receive.receiver import Receiver
from agentcost_collector.receive.status import Cause

_log = structlog.get_logger(__name__)


class ReceiverMetrics(Collector):
    """Everything that a scrape of the process sees."""

    def __init__(
        self,
        journal: JournalReader,
        progress: Path,
        gate_refusals: Mapping[str, int],
        is_ready: Callable[[], bool],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`progress`: where the pipeline notes how far it is."""
        self.receiver: Receiver | None = None
        """Whose requests are counted; None before it listens."""
        self._journal = journal
        self._progress = progress
        self._gate_refusals = gate_refusals
        self._is_ready = is_ready
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._oldest: tuple[int, int | None] = (0, None)
        self._commits = Durations()
        self._bytes = 0

    def timed(self, store: Store) -> Store:
        """`store`, with every group that it keeps counted."""

        def keep(payloads: Sequence[Payload]) -> Sequence[Outcome]:
            began = time.perf_counter()
            outcomes = store(payloads)
            self._commits.add(time.perf_counter() - began)
            self._bytes += sum(len(payload.body) for payload in payloads)
            return outcomes

        return keep

    def collect(self) -> Iterator[Metric]:
        """Everything."""
        yield self._commits.family(
            "agentcost_group_commit_seconds",
            "Time from a group of requests that wait to its durable commit.",
        )
        yield _counter(
            "receive_bytes", "Bytes of requests that were stored, decompressed.", self._bytes
        )
        yield _gauge("ready", "1 where the service is ready, as /readyz says.", self._is_ready())
        if self.receiver:
            yield from _of_requests(self.receiver)
        refusals = CounterMetricFamily(
            "agentcost_gate_refusals",
            "Requests to this process without a good token, since it started, by reason.",
            labels=["reason"],
        )
        for reason, count in list(self._gate_refusals.items()):
            refusals.add_metric([reason], count)
        yield refusals
        with self._lock:
            try:
                yield from list(self._of_journal())
            except (TransientError, CorruptionError) as error:
                _log.error("journal_not_measured", error=str(error))

    def _of_journal(self) -> Iterator[Metric]:
        totals, kept = self._journal.totals(), self._journal.quarantine_kept()
        yield _counter("spans_acknowledged", "Spans ever acknowledged.", totals.spans_acknowledged)
        yield _counter("spans_quarantined", "Spans ever set aside.", totals.spans_quarantined)
        yield _counter(
            "quarantine_dropped",
            "Spans deleted from quarantine because it was full.",
            totals.quarantine_dropped,
        )
        yield _gauge("quarantine_spans", "Spans that are in quarantine now.", kept)
        yield _gauge("journal_bytes", "Size of the journal on disk.", totals.bytes)
        yield _gauge(
            "unread_age_seconds",
            "Age of the oldest span that the pipeline has not read; 0 where it has read all.",
            self._unread_age_s(),
        )

    def _unread_age_s(self) -> float:
        """A batch is read once for as long as it is the oldest."""
        position = _read_position(self._progress)
        if self._oldest[0] != position or self._oldest[1] is None:
            self._oldest = position, self._journal.received_ns(position)
        oldest_ns = self._oldest[1]
        return 0 if oldest_ns is None else max(0, self._clock_ns() - oldest_ns) / 10**9


def _of_requests(receiver: Receiver) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "agentcost_receive_requests",
        "Requests answered since the process started, by gRPC or HTTP status.",
        labels=["transport", "code"],
    )
    for (transport, code), count in list(receiver.counts.answers.items()):
        answers.add_metric([transport, code], count)
    yield answers
    refused = CounterMetricFamily(
        "agentcost_receive_refused",
        "Requests that were not accepted since the process started, by cause.",
        labels=["cause"],
    )
    for cause in Cause:
        refused.add_metric([cause], receiver.counts.refused[cause])
    yield refused
    yield _gauge(
        "receive_bytes_in_flight",
        "Bytes of requests that are in memory, or that room is kept for.",
        receiver.bytes_in_flight,
    )


def _read_position(progress: Path) -> int:
    """Where the pipeline noted to be last; 0 before its first note."""
    try:
        return int(json.loads(progress.read_bytes())["position"])
    except (OSError, ValueError, KeyError):
        return 0


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"agentcost_{name}", meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"agentcost_{name}", meaning, value=value)
