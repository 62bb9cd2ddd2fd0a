"""How many bytes of requests may be in memory at once, and whose.

A request reserves its size before it is read, or the largest size there is where it does not say
its own, and gives back what it did not need. Where there is no room it waits its turn, briefly;
those that arrive slowly give way to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from agentcost_collector.receive.status import Cause, PutOffError, late_body

WAITING_MAX = 2048
"""Most requests that wait for their turn. Each of them may hold some KiB that arrived already."""


@dataclass(slots=True)
class _Turn:
    size: int
    spare: int
    granted: asyncio.Future[None]


@dataclass(slots=True)
class _Sender:
    leases: int = 0
    bytes_now: int = 0
    waiting: deque[_Turn] = field(default_factory=deque)


class Admission:
    """Counts the bytes of all requests in flight. Not thread-safe: used on the loop only.

    Whoever holds nothing gets what is free. Whoever holds something gets no more than is left free
    for others: one sender half of everything, two a third each. So there is room for one more.
    """

    def __init__(self, bytes_max: int, wait_s: float) -> None:
        self.bytes_max = bytes_max
        self.bytes_now = 0
        self.waiting = 0
        self._wait_s = wait_s
        self._senders: dict[str, _Sender] = {}
        self._arriving: dict[Lease, tuple[float, asyncio.Timeout]] = {}

    def lease(self, sender: str) -> Lease:
        """A lease of no bytes yet. `sender`: the client's address without its port."""
        known = self._senders.setdefault(sender, _Sender())
        known.leases += 1
        return Lease(self, sender, known)

    def _full(self) -> PutOffError:
        return PutOffError(
            Cause.MEMORY_TAKEN,
            f"The memory for requests is taken: {self.bytes_now} of {self.bytes_max} bytes, "
            f"and {self.waiting} requests wait for it; try again.",
        )

    def _fits(self, sender: _Sender, size: int, spare: int) -> bool:
        free = self.bytes_max - self.bytes_now
        return size + spare <= free and (not sender.bytes_now or sender.bytes_now + size <= free)

    def _take(self, sender: _Sender, size: int) -> None:
        self.bytes_now += size
        sender.bytes_now += size

    async def _turn(self, sender: _Sender, size: int, spare: int) -> None:
        """Take `size` bytes for `sender` when it is its turn. Raises TransientError."""
        if not sender.waiting and self._fits(sender, size, spare):
            self._take(sender, size)
            return
        if len(sender.waiting) >= WAITING_MAX - self.waiting:
            raise self._full()
        loop = asyncio.get_running_loop()
        turn = _Turn(size, spare, loop.create_future())
        sender.waiting.append(turn)
        self.waiting += 1
        hurry = loop.call_later(self._wait_s / 2, self._cut_off_slow)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn.granted
        except BaseException as error:
            if turn.granted.done() and not turn.granted.cancelled():
                self._take(sender, -size)
            elif turn in sender.waiting:
                self._leave(sender, turn)
            self._grant()
            if isinstance(error, TimeoutError):
                raise self._full() from None
            raise
        finally:
            hurry.cancel()

    def _cut_off_slow(self) -> None:
        """Ends the waiting for requests that arrive slowly, whose memory others wait for."""
        now_s = asyncio.get_running_loop().time()
        for began_s, limit in self._arriving.values():
            if now_s - began_s >= self._wait_s / 2 and not limit.expired():
                limit.reschedule(now_s)

    def _leave(self, sender: _Sender, turn: _Turn) -> None:
        sender.waiting.remove(turn)
        self.waiting -= 1

    def _grant(self) -> None:
        """Hand what is free to those who wait, one sender after the other."""
        for name, each in list(self._senders.items()) if self.waiting else ():
            for turn in list(each.waiting):
                if turn.granted.cancelled():  # it was given up, and its task does not know yet
                    self._leave(each, turn)
                elif self._fits(each, turn.size, turn.spare):
                    self._leave(each, turn)
                    self._take(each, turn.size)
                    turn.granted.set_result(None)
                    self._senders[name] = self._senders.pop(name)  # the last in line from now on
                else:
                    break


class Lease:
    """The bytes that one request holds."""

    def __init__(self, admission: Admission, name: str, sender: _Sender) -> None:
        self._admission = admission
        self._name = name
        self._sender = sender
        self._size = 0
        self._held = True

    @contextlib.asynccontextmanager
    async def arriving(self, most_s: float) -> AsyncIterator[None]:
        """While the request is read. Raises TransientError after `most_s` seconds, or sooner where
        others wait for the memory."""
        began_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(most_s) as limit:
                self._admission._arriving[self] = began_s, limit
                yield
        except TimeoutError:
            took_s = asyncio.get_running_loop().time() - began_s
            raise late_body(round(took_s, 2)) from None
        finally:
            self._admission._arriving.pop(self, None)

    async def reserve(self, size: int, spare: int = 0) -> None:
        """Take `size` more bytes when it is this sender's turn, leaving `spare` bytes to others.

        Raises TransientError where the turn does not come in time, or too many wait for theirs.
        """
        await self._admission._turn(self._sender, size, spare)
        self._size += size

    def cover(self, size: int) -> None:
        """Hold at least `size` bytes. Raises TransientError where they are not free."""
        more = size - self._size
        if more > 0:
            if more > self._admission.bytes_max - self._admission.bytes_now:
                raise self._admission._full()
            self._admission._take(self._sender, more)
            self._size = size

    def shrink(self, size: int) -> None:
        """Hold no more than `size` bytes from now on."""
        if size < self._size:
            self._admission._take(self._sender, size - self._size)
            self._size = size
            self._admission._grant()

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        if self._held:
            self._held = False
            self.shrink(0)
            self._sender.leases -= 1
            if not self._sender.leases:
                del self._admission._senders[self._name]
