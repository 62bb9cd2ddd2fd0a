"""Bugs that the product could have, to see that the simulation would find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector import intake, settle
from agentcost_collector.assemble.open_traces import OpenTraces
from agentcost_collector.journal.writer import Journal
from agentcost_collector.ledger.lookup import Lookup
from agentcost_collector.model.errors import TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.sim import machine


def trims_what_is_open() -> AbstractContextManager[object]:
    """The journal is trimmed up to what was read, not to what was settled."""
    return mock.patch.object(OpenTraces, "lowest_position", return_value=None)


def answers_without_keeping() -> AbstractContextManager[object]:
    """A full disk is not told to the sender."""

    def into_journal(settings: Settings, journal: Journal) -> Store:
        store = intake.into_journal(settings, journal)

        def hopeful(payloads: Sequence[Payload]) -> Sequence[Outcome]:
            try:
                return store(payloads)
            except TransientError:
                return [Outcome()] * len(payloads)

        return hopeful

    return mock.patch.object(machine, "into_journal", into_journal)


def forgets_a_commit_after_a_crash() -> AbstractContextManager[object]:
    """The index does not learn what was committed without it: booked again."""
    return mock.patch.object(Lookup, "_catch_up", return_value=None)


def looks_back_too_short() -> AbstractContextManager[object]:
    """What the index has forgotten is taken for new."""
    return mock.patch.object(Lookup, "_scan", return_value=None)


def ignores_late_spans() -> AbstractContextManager[object]:
    """A settled trace is taken to be complete."""
    settle = Settler.settle

    def deaf(
        self: Settler, closed: pa.Table, state: Mapping[str, int], now_ns: int
    ) -> tuple[int, int]:
        known = self._ledger.booked(*settle._spread(closed)).spans["trace_id"]
        new = pc.invert(pc.is_in(closed["trace_id"], value_set=pc.unique(known)))
        return settle(self, closed.filter(new), state, now_ns)

    return mock.patch.object(Settler, "settle", deaf)


def never_takes_back() -> AbstractContextManager[object]:
    """Corrections add what is wanted and leave what stands."""
    book = settle.book_charges

    def adding(*arguments: Any, **named: Any) -> pa.Table:
        entries = book(*arguments, **named)
        return entries.filter(pc.greater(entries["sign"], 0))

    return mock.patch.object(settle, "book_charges", adding)


def leaves_linked_runs() -> AbstractContextManager[object]:
    """A run that links to another is not looked at again when that one comes."""
    return mock.patch.object(Settler, "_settle_linking", return_value=0)


BUGS: tuple[tuple[Callable[[], AbstractContextManager[object]], int], ...] = (
    (trims_what_is_open, 24),
    (answers_without_keeping, 2),
    (forgets_a_commit_after_a_crash, 6),
    (looks_back_too_short, 12),
    (ignores_late_spans, 0),
    (never_takes_back, 0),
    (leaves_linked_runs, 65),
)
"""Each with the seed from which on to look for it, to save time."""
