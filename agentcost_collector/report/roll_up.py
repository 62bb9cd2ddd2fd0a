"""Makes the cubes that are missing: of days of the ledger that got new entries."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from agentcost_collector.ledger.disk import make_directory, sync
from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import (
    BY_PAYER,
    BY_WORK,
    CUBES,
    DAYS,
    HOURS,
    Cubes,
    columns,
    hours_of,
    sums,
)
from agentcost_collector.report.query import MEMORY_LIMIT, sentence
from agentcost_collector.report.sql import quoted
from agentcost_collector.report.views import create_tables, snapshot_of

_KEPT_NS = 3600 * 10**9
"""A reader may have listed a cube just before it was replaced."""


@dataclass(frozen=True)
class RolledUp:
    """What was done."""

    days: int
    """Days of the ledger."""
    made: int
    """Of them, those whose cubes were made now."""


def roll_up(
    data: Path, config: Config, now_ns: int, progress: Callable[[int, int], None]
) -> RolledUp:
    """Makes the cubes of every day whose entries changed since; the others cost nothing.

    `progress(days done, days to do)`. Interrupted at any point, it can simply be run again. Two at
    a time do no harm. CorruptionError where the ledger cannot be read, TransientError where the
    disk refused.
    """
    snapshot = snapshot_of(data)
    cubes = Cubes.of(data, snapshot, config)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{MEMORY_LIMIT}'")
        create_tables(connection, snapshot)
        for done, day in enumerate(cubes.stale, start=1):
            _make(connection, cubes, day, now_ns)
            progress(done, len(cubes.stale))
    return RolledUp(len(cubes.digests), len(cubes.stale))


def _make(connection: duckdb.DuckDBPyConnection, cubes: Cubes, day: str, now_ns: int) -> None:
    entries = hours_of(f"ledger WHERE date = DATE {quoted(day)}", cubes.config)
    made = {name: cubes.path(name, day) for name in CUBES}
    folder = made[HOURS].parent
    try:
        make_directory(folder)
        for name, source in ((HOURS, None), (DAYS, HOURS), (BY_PAYER, DAYS), (BY_WORK, DAYS)):
            rows = f"read_parquet({quoted(str(made[source]))})" if source else entries
            _write(connection, name, rows, made[name])
        _remove_replaced(folder, set(made.values()), now_ns)
    except OSError as fault:
        raise TransientError(f"{folder} cannot be written: {fault.strerror}") from fault


def _write(connection: duckdb.DuckDBPyConnection, name: str, rows: str, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    order = [key for key in ("hour", "day", "team", "feature", "model") if key in columns(name)]
    try:
        connection.execute(
            f"COPY ({sums(name, rows)} ORDER BY {', '.join(order)})"
            f" TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd)"
        )
        sync(temporary)
        temporary.rename(path)
        sync(path.parent)
    except duckdb.IOException as fault:
        raise TransientError(f"{path} cannot be written: {sentence(fault)}") from fault
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
    finally:
        temporary.unlink(missing_ok=True)


def _remove_replaced(folder: Path, current: set[Path], now_ns: int) -> None:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # another run was faster
            if file not in current and file.stat().st_mtime_ns < now_ns - _KEPT_NS:
                file.unlink()
