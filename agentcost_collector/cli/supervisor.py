"""Keeps the receiver and the pipeline process running, and stops them in the right order.

The receiver must live: it is what senders see. Its end is the end. The pipeline may fail (full
disk, damaged file) and is started again, later each time; the journal holds what waits for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterator

import structlog

from agentcost_collector.cli.child import Child
from agentcost_collector.cli.children import PIPELINE, STOP_S
from agentcost_collector.settings import Settings

_BACKOFF_S_MIN = 1.0
_BACKOFF_S_MAX = 30.0
_STEADY_S = 60.0
_USAGE = 2  # exit code of a child that refuses its settings

_log = structlog.get_logger(__name__)


class Supervisor:
    """Runs the service in this process's children."""

    def __init__(self, settings: Settings, receiver: Child) -> None:
        """`receiver` waits for its settings."""
        self._settings = settings
        self._receiver = receiver
        self._inherited = settings.model_dump_json()
        self._selector = selectors.DefaultSelector()
        self._pipeline_starts = 0
        self._backoff_s = _BACKOFF_S_MIN

    def run(self) -> int:
        """Blocks until a signal or a failure that restarting cannot help; the exit code."""
        with _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            receiver = self._started(self._receiver)
            pipeline: Child | None = None
            start_at = math.inf  # once the receiver listens there is a journal to follow
            while True:
                idle = pipeline is not None or start_at == math.inf
                wait_s = None if idle else max(0.0, start_at - time.monotonic())
                ready = {key.fileobj for key, _ in self._selector.select(wait_s)}
                if signals in ready:
                    os.read(signals, 64)
                    self._stop([receiver, pipeline], signals)
                    return 0
                if receiver.out in ready:
                    if not self._announced(receiver):
                        return self._fail(receiver, [pipeline], signals)
                    start_at = time.monotonic()
                if pipeline and pipeline.out in ready and not pipeline.out.readline():
                    code = self._ended(pipeline)
                    if code == _USAGE and self._pipeline_starts == 1:
                        self._stop([receiver], signals)
                        return _USAGE
                    start_at = time.monotonic() + self._next_backoff_s(pipeline)
                    pipeline = None
                elif pipeline is None and time.monotonic() >= start_at:
                    pipeline = self._start_pipeline()

    def _started(self, child: Child) -> Child:
        child.go_on(self._inherited)
        self._selector.register(child.out, selectors.EVENT_READ)
        return child

    def _start_pipeline(self) -> Child:
        self._pipeline_starts += 1
        return self._started(Child(PIPELINE))

    def _announced(self, receiver: Child) -> bool:
        line = receiver.out.readline()
        if line:
            listening = json.loads(line)
            sys.stdout.write(_greeting(self._settings, listening["grpc"], listening["http"]))
            sys.stdout.flush()
        return bool(line)

    def _fail(self, receiver: Child, others: list[Child | None], signals: int) -> int:
        """The receiver has ended by itself. It has said why, unless a signal ended it."""
        code = self._ended(receiver)
        self._stop(others, signals)
        return _USAGE if code == _USAGE else 1

    def _ended(self, child: Child) -> int:
        self._selector.unregister(child.out)
        code = child.wait()
        if code != _USAGE:  # then it has written a sentence
            _log.error("process_ended", process=child.name, exit_code=code)
        return code

    def _next_backoff_s(self, pipeline: Child) -> float:
        if time.monotonic() - pipeline.started >= _STEADY_S:
            self._backoff_s = _BACKOFF_S_MIN
        wait_s = self._backoff_s
        self._backoff_s = min(2 * wait_s, _BACKOFF_S_MAX)
        _log.warning("restarting", process=pipeline.name, in_s=wait_s)
        return wait_s

    def _stop(self, children: list[Child | None], signals: int) -> None:
        """One after the other in the given order; a second signal or STOP_S ends the patience."""
        for child in children:
            if child is None:
                continue
            child.terminate()
            if not self._sees_end(child, signals):
                _log.error("killed", process=child.name)
                child.kill()
            self._selector.unregister(child.out)
            child.wait()

    def _sees_end(self, child: Child, signals: int) -> bool:
        deadline = time.monotonic() + STOP_S
        while (left_s := deadline - time.monotonic()) > 0:
            ready = {key.fileobj for key, _ in self._selector.select(left_s)}
            if child.out in ready and not child.out.readline():
                return True
            if signals in ready:
                return False
        return False


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A file descriptor that can be read once a signal to stop has come."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    names = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {name: signal.signal(name, lambda *_: None) for name in names}
    woken = signal.set_wakeup_fd(write)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(woken)
        for name, handler in before.items():
            signal.signal(name, handler)
        os.close(read)
        os.close(write)


def _greeting(settings: Settings, grpc: str, http: str) -> str:
    scheme = "https" if settings.receive.tls.is_on else "http"
    metrics = f"{scheme}://{settings.metrics}/metrics" if settings.metrics else "none"
    health = f"{scheme}://{settings.health}/readyz" if settings.health else "none"
    return f"""agentcost is listening
  OTLP/gRPC  {grpc}
  OTLP/HTTP  {scheme}://{http}
  metrics    {metrics}
  health     {health}
  data       {settings.data.absolute()}

Point an instrumented app at it:
  export OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{grpc}   # exporters that speak gRPC
  export OTEL_EXPORTER_OTLP_ENDPOINT={scheme}://{http}   # exporters that speak HTTP/protobuf

Ctrl-C stops it.
"""
