"""kill -9 of the receiver and the pipeline, again and again, while four senders go on sending."""

import os
import random
import signal
import threading
from pathlib import Path

import grpc
import pytest

from agentcost_collector.settings import Settings
from tests.end_to_end.crash_sender import METHOD
from tests.end_to_end.waiting import until
from tests.faults import store
from tests.faults.processes import PIPELINE, RECEIVER, Processes
from tests.support.collector import free_ports

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "6"))
SENDERS = range(1, 5)
APART = 1_000_000


class Sender(threading.Thread):
    """Sends its deliveries one after the other, each until it is acknowledged."""

    def __init__(self, number: int, address: str, told: threading.Semaphore) -> None:
        super().__init__()
        self._first = number * APART
        self._address = address
        self._told = told
        self._ended = threading.Event()
        self.acknowledged = 0

    def run(self) -> None:
        with grpc.insecure_channel(
            self._address, options=[("grpc.max_reconnect_backoff_ms", 100)]
        ) as channel:
            export = channel.unary_unary(METHOD)
            while not self._ended.is_set():
                body = store.body_of(self._first + self.acknowledged)
                try:
                    export(body, timeout=30, wait_for_ready=True)
                except grpc.RpcError:
                    continue
                self.acknowledged += 1
                self._told.release()

    def stop(self) -> list[int]:
        """All that were acknowledged; nothing else was ever sent."""
        self._ended.set()
        self.join()
        return [self._first + count for count in range(self.acknowledged)]


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path):
    """Either process or both, after a random number of answers; what was acknowledged is there."""
    source = random.Random(SEED)
    address, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    data = tmp_path / "data"
    settings = Settings(
        data=data,
        receive={"grpc": address, "http": http},
        assemble={"settle_ms": 20, "idle_ms": 1000},
        poll_ms=20,
        metrics="",
        health="",
        log_level="error",
    )
    told = threading.Semaphore(0)
    senders = [Sender(number, address, told) for number in SENDERS]
    with Processes(settings) as processes:
        processes.start(RECEIVER)
        processes.start(PIPELINE)
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            for _ in range(source.randrange(12)):
                told.acquire()
            victims = source.choice(((RECEIVER,), (PIPELINE,), (RECEIVER, PIPELINE)))
            for name in victims:
                processes.end(name, signal.SIGKILL)
            for name in victims:
                processes.start(name)
        acknowledged = [number for sender in senders for number in sender.stop()]
        until(lambda: len(store.held(data).entries) >= len(acknowledged), "all in the ledger")
        processes.end(PIPELINE, signal.SIGTERM)
        processes.end(RECEIVER, signal.SIGTERM)
    store.check(data, acknowledged)
