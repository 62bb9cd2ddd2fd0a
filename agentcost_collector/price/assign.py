"""Which rate set holds for each step: the only place where time, bands and schedules meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa

from agentcost_collector.model.units import INPUT_TOTAL
from agentcost_collector.price.identity import Identity, distinct, identities
from agentcost_collector.price.plan import Plan, RateSet, plan_for, rate_set
from agentcost_collector.price.ratebook import Offer, RateBook
from agentcost_collector.price.schedule import windows_at

_TOTAL_MAX = 1 << 58  # a handful of them still fits int64; every band is far below


def assign_rates(
    steps: pa.Table, quantities: Mapping[str, np.ndarray], book: RateBook
) -> tuple[list[RateSet], np.ndarray]:
    """All rate sets in use, and for each step the index of its own.

    Loops once per distinct identity and, within, per price interval, band and window in use.
    """
    found, index = identities(steps, quantities)
    order = np.argsort(index.astype(_smallest(len(found))), kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(found)))
    clocks = _clocks(steps)
    totals = _totals(quantities, steps.num_rows)
    sets: list[RateSet] = []
    chosen = np.zeros(len(index), dtype=np.int64)
    for number, identity in enumerate(found):
        rows = order[ends[number - 1] if number else 0 : ends[number]]
        plan = book.remember(identity, partial(plan_for, identity, book))
        at_us = clocks[plan.clock][rows]
        for offer, part in _segments(plan, at_us):
            mine = rows[part]
            for rates, some in _within(book, plan, offer, identity, at_us[part], totals[mine]):
                chosen[mine[some]] = len(sets)
                sets.append(rates)
    return sets, chosen


def _segments(plan: Plan, at_us: np.ndarray) -> Iterator[tuple[Offer | RateSet | None, np.ndarray]]:
    """The rows of each entry of the timeline."""
    if len(plan.timeline) <= 1:
        yield (plan.timeline[0][1] if plan.timeline else None), np.arange(len(at_us))
        return
    starts = np.array([start for start, _ in plan.timeline[1:]], dtype=np.int64)
    segment = np.searchsorted(starts, at_us, side="right")
    for number, (_, offer) in enumerate(plan.timeline):
        rows = np.flatnonzero(segment == number)
        if len(rows):
            yield offer, rows


def _within(
    book: RateBook,
    plan: Plan,
    offer: Offer | RateSet | None,
    identity: Identity,
    at_us: np.ndarray,
    totals: np.ndarray,
) -> Iterator[tuple[RateSet, np.ndarray]]:
    """The rate sets of one offer, each with its rows."""
    if isinstance(offer, RateSet):
        yield offer, np.arange(len(at_us))
        return
    breaks = np.array(_breaks(plan, offer), dtype=np.int64)
    case = np.searchsorted(breaks, at_us, side="right")
    size = len(breaks) + 1
    band = offer.sku.band if offer else None
    schedule = offer.sku.schedule if offer else None
    if band:
        lows = np.array([step.lowest for step in band.bands], dtype=np.int64)
        case = case * len(lows) + np.searchsorted(lows, totals, side="right") - 1
        size *= len(lows)
    if schedule:
        case = case * (len(schedule.windows) + 1) + windows_at(schedule, at_us) + 1
        size *= len(schedule.windows) + 1
    firsts, numbers = distinct(case, size)
    for number, first in enumerate(firsts):
        windows = len(schedule.windows) + 1 if schedule else 1
        inside, window = divmod(int(case[first]), windows)
        interval, step = divmod(inside, len(band.bands) if band else 1)
        key = (identity, offer, interval, step, window)
        rates = book.remember(
            key,
            partial(
                rate_set,
                plan,
                offer,
                identity,
                _instant(breaks, interval),
                band.bands[step].id if band else None,
                _window_context(offer, window - 1),
            ),
        )
        yield rates, np.flatnonzero(numbers == number) if len(firsts) > 1 else np.arange(len(case))


def _instant(breaks: np.ndarray, interval: int) -> int:
    """An instant of the interval: its first, or one before all of them."""
    if not len(breaks):
        return 0
    return int(breaks[interval - 1]) if interval else int(breaks[0]) - 1


def _window_context(offer: Offer | None, window: int) -> dict[str, str]:
    schedule = offer.sku.schedule if offer else None
    if schedule is None:
        return {}
    return schedule.windows[window].set if window >= 0 else schedule.otherwise


def _breaks(plan: Plan, offer: Offer | None) -> list[int]:
    offers = [source[1] for source in plan.sources.values() if isinstance(source, tuple)]
    offers += [offer] if offer else []
    return sorted({edge for o in offers for edge in o.breaks})


def _clocks(steps: pa.Table) -> dict[str, np.ndarray]:
    """Start and end of each step in microseconds; a missing one is the other, or 1970."""
    start, end = (steps.column(name).cast(pa.int64()) for name in ("started_at", "ended_at"))
    both = {"start": pa.compute.coalesce(start, end), "end": pa.compute.coalesce(end, start)}
    return {name: np.asarray(c.fill_null(0).to_numpy()) for name, c in both.items()}


def _totals(quantities: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The whole prompt of each step, as bands measure it."""
    total = np.zeros(rows, dtype=np.int64)
    for name in INPUT_TOTAL:
        if name in quantities:
            total += np.minimum(quantities[name], _TOTAL_MAX)
    return total


def _smallest(size: int) -> type[np.unsignedinteger]:
    """Sorting 16-bit keys is several times faster."""
    return np.uint16 if size < 1 << 16 else np.uint32
