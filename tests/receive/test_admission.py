from __future__ import annotations

import asyncio

import pytest

from agentcost_collector.model.errors import TransientError
from agentcost_collector.receive import admission as admission_module
from agentcost_collector.receive.admission import Admission, Lease

SOON_S = 30  # only a failing test waits that long
AT_ONCE_S = 0.001


def test_leases_share_one_bound():
    """All leases together hold at most the bound; a refused one takes nothing."""

    async def main():
        admission = Admission(10, AT_ONCE_S)
        first, second = admission.lease("a"), admission.lease("b")
        await first.reserve(6)
        with pytest.raises(TransientError, match="6 of 10 bytes"):
            await second.reserve(5)
        second.cover(4)
        with pytest.raises(TransientError):
            second.cover(5)
        assert admission.bytes_now == 10
        first.shrink(2)
        assert admission.bytes_now == 6
        first.release()
        first.release()
        assert admission.bytes_now == 4
        second.release()
        assert (admission.bytes_now, admission.waiting) == (0, 0)

    asyncio.run(main())


@pytest.mark.parametrize("senders", [1, 2, 3])
def test_a_flood_leaves_room_for_one_more(senders):
    """However much some senders ask for, one who holds nothing yet gets its request at once: the
    others hold 1/2, 2/3, 3/4 of the bytes and no more."""

    async def main():
        admission = Admission(120, SOON_S)
        for each in [*range(senders)] * 120:
            tasks.append(asyncio.create_task(admission.lease(str(each)).reserve(1)))
        await asyncio.sleep(0)
        held = admission.bytes_now
        await admission.lease("newcomer").reserve(120 - held)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return held

    tasks: list[asyncio.Task[None]] = []
    assert asyncio.run(main()) == 120 * senders // (senders + 1)


def test_who_sends_slowly_gives_way():
    """Requests that hold all memory and never arrive are put off as soon as another one waits for
    it; until then they have all their time."""

    async def arrive(lease: Lease) -> None:
        await lease.reserve(5)
        try:
            async with lease.arriving(SOON_S):
                await asyncio.Event().wait()
        finally:
            lease.release()

    async def main():
        admission = Admission(10, 0.2)
        slow = [asyncio.create_task(arrive(admission.lease(sender))) for sender in "ab"]
        await asyncio.sleep(0)
        assert admission.bytes_now == 10
        await admission.lease("c").reserve(5)
        ended = await asyncio.gather(*slow, return_exceptions=True)
        assert all(isinstance(error, TransientError) for error in ended)

    asyncio.run(main())


def test_turns_go_round():
    """What is given back goes to those who wait, one sender after the other, in order of arrival
    within a sender."""

    async def take(name: str, number: int) -> None:
        lease = admission.lease(name)
        await lease.reserve(10)
        served.append(f"{name}{number}")
        lease.release()

    async def main():
        busy = admission.lease("busy")
        await busy.reserve(10)
        waiting = [take(name, n) for name in "ab" for n in (1, 2, 3)]
        tasks = [asyncio.create_task(each) for each in waiting]
        await asyncio.sleep(0)
        assert admission.waiting == 6
        busy.release()
        await asyncio.gather(*tasks)

    admission = Admission(10, SOON_S)
    served: list[str] = []
    asyncio.run(main())
    assert served == ["a1", "b1", "a2", "b2", "a3", "b3"]
    assert (admission.bytes_now, admission.waiting) == (0, 0)


def test_a_request_given_up_while_it_waits_frees_its_place():
    """A sender that leaves while it waits holds nothing, and the next one gets its turn."""

    async def main():
        admission = Admission(10, SOON_S)
        first, gone, next_ = (admission.lease(name) for name in "abc")
        await first.reserve(10)
        leaving = asyncio.create_task(gone.reserve(10))
        staying = asyncio.create_task(next_.reserve(10))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        first.release()
        await staying
        assert (admission.bytes_now, admission.waiting) == (10, 0)

    asyncio.run(main())


def test_a_turn_that_comes_as_its_sender_leaves_is_passed_on():
    """Bytes granted in the same moment in which the sender gives up are not lost."""

    async def main():
        admission = Admission(10, SOON_S)
        first, gone = admission.lease("a"), admission.lease("b")
        await first.reserve(10)
        leaving = asyncio.create_task(gone.reserve(10))
        await asyncio.sleep(0)
        first.release()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gone.release()
        assert (admission.bytes_now, admission.waiting) == (0, 0)

    asyncio.run(main())


def test_bytes_that_come_free_as_a_turn_is_given_up_are_not_lost():
    """A sender that gives up, or is put off, in the moment before bytes are given back: whoever
    gives them back does not fail, and the next in line gets them."""

    async def main():
        admission = Admission(10, SOON_S)
        first, gone, next_one = (admission.lease(name) for name in ("a", "b", "b"))
        await first.reserve(10)
        leaving = asyncio.create_task(gone.reserve(10))
        staying = asyncio.create_task(next_one.reserve(10))
        await asyncio.sleep(0)
        leaving.cancel()
        first.release()
        await asyncio.gather(leaving, return_exceptions=True)
        await staying
        assert (admission.bytes_now, admission.waiting) == (10, 0)

    asyncio.run(main())


def test_a_large_turn_that_is_given_up_lets_smaller_ones_go():
    """What waits behind it and has room is let in at once, not when bytes come free next."""

    async def main():
        admission = Admission(10, SOON_S)
        await admission.lease("a").reserve(4)
        large = asyncio.create_task(admission.lease("b").reserve(10))
        small = asyncio.create_task(admission.lease("b").reserve(5))
        await asyncio.sleep(0)
        large.cancel()
        await small
        assert (admission.bytes_now, admission.waiting) == (9, 0)

    asyncio.run(main())


def test_the_line_is_bounded(monkeypatch):
    """Only so many wait, one sender at most half of them; more are put off at once."""

    async def main():
        admission = Admission(1, SOON_S)
        await admission.lease("busy").reserve(1)
        tasks = [asyncio.create_task(admission.lease("a").reserve(1)) for _ in range(8)]
        await asyncio.sleep(0)
        assert (admission.waiting, sum(task.done() for task in tasks)) == (5, 3)
        with pytest.raises(TransientError):
            await admission.lease("a").reserve(1)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, TransientError) for result in results) == 3

    monkeypatch.setattr(admission_module, "WAITING_MAX", 10)
    asyncio.run(main())
