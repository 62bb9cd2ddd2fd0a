"""Recordings replayed into a ledger that is thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from agentcost_collector.replay import replay
from agentcost_collector.report.views import open_views
from agentcost_collector.settings import Settings


@dataclass(frozen=True)
class Trial:
    """What became of some recordings."""

    connection: duckdb.DuckDBPyConnection
    """All views over the ledger that they made."""
    faults: tuple[str, ...]
    """What of the recordings could not be used; costs are too low by it."""


@contextmanager
def tried(
    paths: Sequence[Path],
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Trial]:
    """Replays `paths` with the cards and policy of `settings`, whose data folder stays untouched.

    `progress(bytes done, bytes in all)`. ConfigError where cards or policy cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="agentcost-") as folder:
        own = settings.model_copy(update={"data": Path(folder)})
        tally = replay(paths, own, progress)
        faults = list(tally.malformed)
        if tally.quarantined:
            faults.append(f"{tally.quarantined} spans are invalid and were left out")
        with open_views(own.data) as connection:
            yield Trial(connection, tuple(faults))
