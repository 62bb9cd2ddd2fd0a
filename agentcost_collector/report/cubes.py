"""Sums of the ledger by hour and by day, kept as Parquet beside it.

    <data>/rollups/date=2026-05-28/hours-<digest>.parquet
                                   days-<digest>.parquet
                                   days_by_payer-<digest>.parquet
                                   days_by_work-<digest>.parquet

A cube holds the sums of the entries of one day of the ledger and is named by a digest of the names
of exactly the files that it sums. The last two have fewer columns, and so far fewer rows. Whoever
has a snapshot of the ledger so knows which cubes are right, and sums the entries of the other days
itself: nothing can be out of date, and to roll up is only to make the next question cheaper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Self

import pyarrow as pa

from agentcost_collector.ledger.reader import Snapshot
from agentcost_collector.model.money import QUANTITY, USD
from agentcost_collector.model.schemas import ALLOCATED, MONEY, TAGS, TOKENS
from agentcost_collector.report.config import Config
from agentcost_collector.report.period import Period
from agentcost_collector.report.sql import quoted

FOLDER = "rollups"
HOURS, DAYS, BY_PAYER, BY_WORK = "hours", "days", "days_by_payer", "days_by_work"

DIMENSIONS = (
    *TAGS,
    "unattributed_reason",
    *("owner_team", "owner_feature", "owner_service"),
    *("service", "workflow", "agent", "provider", "model", "kind", "tool", "unit"),
    *("status", "cost_status"),
)
_QUANTITIES = ("units", "gpu_seconds", "cpu_seconds", "gib_seconds")
_AMOUNTS = (*MONEY, "reported_cost_usd")

CUBE = pa.schema(
    [
        ("hour", pa.timestamp("us", tz="UTC")),  # its start; NULL for allocated costs
        ("day", pa.date32()),
        *((name, pa.string()) for name in DIMENSIONS),
        ("steps", pa.int64()),
        *((name, pa.int64()) for name in TOKENS),
        *((name, pa.decimal128(38, QUANTITY.scale)) for name in _QUANTITIES),
        *((name, pa.decimal128(38, USD.scale)) for name in _AMOUNTS),
    ]
)
"""Row = standing steps of one hour that are alike in DIMENSIONS, and what they add up to. Hours and
days are those of the organisation's time zone. The other cubes lack some columns."""

_FORMAT = 1
"""Of cube files: those of another one are made again."""

_ALLOCATED = f"(kind IS NOT DISTINCT FROM {quoted(ALLOCATED)})"
_WHEN = ("hour", "day")
_MEASURES = [name for name in CUBE.names if name not in (*_WHEN, *DIMENSIONS)]
_DAILY = ("day", *DIMENSIONS)
_KEYS = {
    HOURS: ("hour", *_DAILY),
    DAYS: _DAILY,
    # there are many tenants, and most of them do most kinds of work each day
    BY_PAYER: ("day", *TAGS, "unattributed_reason", "cost_status"),
    BY_WORK: tuple(name for name in _DAILY if name != "tenant"),
}
"""What the rows of each cube are alike in."""
CUBES = tuple(_KEYS)


@dataclass(frozen=True)
class Cubes:
    """Which cubes are right for one snapshot of the ledger."""

    folder: Path
    config: Config
    digests: Mapping[str, str]
    """Of the files of each day of the ledger, by its date."""
    files: Mapping[str, Sequence[str]]
    """Ledger files of each day."""
    fresh: Sequence[str]
    """Days whose cubes are there."""

    @classmethod
    def of(cls, data: Path, snapshot: Snapshot, config: Config) -> Self:
        """Looks which of them are there."""
        folder = data.absolute() / FOLDER
        files: dict[str, list[str]] = {}
        for file in sorted(snapshot.ledger_files):
            files.setdefault(_day(file), []).append(file)
        digests = {day: _digest(of_day, config) for day, of_day in sorted(files.items())}
        cubes = cls(folder, config, digests, files, ())
        there = [day for day in digests if all(cubes.path(n, day).exists() for n in CUBES)]
        return cls(folder, config, digests, files, there)

    @property
    def stale(self) -> list[str]:
        """Days whose entries have to be summed."""
        return sorted(self.digests.keys() - set(self.fresh))

    def path(self, name: str, day: str) -> Path:
        """File of a cube of one day of the ledger."""
        return self.folder / f"date={day}" / f"{name}-{self.digests[day]}.parquet"

    def views(self) -> list[str]:
        """SQL of the view of each of CUBES, over the files that are right and `ledger`."""
        return [f"CREATE VIEW {name} AS {self._rows(name)}" for name in CUBES]

    def readable(self) -> list[str]:
        """All files that `views` reads besides the ledger's."""
        return [str(self.path(name, day)) for day in self.fresh for name in CUBES]

    def _rows(self, name: str) -> str:
        listed = ", ".join(quoted(str(self.path(name, day))) for day in self.fresh)
        stored = f"SELECT {', '.join(columns(name))} FROM read_parquet([{listed}])"
        dates = ", ".join(f"DATE {quoted(day)}" for day in self.stale)
        entries = f"ledger WHERE date IN ({dates})" if dates else "ledger WHERE false"
        summed = sums(name, hours_of(entries, self.config))
        return f"{stored} UNION ALL {summed}" if listed else summed


def columns(name: str) -> list[str]:
    """Columns of one of CUBES."""
    return [*_KEYS[name], *_MEASURES]


def days_with(dimensions: Iterable[str]) -> str:
    """The cube of days with the fewest rows that has all of these columns."""
    wanted = {"day", *dimensions}
    return next(name for name in (BY_PAYER, BY_WORK, DAYS) if wanted <= set(_KEYS[name]))


def hours_of(entries: str, config: Config) -> str:
    """SQL: `entries` with the `hour` and `day` of each, by the organisation's clock.

    The hour is that of the clock on the wall, so that it lies in one day also where the zone is
    half an hour off UTC. An allocated cost has no hour and the day that it is filed under.
    """
    wall = f"timezone({quoted(config.time_zone)}, ended_at)"
    return f"""(
SELECT *, sign AS steps,
    CASE WHEN NOT {_ALLOCATED}
        THEN ended_at - ({wall} - date_trunc('hour', {wall})) END AS hour,
    CASE WHEN {_ALLOCATED} OR ended_at IS NULL THEN date ELSE CAST({wall} AS DATE) END AS day
FROM {entries})"""


def entries_of(period: Period, config: Config) -> str:
    """SQL: the entries of a period, as `hours_of` gives them.

    What the clock on the wall said is dear to find out, so only those within a day of the ends of
    the period are asked.
    """
    day = timedelta(days=1)
    near = _ended(period.first - day, period.until + day)
    inside = _ended(period.first + day, period.until - day)
    filed = f"date >= DATE '{period.first}' AND date < DATE '{period.until}'"
    entries = f"ledger WHERE {near} OR (({_ALLOCATED} OR ended_at IS NULL) AND {filed})"
    of_them = hours_of(entries, config)
    return f"(SELECT * FROM {of_them} WHERE ({inside} AND NOT {_ALLOCATED}) OR {period.where})"


def sums(name: str, rows: str) -> str:
    """SQL of one of CUBES from `hours_of` some entries, or from rows of a cube with its columns.

    What was reversed within a group is gone from it: then no step of it stands.
    """
    added = [f"CAST(sum({column}) AS {_sql_type(column)}) AS {column}" for column in _MEASURES]
    listed = ", ".join([*_KEYS[name], *added])
    return f"SELECT {listed} FROM {rows} GROUP BY ALL HAVING sum(steps) <> 0"


def _ended(first: date, until: date) -> str:
    """SQL: entries that ended in these days of UTC."""
    begin, end = (f"TIMESTAMPTZ '{day} 00:00:00+00'" for day in (first, until))
    return f"(ended_at >= {begin} AND ended_at < {end})"


def _sql_type(column: str) -> str:
    of_type = CUBE.field(column).type
    return f"DECIMAL(38,{of_type.scale})" if pa.types.is_decimal(of_type) else "BIGINT"


def _day(file: str) -> str:
    """The `date` in the path of a ledger file."""
    return Path(file).parent.name.removeprefix("date=")


def _digest(files: Sequence[str], config: Config) -> str:
    names = [f"{Path(file).parent.parent.name}/{Path(file).name}" for file in files]
    said = "\n".join([str(_FORMAT), config.time_zone, *names])
    return hashlib.sha256(said.encode()).hexdigest()[:32]
