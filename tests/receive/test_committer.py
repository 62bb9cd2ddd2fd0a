from __future__ import annotations

import asyncio
import threading

import pytest
import structlog

from agentcost_collector.model.errors import CorruptionError, PermanentError, TransientError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.committer import Committer


class GatedStore:
    """Stores one group at a time, each only after the gate was opened; b"poison" makes it raise."""

    def __init__(self, error=None):
        self.groups = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self._error = error

    def __call__(self, payloads):
        self.entered.release()
        assert self.gate.wait(30)
        bodies = [payload.body for payload in payloads]
        if b"poison" in bodies and self._error:
            raise self._error
        self.groups.append(bodies)
        return [Outcome(message=body.decode()) for body in bodies]


def commit_all(store, bodies, cancel=(), requests_max=100, bytes_max=10_000):
    """The answers to `bodies`, all of which wait while a first request is being stored, and the
    bytes held afterwards; those at the positions in `cancel` are given up while they wait."""
    admission = Admission(1_000_000, 0)

    async def main():
        committer = Committer(store, requests_max, bytes_max)
        committer.start()

        async def submit(body):
            lease = admission.lease("a")
            await lease.reserve(len(body))
            return await committer.commit(Payload(body, 0), lease)

        first = asyncio.create_task(submit(b"first"))
        await asyncio.to_thread(store.entered.acquire, timeout=30)
        tasks = [asyncio.create_task(submit(body)) for body in bodies]
        await asyncio.sleep(0)
        for position in cancel:
            tasks[position].cancel()
        await asyncio.sleep(0)
        store.gate.set()
        await first
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await committer.stop()
        return answers

    return asyncio.run(main()), admission.bytes_now


def test_every_request_gets_its_own_outcome():
    """Outcomes go to the requests they belong to, in order of arrival, and memory is freed."""
    store = GatedStore()
    answers, held = commit_all(store, [b"a", b"b", b"c"])
    assert [answer.message for answer in answers] == ["a", "b", "c"]
    assert store.groups == [[b"first"], [b"a", b"b", b"c"]]
    assert held == 0


@pytest.mark.parametrize(
    ("limits", "groups"),
    [
        ({"requests_max": 2}, [[b"aa", b"bb"], [b"cccc", b"d"], [b"e"]]),
        ({"bytes_max": 5}, [[b"aa", b"bb"], [b"cccc", b"d"], [b"e"]]),
        ({"bytes_max": 3}, [[b"aa"], [b"bb"], [b"cccc"], [b"d", b"e"]]),
        ({}, [[b"aa", b"bb", b"cccc", b"d", b"e"]]),
    ],
)
def test_group_limits(limits, groups):
    """A group ends at either limit; a request larger than the limit is a group of its own."""
    store = GatedStore()
    commit_all(store, [b"aa", b"bb", b"cccc", b"d", b"e"], **limits)
    assert store.groups[1:] == groups


def test_a_request_given_up_is_not_stored():
    """A sender that left while waiting costs no storage, frees its memory, and harms nobody."""
    store = GatedStore()
    answers, held = commit_all(store, [b"a", b"b", b"c"], cancel=[0, 2])
    assert [type(answer) for answer in answers] == [
        asyncio.CancelledError,
        Outcome,
        asyncio.CancelledError,
    ]
    assert store.groups == [[b"first"], [b"b"]]
    assert held == 0


def test_all_given_up():
    """A group of which nobody is left does not reach the store."""
    store = GatedStore()
    _, held = commit_all(store, [b"a", b"b"], cancel=[0, 1])
    assert store.groups == [[b"first"]]
    assert held == 0


@pytest.mark.parametrize("error", [TransientError("full"), CorruptionError("page 3")])
def test_a_store_that_cannot_fails_the_group(error):
    """Where the store itself is unwell every request of the group hears it, logged once, and the
    store is not asked again for any of them."""
    store = GatedStore(error)
    with structlog.testing.capture_logs() as logs:
        answers, held = commit_all(store, [b"a", b"poison", b"b"])
    assert answers == [error] * 3
    assert store.groups == [[b"first"]]
    assert [(log["event"], log["requests"]) for log in logs] == [("group_not_stored", 3)]
    assert held == 0


class Panic(BaseException):
    """What native code may raise: it is no Exception."""


@pytest.mark.parametrize("error", [ZeroDivisionError(), PermanentError("never"), Panic("native")])
@pytest.mark.parametrize("position", range(5))
def test_a_request_that_breaks_the_store_harms_no_other(error, position):
    """A payload on which the store fails unforeseen gets the failure alone; all others are stored
    exactly once."""
    bodies = [b"a", b"b", b"c", b"d"]
    bodies.insert(position, b"poison")
    store = GatedStore(error)
    answers, held = commit_all(store, bodies)
    answer = answers.pop(position)
    assert answer is error or (isinstance(error, Panic) and repr(error) in str(answer))
    assert [answer.message for answer in answers] == ["a", "b", "c", "d"]
    assert [body for group in store.groups[1:] for body in group] == [b"a", b"b", b"c", b"d"]
    assert held == 0


def test_a_store_that_forgets_an_outcome_acknowledges_nothing():
    """Fewer outcomes than payloads is a bug of ours: nobody is told that his request is safe."""

    class Forgetful(GatedStore):
        def __call__(self, payloads):
            return super().__call__(payloads) if payloads[0].body == b"first" else []

    answers, _ = commit_all(Forgetful(), [b"a", b"b"])
    assert [type(answer) for answer in answers] == [AssertionError] * 2
