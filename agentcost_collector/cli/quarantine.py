"""`agentcost quarantine`: spans that were set aside, and what to do with them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcost_collector.cli.options import (
    INSTANT,
    ConfigOption,
    DataOption,
    instant_ns,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.text import aligned
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.reasons import RejectReason

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.journal.quarantine import Wanted
    from agentcost_collector.journal.reader import JournalReader
    from agentcost_collector.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Spans that could not be used: see them, see why, release them.",
)

_WAIT_S = 30
_PAUSE_S = 0.1

ReasonOption = Annotated[
    RejectReason | None,
    typer.Option("--reason", help="Only those set aside for this reason.", show_default=False),
]


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command("list")
def list_(
    reason: ReasonOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DATE",
            help=f"Only those that came since then: {INSTANT}.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="table for reading, csv or json for programs.")
    ] = Format.TABLE,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the spans in quarantine, newest first; the released ones with them.

    `arrivals` says how often the same span came, `released` at which position of the journal it
    went on its way.
    """
    from agentcost_collector.cli import formats
    from agentcost_collector.journal.quarantine import Wanted

    since_ns = instant_ns("--since", since) if since else 0
    rows = _rows(reading(settings_from(config, data)), Wanted(reason=reason, since_ns=since_ns))
    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }[format]
    write(_listed(rows).to_reader(), sys.stdout)


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` names it.")],
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Show all that is kept of one span in quarantine."""
    from agentcost_collector.journal.quarantine import Wanted

    rows = _rows(reading(settings_from(config, data)), Wanted(numbers=[number]))
    if not rows.num_rows:
        raise ConfigError(f"number {number} is not in quarantine; `agentcost quarantine list`")
    typer.echo(aligned(_facts(rows.to_pylist()[0])))


@app.command("retry")
def retry(
    numbers: Annotated[
        list[int] | None,
        typer.Argument(metavar="[NUMBER]...", help="As `list` names them.", show_default=False),
    ] = None,
    reason: ReasonOption = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Put what is right in the place of what is wrong: zeros before a trace id of 8"
            " bytes, a digest for another wrong id, the span's other time or that of its receipt"
            " for a time out of range or far ahead.",
        ),
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Send spans from quarantine on their way, as if they came now.

    Those that are valid by the rules of this version; with --repair all that are named. Each is
    released once. The service may run; without it they are taken into the journal at once and
    settled when it next runs. Exit code 1 where any stays in quarantine.
    """
    from agentcost_collector.decode.release import released_spans
    from agentcost_collector.journal.quarantine import Wanted
    from agentcost_collector.journal.reader import JournalReader
    from agentcost_collector.model.schemas import REJECTS

    if not numbers and reason is None:
        raise ConfigError("say which: numbers as `agentcost quarantine list` shows, or --reason")
    settings = writing(reading(settings_from(config, data)))
    wanted = Wanted(numbers or None, reason, kept_only=True)
    with closing(JournalReader.open(settings.journal_path, settings.journal)) as journal:
        kept = journal.quarantined(wanted)
        _, rows = released_spans(kept.select(REJECTS.names), repair, time.time_ns())
        valid = kept.column("number").take(rows).to_pylist()
        released = _release(journal, settings, valid, repair) if valid else 0
    typer.echo(aligned([("released", released), ("still in quarantine", kept.num_rows - released)]))
    if released < len(valid):
        _complain("the receiver has not taken them in yet; it will. `agentcost status` counts them")
    elif released < kept.num_rows:
        _complain("what stays is still not valid; --repair says how it can be made so")
    if released < kept.num_rows:
        raise typer.Exit(1)


def _release(
    journal: JournalReader, settings: Settings, numbers: Sequence[int], repair: bool
) -> int:
    """Asks for it, then does it where no service runs, or waits for the one that does."""
    from agentcost_collector.decode.release import released_spans
    from agentcost_collector.journal.quarantine import Wanted
    from agentcost_collector.journal.writer import Journal

    asked = journal.ask_release(numbers, repair)
    deadline = time.monotonic() + _WAIT_S
    while asked.exists() and time.monotonic() < deadline:
        try:
            writer = Journal.open(settings.journal_path, settings.journal)
        except ConfigError:  # the service has it, and will see the request
            time.sleep(_PAUSE_S)
            continue
        with writer:
            writer.release_asked(partial(released_spans, now_ns=time.time_ns()))
    left = journal.quarantined(Wanted(numbers, kept_only=True)).num_rows
    return len(numbers) - left


def _rows(settings: Settings, wanted: Wanted) -> pa.Table:
    from agentcost_collector.journal.reader import JournalReader

    with closing(JournalReader.open(settings.journal_path, settings.journal)) as journal:
        return journal.quarantined(wanted)


def _listed(rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    services = [
        json.loads(text or "{}").get("service.name") for text in rows.column("resource").to_pylist()
    ]
    received = rows.column("received_at_ns").cast(pa.timestamp("ns", "UTC"))
    columns = {
        "number": rows.column("number"),
        "received_at": received.cast(pa.timestamp("us", "UTC"), safe=False),
        "reason": rows.column("reason"),
        "detail": rows.column("detail"),
        "service": pa.array(services, pa.string()),
        "name": rows.column("name"),
        "trace_id": rows.column("trace_id"),
        "span_id": rows.column("span_id"),
        "arrivals": rows.column("arrivals"),
        "released": rows.column("released"),
    }
    return pa.table(columns)


def _facts(row: dict[str, Any]) -> Iterator[tuple[str, object]]:
    attributes, links = row.pop("attributes") or (), row.pop("links") or ()
    row["received_at"] = datetime.fromtimestamp(row.pop("received_at_ns") // 10**9, UTC).isoformat()
    resource = json.loads(row.pop("resource") or "{}")
    for name, value in row.items():
        if value is not None:
            yield name, value
    for name, value in resource.items():
        yield f"resource {name}", value
    for name, value in attributes:
        yield f"attribute {name}", value
    for link in links:
        yield "link", f"trace {link['trace_id']} span {link['span_id']}"


def _complain(sentence: str) -> None:
    typer.echo(f"agentcost: {sentence}", err=True)
