"""Sends requests over real gRPC to a receiver in a process of its own, and reads its CPU time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.support.collector import environment
from tests.support.recordings import ROOT

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SENDERS = 4
IN_FLIGHT = 8


@dataclass(frozen=True)
class Sent:
    """What one run cost: CPU seconds of the receiver, of the sender, and seconds by the clock."""

    receiver_s: float
    sender_s: float
    wall_s: float


def send_all(data: Path, bodies: Sequence[bytes]) -> Sent:
    """Exports `bodies` to a fresh receiver on `data`, all answered, and stops it."""
    with _receiver(data) as (process, address), connected(address) as exports:
        before_s, own_s, start_s = _cpu_s(process), time.process_time(), time.perf_counter()
        export_all(exports, bodies)
        wall_s = time.perf_counter() - start_s
        return Sent(_cpu_s(process) - before_s, time.process_time() - own_s, wall_s)


def export_all(exports: Sequence[grpc.UnaryUnaryMultiCallable], bodies: Sequence[bytes]) -> None:
    """Exports `bodies` over the connections in turn, all answered. Raises RpcError."""
    waiting: deque[grpc.Future] = deque()
    for number, body in enumerate(bodies):
        waiting.append(exports[number % len(exports)](body))
        if len(waiting) >= len(exports) * IN_FLIGHT:
            waiting.popleft().result()
    for answer in waiting:
        answer.result()


def _cpu_s(process: subprocess.Popen[str]) -> float:
    process.send_signal(signal.SIGUSR1)
    return float(_line(process))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def _receiver(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "tests.bench.receiver", str(data)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment(data, {})
    ) as process:
        try:
            yield process, _line(process)
        finally:
            process.terminate()


@contextmanager
def connected(address: str) -> Iterator[list[grpc.UnaryUnaryMultiCallable]]:
    """One export call per connection; separate connections, as separate senders have."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    channels = [grpc.insecure_channel(address, options) for _ in range(SENDERS)]
    try:
        exports = [channel.unary_unary(EXPORT).future for channel in channels]
        for export in exports:
            export(b"").result()  # connecting is not what is measured
        yield exports
    finally:
        for channel in channels:
            channel.close()
