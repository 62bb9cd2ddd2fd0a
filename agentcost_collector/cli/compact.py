"""`agentcost compact`: small files of the ledger merged, and what nobody needs deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.progress import waiting_for_ledger
from agentcost_collector.cli.text import aligned, printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.ledger.upkeep import Upkeep

_COMPACT = "compact"


def compact(
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="DAY",
            help="Only UTC days before this one (2026-11-01), and all of them."
            "  [default: days without a commit for ledger.compact_quiet_h]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be merged; write nothing.")
    ] = False,
) -> None:
    """Merge the small files of closed days, and delete what nobody needs.

    Every row, sum and seal stays as it is; that is checked before a merge counts, else it is
    refused (exit code 1). Files that were replaced stay for ledger.replaced_kept_h, for readers
    that have begun. Evidence older than ledger.spans_kept_days goes, where that is set. A running
    service gives way meanwhile; it does the same by itself every ledger.compact_every_h.
    """
    from agentcost_collector.ledger.ledger import Ledger
    from agentcost_collector.ledger.reader import LedgerReader
    from agentcost_collector.ledger.upkeep import Upkeep
    from agentcost_collector.telemetry import configure_logging

    day = _day(before) if before else None
    settings = reading(settings_from(config, data))
    configure_logging(settings.log_level)
    if dry_run:
        reader = LedgerReader(settings.ledger_path)
        due = reader.upkeep_due(settings.ledger, time.time_ns(), day)
        typer.echo(aligned(_planned(due)))
        return
    done = Upkeep()
    with Ledger.open_in_turn(
        settings.ledger_path, _COMPACT, settings.ledger, waiting_for_ledger()
    ) as ledger:
        for piece in ledger.upkeep(time.time_ns(), day):
            done += piece
    typer.echo(aligned(_done(done)))
    for refusal in done.refused:
        typer.echo(printable(f"agentcost: {refusal}"), err=True)
    if done.refused:
        raise typer.Exit(1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--before {printable(text)}: should be a day (2026-11-01)") from error


def _planned(due: Upkeep) -> Iterator[tuple[str, object]]:
    yield "files to merge", due.files_merged
    yield "into files", due.files_new
    yield "rows", due.rows_merged
    yield "bytes now", due.bytes_before
    yield "spans to retire", due.spans_retired


def _done(done: Upkeep) -> Iterator[tuple[str, object]]:
    yield "files merged", done.files_merged
    yield "into files", done.files_new
    yield "rows", done.rows_merged
    yield "bytes before", done.bytes_before
    yield "bytes after", done.bytes_after
    yield "spans retired", done.spans_retired
    yield "files deleted", done.files_deleted
    yield "log entries deleted", done.log_entries_deleted
