"""Gathers waiting requests into groups and stores one group at a time.

requests ->  waiting  ->  group  ->  store (one thread)  ->  outcomes ->  answers
             (next group gathers while this one is stored)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.receive.admission import Lease

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    payload: Payload
    lease: Lease
    answer: asyncio.Future[Outcome]


class Committer:
    """Hands all requests waiting, within the group limits, to `store`, in order of arrival."""

    def __init__(self, store: Store, group_requests_max: int, group_bytes_max: int) -> None:
        self._store = store
        self._requests_max = group_requests_max
        self._bytes_max = group_bytes_max
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="receive-store")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to store what arrives."""
        self._task = asyncio.create_task(self._run())

    async def commit(self, payload: Payload, lease: Lease) -> Outcome:
        """What became of the payload, once it is durable or refused; releases the lease.

        Raises what the store raised: TransientError where nothing was kept.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(payload, lease, answer))
        self._arrived.set()
        return await answer

    async def stop(self) -> None:
        """Store no further group. A store call that is running is always waited for."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._store_next()

    async def _store_next(self) -> None:
        """Store one group. Nothing of it is held afterwards, for its memory counts as free."""
        group = self._take_group()
        if not group:
            return
        payloads = [waiting.payload for waiting in group]
        loop = asyncio.get_running_loop()
        outcomes = await loop.run_in_executor(self._thread, self._store_group, payloads)
        for waiting, outcome in zip(group, outcomes, strict=True):
            _answer(waiting, outcome)

    def _take_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._waiting and len(group) < self._requests_max:
            size += len(self._waiting[0].payload.body)
            if group and size > self._bytes_max:
                return group
            waiting = self._waiting.popleft()
            if waiting.answer.cancelled():  # the sender is gone and will send it again
                waiting.lease.release()
            else:
                group.append(waiting)
        if not self._waiting:
            self._arrived.clear()
        return group

    def _store_group(self, payloads: Sequence[Payload]) -> list[Outcome | Exception]:
        """One outcome or error per payload. Where the store fails in a way that one payload may
        have caused, the halves are stored apart, so that it harms no other. Nothing at all gets
        past this: with the thread's task everybody's answers would end."""
        try:
            outcomes = list(self._store(payloads))
            assert len(outcomes) == len(payloads), "the store answers every payload"
        except (TransientError, CorruptionError) as error:
            _log.error("group_not_stored", requests=len(payloads), error=str(error))
            return [error] * len(payloads)
        except BaseException as error:
            if len(payloads) == 1:
                return [error if isinstance(error, Exception) else RuntimeError(repr(error))]
            half = len(payloads) // 2
            return self._store_group(payloads[:half]) + self._store_group(payloads[half:])
        return [*outcomes]


def _answer(waiting: _Waiting, outcome: Outcome | Exception) -> None:
    waiting.lease.release()
    if waiting.answer.cancelled():
        return
    if isinstance(outcome, Exception):
        waiting.answer.set_exception(outcome)
    else:
        waiting.answer.set_result(outcome)
