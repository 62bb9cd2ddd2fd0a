"""Progress of long work."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import typer

from agentcost_collector.cli.text import printable

_PAUSE_S = 0.1


@contextlib.contextmanager
def progress_bar(name: str, of: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of how many are done, on a terminal only; `of` says what is counted."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), of, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def waiting_for_ledger(before_pause: Callable[[], None] = lambda: None) -> Callable[[str], None]:
    """What to do again and again until the process that has the ledger gives way: say once who
    that is, and pause."""
    told: set[str] = set()

    def wait(holder: str) -> None:
        if holder not in told:
            typer.echo(
                f"agentcost: waiting for {printable(holder)}, which has the ledger", err=True
            )
            told.add(holder)
        before_pause()
        time.sleep(_PAUSE_S)

    return wait
