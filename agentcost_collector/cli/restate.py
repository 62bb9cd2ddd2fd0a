"""`agentcost restate`: history worked out again, differences booked."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcost_collector.cli.options import (
    INSTANT,
    ConfigOption,
    DataOption,
    PolicyOption,
    RateCardsOption,
    instant_ns,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.progress import progress_bar, waiting_for_ledger
from agentcost_collector.cli.text import aligned, amount
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.restate import Restated

_INTERRUPTED = 130
_END_NS = 2**63 - 1


class Format(StrEnum):
    """How the summary is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def restate(
    since: Annotated[
        str,
        typer.Option("--from", metavar="DATE", help=f"First instant: {INSTANT}."),
    ],
    until: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="DATE",
            help="First instant that is left out, written likewise.  [default: the end]",
            show_default=False,
        ),
    ] = None,
    policy: PolicyOption = None,
    rate_cards: RateCardsOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be booked; write nothing.")
    ] = False,
    format: Annotated[  # noqa: A002
        Format,
        typer.Option("--format", help="csv holds what was moved; json everything, exact."),
    ] = Format.TABLE,
) -> None:
    """Work out history again and book only the differences.

    For every trace that began in the period and whose spans are kept: prices, tags and rules as
    they are now. Nothing is rewritten: a correction is a reversal and a new entry. A running
    service gives way meanwhile; start it with the same settings, or its next late span books back.
    Interrupted with Ctrl-C (exit code 130) it can be run again.
    """
    from agentcost_collector.ledger.history import Period
    from agentcost_collector.memory import keep_freed_memory
    from agentcost_collector.restate import Outside
    from agentcost_collector.restate import restate as restate_history
    from agentcost_collector.telemetry import configure_logging

    period = Period(instant_ns("--from", since), instant_ns("--to", until) if until else _END_NS)
    if period.since_ns >= period.until_ns:
        raise ConfigError(f"--from {since} is not before --to {until}")
    settings = reading(settings_from(config, data, rate_cards, policy=policy))
    if not dry_run:
        writing(settings)
    configure_logging(settings.log_level)
    keep_freed_memory()
    with _stoppable() as stopped, progress_bar("restate", "spans") as progress:

        def end_where_stopped() -> None:
            if stopped():
                raise typer.Exit(_INTERRUPTED)

        outside = Outside(progress, waiting_for_ledger(end_where_stopped), stopped)
        done = restate_history(settings, period, dry_run, outside)
    _write(done, dry_run, format)
    if done.interrupted:
        left = f"{done.traces} of {done.traces_all} traces are done; run it again for the others"
        typer.echo(f"agentcost: interrupted: {left}", err=True)
        raise typer.Exit(_INTERRUPTED)


@contextlib.contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; pressed twice it ends the command at once."""
    asked = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def note(*_: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, usual)


def _write(done: Restated, dry_run: bool, format: Format) -> None:  # noqa: A002
    from agentcost_collector.cli import formats

    match format:
        case Format.JSON:
            typer.echo(json.dumps(_facts(done, dry_run), indent=1, default=_plain))
        case Format.CSV:
            formats.write_csv(done.moves.to_reader(), sys.stdout)
        case Format.TABLE:
            typer.echo(aligned(_summary(done, dry_run)))
            if done.moves.num_rows:
                typer.echo("")
                formats.write_table(done.moves.to_reader(), sys.stdout)


def _facts(done: Restated, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "interrupted": done.interrupted,
        "traces": done.traces,
        "spans": done.spans,
        "steps": done.steps,
        "entries": done.entries,
        "entries_without_spans": done.entries_alone,
        "cost_usd_before": done.cost_usd_before,
        "cost_usd_after": done.cost_usd_after,
        "difference_usd": done.cost_usd_after - done.cost_usd_before,
        "unpriced_steps_before": done.unpriced_before,
        "unpriced_steps_after": done.unpriced_after,
        "moves": done.moves.to_pylist(),
    }


def _plain(value: Decimal) -> str:
    return format(value, "f")


def _summary(done: Restated, dry_run: bool) -> Iterator[tuple[str, object]]:
    yield "traces", done.traces
    yield "spans", done.spans
    yield "steps", done.steps
    yield "entries to write" if dry_run else "entries written", done.entries
    if done.entries_alone:
        yield "entries without spans", f"{done.entries_alone}, left as they are"
    yield "cost before", f"${amount(done.cost_usd_before)}"
    yield "cost after", f"${amount(done.cost_usd_after)}"
    yield "difference", f"${amount(done.cost_usd_after - done.cost_usd_before)}"
    yield "unpriced steps", f"{done.unpriced_before} before, {done.unpriced_after} after"
