"""`agentcost budget`: what spending is signed, and how far it is."""

from __future__ import annotations

import sys
import time
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.text import aligned, printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.budget import Budget, Budgets, Kind
    from agentcost_collector.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check, sign and follow budgets.",
)


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


BudgetsOption = Annotated[
    Path | None,
    typer.Option("--budgets", metavar="FILE", help="Budgets (YAML).", show_default=False),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the budget.", show_default=False)
]
ByOption = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who says so.", show_default=False)
]

_SHOWN = ("budget", "tier", "period", "measure", "cap", "spent", "used", "forecast")
_SHOWN_TOO = ("unpriced_steps", "unattributed_usd", "state", "what_to_do")


@app.command("check")
def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Budgets (YAML).  [default: the setting `budgets`]",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Check a file of budgets and the records of what was said of them.

    Exit code 2 with file, line and what to do where it cannot be used; 1 where a record was edited.
    """
    from agentcost_collector.budget import Records

    settings = settings_from(config, data, budgets=file)
    budgets = _budgets(settings)
    records = Records.read(settings.budget_records_path)
    unsigned = [budget.name for budget in budgets.budgets if not records.signed(budget)]
    typer.echo(printable(f"{settings.budgets}: can be used"))
    facts = [
        ("budgets", len(budgets.budgets)),
        ("records", len(records.all)),
        ("not signed", ", ".join(unsigned) or "none"),
    ]
    typer.echo(aligned(facts))


@app.command("status")
def status(
    on: Annotated[
        str | None,
        typer.Option(
            "--on",
            metavar="DATE",
            help="As of this day.  [default: today]",
            show_default=False,
        ),
    ] = None,
    budgets: BudgetsOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="csv and json have all columns.")
    ] = Format.TABLE,
) -> None:
    """Show how far each budget is in its period.

    Exit code 1 where a cap is passed and nobody has acknowledged it. What has no price yet, and
    what no feature pays, is shown beside.
    """
    from agentcost_collector.budget import OPEN, Records, status_of
    from agentcost_collector.cli import formats
    from agentcost_collector.report.views import open_views

    settings = reading(settings_from(config, data, budgets=budgets))
    known = _budgets(settings)
    records = Records.read(settings.budget_records_path)
    today = _day("--on", on) if on else _today(settings)
    with open_views(settings.data, config=settings.report) as connection:
        table = status_of(connection, known, records, today, settings.report)
    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }
    shown = table.select((*_SHOWN, *_SHOWN_TOO)) if format is Format.TABLE else table
    write[format](shown.to_reader(), sys.stdout)
    if _passed(table, OPEN):
        raise typer.Exit(1)


@app.command("sign")
def sign(
    name: NameArgument,
    by: ByOption,
    budgets: BudgetsOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Sign a budget as it is now. Changed later, it has to be signed again."""
    from agentcost_collector.budget import Kind

    settings = writing(settings_from(config, data, budgets=budgets))
    budget = _named(settings, name)
    _record(settings, Kind.SIGNED, budget, by)
    typer.echo(printable(f"{name}: signed by {by}"))


@app.command("ack")
def ack(
    name: NameArgument,
    by: ByOption,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why it may be.", show_default=False)
    ],
    until: Annotated[
        str,
        typer.Option(
            "--until", metavar="DATE", help="First day that it no longer holds.", show_default=False
        ),
    ],
    budgets: BudgetsOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Acknowledge that the present period of a budget is over its cap, or will be.

    It holds until the day given, at most to the end of the period.
    """
    from agentcost_collector.budget import Kind

    settings = writing(settings_from(config, data, budgets=budgets))
    budget = _named(settings, name)
    last = _day("--until", until)
    if last <= _today(settings):
        raise ConfigError(f"--until {until}: is over; give a day after today")
    _record(settings, Kind.ACKNOWLEDGED, budget, by, reason, last)
    typer.echo(printable(f"{name}: acknowledged by {by} until {last}"))


def _budgets(settings: Settings) -> Budgets:
    from agentcost_collector.budgets_file import read_budgets

    if settings.budgets is None:
        raise ConfigError("no file of budgets; give one, or set `budgets` in the settings")
    return read_budgets(settings.budgets)


def _named(settings: Settings, name: str) -> Budget:
    budgets = _budgets(settings)
    budget = budgets.named(name)
    if budget is None:
        known = ", ".join(each.name for each in budgets.budgets)
        raise ConfigError(f"{name}: {settings.budgets} has no budget of this name; it has {known}")
    return budget


def _record(
    settings: Settings,
    kind: Kind,
    budget: Budget,
    by: str,
    reason: str | None = None,
    until: date | None = None,
) -> None:
    from agentcost_collector.budget import Record, append
    from agentcost_collector.report.period import Period

    for option, text in (("--by", by), ("--reason", reason)):
        if text is not None and not text.strip():
            raise ConfigError(f"{option}: is empty; say it in words")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    period = None
    if until is not None:
        period = Period.of(budget.period, _today(settings), settings.report).name
    said = Record(at, kind, budget.name, budget.digest, by, reason, period, until)
    append(settings.budget_records_path, said)


def _passed(table: pa.Table, states: tuple[str, ...]) -> bool:
    return any(state in states for state in table["state"].to_pylist())


def _today(settings: Settings) -> date:
    from agentcost_collector.report.period import day_of

    return day_of(time.time_ns(), settings.report)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {printable(text)}: should be a day, as 2026-11-30") from None
