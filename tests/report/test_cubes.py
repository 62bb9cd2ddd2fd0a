"""The cubes of hours and days are the ledger, whatever was booked and rolled up in which order."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import CUBES
from agentcost_collector.report.roll_up import RolledUp, roll_up
from agentcost_collector.report.views import open_views
from tests.report.ledgers import NOON, booked, reversed_of, write_ledger

HOUR_NS = 3600 * 10**9
NOW_NS = int(NOON.timestamp()) * 10**9


def _rolled(data: Path, config: Config, now_ns: int = NOW_NS) -> RolledUp:
    return roll_up(data, config, now_ns, lambda done, total: None)


@pytest.mark.parametrize(
    ("zone", "ended_at", "hour", "day"),
    [
        ("UTC", "2026-03-01T23:59:59.999999", "2026-03-01T23:00", date(2026, 3, 1)),
        ("Europe/Berlin", "2026-03-01T23:10", "2026-03-01T23:00", date(2026, 3, 2)),
        ("Asia/Kolkata", "2026-03-01T18:29:59", "2026-03-01T17:30", date(2026, 3, 1)),
        ("Asia/Kolkata", "2026-03-01T18:30:00", "2026-03-01T18:30", date(2026, 3, 2)),
        ("Asia/Kathmandu", "2026-03-01T18:14:59", "2026-03-01T17:15", date(2026, 3, 1)),
        # both hours called two o'clock on the night when summer ends
        ("Europe/Berlin", "2026-10-25T00:30", "2026-10-25T00:00", date(2026, 10, 25)),
        ("Europe/Berlin", "2026-10-25T01:30", "2026-10-25T01:00", date(2026, 10, 25)),
        # the half hour by which Lord Howe goes back
        ("Australia/Lord_Howe", "2026-04-04T14:20", "2026-04-04T14:00", date(2026, 4, 5)),
        ("Australia/Lord_Howe", "2026-04-04T15:20", "2026-04-04T14:30", date(2026, 4, 5)),
    ],
)
def test_an_hour_is_that_of_the_clock_on_the_wall(
    tmp_path: Path, zone: str, ended_at: str, hour: str, day: date
) -> None:
    """Hours and days begin where the organisation's clock says so, also off the full hour."""
    at, starts = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (ended_at, hour))
    write_ledger(tmp_path, [[booked(ended_at=at, date=at.date())]])
    for _ in range(2):
        views = open_views(tmp_path, config=Config(time_zone=zone))
        rows = views.sql("SELECT epoch_us(hour), day FROM hours").fetchall()
        assert rows == [(int(starts.timestamp()) * 10**6, day)]
        _rolled(tmp_path, Config(time_zone=zone))


def test_an_allocated_cost_keeps_its_day(tmp_path: Path) -> None:
    """It ends with the last instant of its period in UTC, which is the next month in Tokyo."""
    at = datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=UTC)
    write_ledger(tmp_path, [[booked(kind="allocated", ended_at=at, date=at.date())]])
    views = open_views(tmp_path, config=Config(time_zone="Asia/Tokyo"))
    rows = views.sql("SELECT hour, day, cost_usd FROM hours").fetchall()
    assert rows == [(None, date(2026, 3, 31), Decimal("0.00035"))]


def test_unpriced_is_no_zero(tmp_path: Path) -> None:
    """Steps without a price add up to NULL, also where a price was taken back."""
    priced = booked(step_id="s")
    unpriced = booked(2, step_id="s", cost_usd=None, cost_status="unpriced")
    write_ledger(tmp_path, [[priced], [reversed_of(priced, 2), unpriced]])
    for _ in range(2):
        rows = open_views(tmp_path).sql("SELECT cost_usd, cost_status, steps FROM days").fetchall()
        assert rows == [(None, "unpriced", 1)]
        _rolled(tmp_path, Config())


def test_only_days_with_new_entries_are_made(tmp_path: Path) -> None:
    """Two days, then one entry more on the first: one is made again. A replaced cube goes after an
    hour, when no reader can have it at hand any more."""
    days = [booked(step_id=str(n), date=date(2026, 3, n)) for n in (1, 2)]
    write_ledger(tmp_path, [days])
    assert _rolled(tmp_path, Config()) == RolledUp(days=2, made=2)
    write_ledger(tmp_path, [[booked(2, step_id="late", date=date(2026, 3, 1))]])
    assert _rolled(tmp_path, Config()) == RolledUp(days=2, made=1)
    first = tmp_path / "rollups" / "date=2026-03-01"
    assert len(list(first.iterdir())) == 2 * len(CUBES)
    for file in first.iterdir():
        os.utime(file, ns=(NOW_NS, NOW_NS))
    write_ledger(tmp_path, [[booked(3, step_id="later", date=date(2026, 3, 1))]])
    _rolled(tmp_path, Config(), NOW_NS + HOUR_NS + 1)
    assert len(list(first.iterdir())) == len(CUBES)
    assert open_views(tmp_path).sql("SELECT sum(steps) FROM hours").fetchall() == [(4,)]


def test_another_time_zone_makes_other_cubes(tmp_path: Path) -> None:
    """A cube cut by another clock is not read."""
    late = NOON.replace(hour=23)
    write_ledger(tmp_path, [[booked(ended_at=late)]])
    _rolled(tmp_path, Config())
    tokyo = Config(time_zone="Asia/Tokyo")
    assert _rolled(tmp_path, tokyo).made == 1
    assert open_views(tmp_path, config=tokyo).sql("SELECT day FROM days").fetchall() == [
        (date(2026, 3, 2),)
    ]


def test_a_run_that_was_cut_off_leaves_no_cube(tmp_path: Path) -> None:
    """Hours without days, and a half-written file, count for nothing."""
    write_ledger(tmp_path, [[booked()]])
    _rolled(tmp_path, Config())
    (folder,) = (tmp_path / "rollups").iterdir()
    (days,) = folder.glob("days-*")
    days.rename(folder / f".{days.name}.77.tmp")
    (hours,) = folder.glob("hours-*")
    hours.write_bytes(b"PAR1")
    assert open_views(tmp_path).sql("SELECT steps FROM hours").fetchall() == [(1,)]
    assert _rolled(tmp_path, Config()).made == 1
    assert open_views(tmp_path).sql("SELECT steps FROM hours").fetchall() == [(1,)]


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    """A ledger file that is gone, and a folder that is a file, each in one sentence."""
    write_ledger(tmp_path, [[booked()]])
    (tmp_path / "rollups").write_text("")
    with pytest.raises(TransientError, match="rollups"):
        _rolled(tmp_path, Config())
    (tmp_path / "rollups").unlink()
    (file,) = (tmp_path / "ledger" / "ledger").rglob("*.parquet")
    file.write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(CorruptionError, match="ledger"):
        _rolled(tmp_path, Config())


def test_an_empty_ledger_has_empty_cubes(tmp_path: Path) -> None:
    """Nothing to make, and views without rows."""
    assert _rolled(tmp_path, Config()) == RolledUp(days=0, made=0)
    assert open_views(tmp_path).sql("SELECT * FROM days").fetchall() == []
