"""A receiver on free ports in a thread of its own, and a store that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

import grpc
import pytest
from google.protobuf.json_format import Parse, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.model.access import Gate
from agentcost_collector.model.errors import PermanentError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.receiver import Addresses, Receiver

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
WAIT_S = 30  # only a failing test waits that long


class RecordingStore:
    """Keeps what it is given; `outcomes` says what to answer for a body, `errors` what to raise
    first, and while `gate` is clear every call waits."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.groups: list[list[Payload]] = []
        self.outcomes: dict[bytes, Outcome] = {}
        self.errors: deque[Exception] = deque()
        self.called = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    @property
    def bodies(self) -> list[bytes]:
        return [payload.body for group in self.groups for payload in group]

    def __call__(self, payloads: Sequence[Payload]) -> list[Outcome]:
        self.called.release()
        assert self.gate.wait(WAIT_S)
        if self.errors:
            raise self.errors.popleft()
        self.groups.append(list(payloads))
        return [self.outcomes.get(payload.body, Outcome()) for payload in payloads]


class Clock:
    """1, 2, 3, ... and a semaphore that tells how many requests have arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._ticks = itertools.count(1)

    def __call__(self) -> int:
        self.arrived.release()
        return next(self._ticks)

    def wait_for(self, requests: int) -> None:
        for _ in range(requests):
            assert self.arrived.acquire(timeout=WAIT_S)


class Running:
    """A started receiver, to be talked to by real clients."""

    def __init__(self, config: Config, store: RecordingStore, gate: Gate | None = None) -> None:
        self.store = store
        self.clock = Clock()
        self.receiver = Receiver(config, store, json_to_protobuf, self.clock, gate)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._stopped = False
        try:
            self.addresses: Addresses = self._submit(self.receiver.start()).result(WAIT_S)
        except BaseException:
            self._end_loop()
            raise
        self.channel = grpc.insecure_channel(self.addresses.grpc)
        self.export = self.channel.unary_unary(EXPORT)

    def stop(self, grace_s: float) -> Future[None]:
        """Begin to stop; returns when the listeners have heard of it."""
        self._stopped = True
        stopping = self._submit(self.receiver.stop(grace_s))
        self._submit(asyncio.sleep(0)).result(WAIT_S)
        return stopping

    def close(self) -> None:
        self.store.gate.set()
        self.channel.close()
        if not self._stopped:
            self.stop(0).result(WAIT_S)
        self._end_loop()

    def _submit(self, coroutine) -> Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


def json_to_protobuf(body: bytes) -> bytes:
    """What the receiver is handed in place of the real conversion."""
    if body == b'"our bug"':
        raise ZeroDivisionError
    try:
        return Parse(body, ExportTraceServiceRequest()).SerializeToString(deterministic=True)
    except ParseError as error:
        raise PermanentError(f"The body is not OTLP/JSON: {error}.") from error


FREE = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "retry_delay_s": 0.25}


@pytest.fixture
def run():
    """Starts receivers with the settings given, and stops them after the test."""
    with contextlib.ExitStack() as stack:

        def start(gate: Gate | None = None, **settings) -> Running:
            running = Running(Config(**FREE | settings), RecordingStore(), gate)
            stack.callback(running.close)
            return running

        yield start


@pytest.fixture(scope="module")
def shared():
    """One receiver for the tests of a module, for requests of up to 100,000 bytes."""
    running = Running(Config(**FREE, request_bytes_max=100_000), RecordingStore())
    yield running
    running.close()


@pytest.fixture
def running(shared):
    """The shared receiver, its store as new."""
    shared.store.reset()
    return shared
