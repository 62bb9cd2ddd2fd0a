"""Prices by the hour: which window of a schedule each instant falls in."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np

from agentcost_collector.price.card import Schedule

OTHERWISE = -1
_US = 1_000_000
_QUARTER_US = 900 * _US
_DAY_US = 86_400 * _US
_MINUTE_US = 60 * _US
_THURSDAY = 3  # 1970-01-01


def windows_at(schedule: Schedule, at_us: np.ndarray) -> np.ndarray:
    """Index of the first window that holds at each instant, or OTHERWISE. int64 microseconds."""
    local = at_us + _offsets(ZoneInfo(schedule.tz), at_us)
    day = local // _DAY_US
    minute = (local % _DAY_US) // _MINUTE_US
    weekday = (day + _THURSDAY) % 7
    found = np.full(len(at_us), OTHERWISE, dtype=np.int64)
    for index in reversed(range(len(schedule.windows))):
        window = schedule.windows[index]
        start, end = window.span_us()
        hours = np.zeros(len(at_us), dtype=bool)
        for low, high in window.minutes():
            hours |= (minute >= low) & (minute < high)
        excluded = [(d - date(1970, 1, 1)).days for d in window.exclude]
        holds = (
            hours
            & np.isin(weekday, list(window.weekdays()))
            & ~np.isin(day, excluded)
            & (at_us >= start)
            & (at_us < end)
        )
        found[holds] = index
    return found


def _offsets(zone: ZoneInfo, at_us: np.ndarray) -> np.ndarray:
    """Local time minus UTC. One look-up for each quarter of an hour."""
    quarters, inverse = np.unique(at_us // _QUARTER_US, return_inverse=True)
    offsets = [_offset(zone, int(quarter) * 900) for quarter in quarters]
    return np.array(offsets, dtype=np.int64)[inverse] if offsets else np.zeros(0, dtype=np.int64)


def _offset(zone: ZoneInfo, second: int) -> int:
    known = min(max(second, 0), 250_000_000_000)  # years that datetime has
    shift = datetime.fromtimestamp(known, UTC).astimezone(zone).utcoffset()
    return 0 if shift is None else round(shift.total_seconds()) * _US
