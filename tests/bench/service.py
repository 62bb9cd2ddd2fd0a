"""A real `agentcost serve` under load: what it takes, what it costs, and when it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentcost_collector.settings import Settings
from tests.bench.load import connected, export_all
from tests.bench.processes import cpu_s, wait_until_quiet
from tests.support.collector import Collector, running

SOON = {"assemble__settle_ms": "1000", "assemble__idle_ms": "2000"}
"""Traces close soon, so that a measurement need not wait for the last of them."""
_WORK_S = 1800


@dataclass(frozen=True)
class Cost:
    """CPU seconds of all processes of the service, and seconds to the last answer and to the end
    of all work."""

    cpu_s: float
    answered_s: float


class Service:
    """A running collector and connections to it."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def take(self, bodies: Sequence[bytes]) -> Cost:
        """Sends all bodies over gRPC, four connections, and waits until nothing is left to do."""
        before_s, begin_s = self.cpu_s(), time.monotonic()
        with connected(self.collector.grpc) as exports:
            export_all(exports, bodies)
        answered_s = time.monotonic() - begin_s
        return Cost(self.used_s(before_s), answered_s)

    def cpu_s(self) -> float:
        """CPU seconds of all processes so far."""
        return cpu_s(self.collector.process.pid)

    def spans_read(self) -> int:
        """How many spans the pipeline has seen."""
        return int(
            json.loads(Settings(data=self.collector.data).progress_path.read_bytes())["spans_read"]
        )

    def used_s(self, before_s: float) -> float:
        """CPU seconds since `before_s` were used, once nothing is left to do."""
        quiet = wait_until_quiet(self.collector.process.pid, _WORK_S)
        assert quiet, f"still at work after {_WORK_S} s"
        return self.cpu_s() - before_s


@contextmanager
def serving(data: Path, **settings: str) -> Iterator[Service]:
    """A service on `data` that has done all that a start brings."""
    with running(data, **settings) as collector:
        wait_until_quiet(collector.process.pid, _WORK_S)
        yield Service(collector)
