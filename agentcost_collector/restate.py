"""History worked out again from the evidence; only differences are booked.

    stored spans --kernel--> charges --book--> entries --> ledger

The service may run meanwhile: it gives the ledger away and takes it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.book.charges import book_charges
from agentcost_collector.book.closed import closed_traces, with_standing
from agentcost_collector.book.moves import MOVES, moves_of, sum_of_moves
from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.ledger.history import History, Period, Slice
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.reasons import CostStatus
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.model.tables import concat
from agentcost_collector.price.archived import archived_set
from agentcost_collector.settings import Settings
from agentcost_collector.settle import linking_to

_RESTATE = "restate"
_CORRECTION = "restated"
_NOT_FULLY_PRICED = pa.array([CostStatus.UNPRICED, CostStatus.PARTIAL], pa.string())


@dataclass(frozen=True)
class Restated:
    """What was found and booked. `traces` and `spans` of `traces_all` and `spans_all` are done;
    less where it was interrupted."""

    traces_all: int = 0
    spans_all: int = 0
    entries_alone: int = 0
    """Entries of the period of whose traces no span is kept; they are left as they are."""
    traces: int = 0
    spans: int = 0
    steps: int = 0
    entries: int = 0
    """Written, or with a dry run those that would be."""
    cost_usd_before: Decimal = Decimal(0)
    cost_usd_after: Decimal = Decimal(0)
    unpriced_before: int = 0
    """Steps without a price, or with one for a part only."""
    unpriced_after: int = 0
    moves: pa.Table = field(default_factory=MOVES.empty_table)
    """MOVES: what changed, from whom to whom, and why."""

    @property
    def interrupted(self) -> bool:
        """Whether some traces were left."""
        return self.traces < self.traces_all


@dataclass(frozen=True)
class Outside:
    """What the caller decides while it runs."""

    progress: Callable[[int, int], None]
    """Spans done, spans in all."""
    wait: Callable[[str], None]
    """Called again and again, with who has the ledger, until it is free; pauses."""
    stopped: Callable[[], bool]
    """Asked between two commits."""


def restate(settings: Settings, period: Period, dry_run: bool, outside: Outside) -> Restated:
    """Books what the traces of `period` should cost by `settings`, minus what is booked for them.

    One commit a slice of whole traces, so that an interrupted run can simply be run again; where
    nothing has changed nothing is written. A dry run needs no lock. CorruptionError where a data
    file cannot be read.
    """
    rulebook = Rulebook.of(settings)
    with ExitStack() as stack:
        ledger = None
        if not dry_run:
            ledger = stack.enter_context(
                Ledger.open_in_turn(settings.ledger_path, _RESTATE, settings.ledger, outside.wait)
            )
            ledger.archive_cards(*archived_set(rulebook.rates))
        history = History(settings.ledger_path, period, settings.ledger)
        done = Restated(history.traces, history.spans, history.entries_alone)
        for each in history.slices(settings.settle_spans_max):
            if outside.stopped():
                break
            now_ns = time.time_ns()
            charges = _charges(each, history, rulebook)
            entries = book_charges(charges, each.entries, now_ns, _CORRECTION, settings.book)
            if ledger and entries.num_rows:
                ledger.commit(SPANS.empty_table(), entries, ledger.state, now_ns, found=False)
            done = _counted(done, each, charges, entries)
            outside.progress(done.spans, done.spans_all)
    return done


def _charges(each: Slice, history: History, rulebook: Rulebook) -> pa.Table:
    """What the traces of a slice should cost; the traces that they link to may say who pays."""
    trace_ids = pc.unique(each.spans["trace_id"])
    targets = pc.unique(each.spans["links"].combine_chunks().flatten().field("trace_id"))
    others = targets.drop_null()
    others = others.filter(pc.invert(pc.is_in(others, value_set=trace_ids)))
    linked = history.spans_of(others) if len(others) else SPANS.empty_table()
    charges = kernel(concat([each.spans, linked], SPANS), rulebook)
    if linked.num_rows:
        charges = charges.filter(pc.is_in(charges["trace_id"], value_set=trace_ids))
    if not history.spans_retired_before:
        return charges
    known = pc.is_in(others, value_set=pc.unique(linked["trace_id"]))
    closed = [
        closed_traces(each.entries, history.spans_retired_before),
        linking_to(each.spans, others.filter(pc.invert(known))),
    ]
    return with_standing(charges, each.entries, pa.concat_arrays(closed))


def _counted(done: Restated, each: Slice, charges: pa.Table, entries: pa.Table) -> Restated:
    """`done` and one slice more."""
    cost_usd = _sum_usd(each.entries)
    unpriced = _unpriced(each.entries)
    return replace(
        done,
        traces=done.traces + len(pc.unique(each.spans["trace_id"])),
        spans=done.spans + each.spans.num_rows,
        steps=done.steps + charges.num_rows,
        entries=done.entries + entries.num_rows,
        cost_usd_before=done.cost_usd_before + cost_usd,
        cost_usd_after=done.cost_usd_after + cost_usd + _sum_usd(entries),
        unpriced_before=done.unpriced_before + unpriced,
        unpriced_after=done.unpriced_after + unpriced + _unpriced(entries),
        moves=sum_of_moves([done.moves, moves_of(entries)]),
    )


def _sum_usd(entries: pa.Table) -> Decimal:
    total: Decimal | None = pc.sum(entries["cost_usd"]).as_py()
    return total or Decimal(0)


def _unpriced(entries: pa.Table) -> int:
    """Standing steps among ENTRIES that are not fully priced."""
    signs = entries.filter(pc.is_in(entries["cost_status"], value_set=_NOT_FULLY_PRICED))["sign"]
    total: int | None = pc.sum(signs).as_py()
    return total or 0
