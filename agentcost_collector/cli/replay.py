"""`agentcost replay`: recorded traces into a ledger, without a network."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    PolicyOption,
    RateCardsOption,
    settings_from,
    writing,
)
from agentcost_collector.cli.text import aligned, printable

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Recorded traces: files, folders or globs (.otlp.bin, .pb, .json, .jsonl; .gz, .zst).",
        show_default=False,
    ),
]


def replay(
    paths: PathsArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    rate_cards: RateCardsOption = None,
    policy: PolicyOption = None,
) -> None:
    """Settle recorded traces into a ledger, without a network.

    Replaying the same traces again changes nothing. Exit code 1 where a request or the rest of a
    file could not be read; everything else is settled.
    """
    from agentcost_collector.memory import keep_freed_memory
    from agentcost_collector.recordings import find_recordings
    from agentcost_collector.replay import replay as replay_files
    from agentcost_collector.telemetry import configure_logging

    files = find_recordings(paths)
    settings = writing(settings_from(config, data, rate_cards, policy=policy))
    configure_logging(settings.log_level)
    keep_freed_memory()
    with replay_progress() as progress:
        tally = replay_files(files, settings, progress)
    counts = [(f.name, getattr(tally, f.name)) for f in fields(tally) if f.name != "malformed"]
    facts = [("files", len(files)), *counts, ("malformed", len(tally.malformed))]
    typer.echo(aligned(facts))
    for reason in tally.malformed:
        typer.echo(printable(f"agentcost: {reason}"), err=True)
    if tally.malformed:
        raise typer.Exit(1)


@contextlib.contextmanager
def replay_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes read, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replay", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
