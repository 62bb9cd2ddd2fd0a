"""Which rate set holds for each step: the only place where time, bands and schedules meet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa

from agentcost_collector.model.schemas import TOKENS
from agentcost_collector.model.units import INPUT_TOTAL, LEAVES
from agentcost_collector.price.identity import Identity, distinct, identities
from agentcost_collector.price.plan import Plan, RateSet, plan_for, rate_set
from agentcost_collector.price.ratebook import Offer, RateBook
from agentcost_collector.price.schedule import windows_at

Rows = slice | np.ndarray
_ALL = slice(None)
NUMBERS = tuple(dict.fromkeys((*TOKENS, *(leaf.column for leaf in LEAVES if leaf.column))))
"""Columns of STEPS that decide a price by their amount."""
_TOTAL_MAX = 1 << 58  # a handful of them still fits int64; every band is far below


def assign_rates(
    steps: pa.Table, quantities: Mapping[str, np.ndarray], book: RateBook
) -> tuple[list[RateSet], np.ndarray]:
    """All rate sets in use, and for each step the index of its own.

    Loops once per distinct identity and, within, per price interval, band and window in use.
    """
    found, index = identities(steps, quantities, book.deployments)
    order = np.argsort(index.astype(_smallest(len(found))), kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(found)))
    clocks = {name: at_us[order] for name, at_us in clocks_of(steps).items()}
    totals = prompt_totals(quantities, steps.num_rows)[order]
    sets: list[RateSet] = []
    grouped = np.zeros(len(index), dtype=np.int64)
    for number, identity in enumerate(found):
        mine = slice(ends[number - 1] if number else 0, ends[number])
        plan = book.remember(identity, partial(plan_for, identity, book))
        at_us, group = clocks[plan.clock][mine], grouped[mine]
        for offer, part in _segments(plan, at_us):
            numbers = np.zeros(len(at_us[part]), dtype=np.int64)
            for rates, some in _within(
                book, plan, offer, identity, at_us[part], totals[mine][part]
            ):
                numbers[some] = len(sets)
                sets.append(rates)
            group[part] = numbers
    chosen = np.empty_like(grouped)
    chosen[order] = grouped
    return sets, chosen


def _segments(plan: Plan, at_us: np.ndarray) -> Iterator[tuple[Offer | RateSet | None, Rows]]:
    """The rows of each entry of the timeline."""
    if len(plan.timeline) <= 1:
        yield (plan.timeline[0][1] if plan.timeline else None), _ALL
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
) -> Iterator[tuple[RateSet, Rows]]:
    """The rate sets of one offer, each with its rows."""
    if isinstance(offer, RateSet):
        yield offer, _ALL
        return
    breaks = np.array(_breaks(plan, offer), dtype=np.int64)
    band = offer.sku.band if offer and offer.sku.band else None
    band = band if band and band.mode == "whole_request" else None
    schedule = offer.sku.schedule if offer else None
    steps = len(band.bands) if band else 1
    windows = len(schedule.windows) + 1 if schedule else 1
    case = _intervals(breaks, at_us)
    if band:
        lows = np.array([step.lowest for step in band.bands], dtype=np.int64)
        case = case * steps + np.searchsorted(lows, totals, side="right") - 1
    if schedule:
        case = case * windows + windows_at(schedule, at_us) + 1
    firsts, numbers = distinct(case, (len(breaks) + 1) * steps * windows)
    for number, first in enumerate(firsts):
        inside, window = divmod(int(case[first]), windows)
        interval, step = divmod(inside, steps)
        find = partial(
            rate_set,
            plan,
            offer,
            identity,
            _instant(breaks, interval),
            band.bands[step].id if band else None,
            _window_context(offer, window - 1),
        )
        rates = book.remember((identity, offer, interval, step, window), find)
        yield rates, np.flatnonzero(numbers == number) if len(firsts) > 1 else _ALL


def _intervals(breaks: np.ndarray, at_us: np.ndarray) -> np.ndarray:
    """Between which breaks each instant lies; mostly all between the same."""
    low, high = np.searchsorted(breaks, (at_us.min(), at_us.max()), side="right")
    if low == high:
        return np.full(len(at_us), low, dtype=np.int64)
    return np.searchsorted(breaks, at_us, side="right")


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
    return sorted(plan.breaks | {edge for o in offers for edge in o.breaks})


def clocks_of(steps: pa.Table) -> dict[str, np.ndarray]:
    """Start and end of each step in microseconds; a missing one is the other, or 1970."""
    start, end = (steps.column(name).cast(pa.int64()) for name in ("started_at", "ended_at"))
    both = {"start": pa.compute.coalesce(start, end), "end": pa.compute.coalesce(end, start)}
    return {name: np.asarray(c.fill_null(0).to_numpy()) for name, c in both.items()}


def prompt_totals(quantities: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """The whole prompt of each step, as bands measure it."""
    total = np.zeros(rows, dtype=np.int64)
    for name in INPUT_TOTAL:
        if name in quantities:
            total += np.minimum(quantities[name], _TOTAL_MAX)
    return total


def _smallest(size: int) -> type[np.unsignedinteger]:
    """Sorting 16-bit keys is several times faster."""
    return np.uint16 if size < 1 << 16 else np.uint32
