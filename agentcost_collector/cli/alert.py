"""`agentcost alert`: what was raised, and whether the doors work."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.text import aligned
from agentcost_collector.model.errors import ConfigError, TransientError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What the service raised alerts for, and whether they arrive.",
)


class Format(StrEnum):
    """How the list is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.command("test")
def send_test(config: ConfigOption = None) -> None:
    """Send one test alert through every door that is set, and say what each answered.

    Exit code 1 where one did not take it. Nothing of it is recorded.
    """
    from agentcost_collector.alert.doors import doors_of
    from agentcost_collector.alert.record import Raised
    from agentcost_collector.alert.rules import Alert

    doors = doors_of(settings_from(config).alerts)
    if not doors:
        raise ConfigError("no door is set: set alerts.urls or alerts.alertmanager; docs/alerts.md")
    alert = Alert(
        rule="test",
        scope="everything",
        period="now",
        level="1",
        severity="warning",
        owner="nobody",
        figures={},
        summary="This is a test of agentcost alerts.",
        what_to_do="Nothing: that you read this shows that the door works.",
    )
    answers: list[tuple[str, object]] = []
    refused = False
    for door in doors:
        try:
            answers.append((door.name, door.tell([Raised(1, alert, time.time_ns(), ())])))
        except TransientError as error:
            refused = True
            answers.append((door.name, f"refused: {error}"))
    typer.echo(aligned(answers))
    raise typer.Exit(int(refused))


@app.command("list")
def list_(
    format_: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List the alerts that were raised, oldest first, and which doors have them."""
    import pyarrow as pa

    from agentcost_collector.alert.record import Raised, Record
    from agentcost_collector.cli import formats

    record = Record(reading(settings_from(config, data)).data)
    record.refresh()

    def row(raised: Raised) -> dict[str, object]:
        alert = raised.alert
        return {
            "raised_at": raised.at_ns // 1000,
            "resolved_at": raised.resolved_ns and raised.resolved_ns // 1000,
            "rule": alert.rule,
            "scope": alert.scope,
            "period": alert.period,
            "level": alert.level,
            "severity": alert.severity,
            "owner": alert.owner,
            "summary": alert.summary,
            "what_to_do": alert.what_to_do,
            "not_sent_to": ", ".join(door for door in raised.doors if raised.waiting(door)),
        }

    at = pa.timestamp("us", tz="UTC")
    texts = ("rule", "scope", "period", "level", "severity", "owner", "summary", "what_to_do")
    schema = pa.schema(
        [("raised_at", at), ("resolved_at", at)]
        + [(name, pa.string()) for name in (*texts, "not_sent_to")]
    )
    rows = pa.Table.from_pylist([row(raised) for raised in record.raised], schema=schema)
    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }[format_]
    write(rows.to_reader(), sys.stdout)
