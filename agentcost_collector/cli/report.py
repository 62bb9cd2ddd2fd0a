"""`agentcost report`: what a period cost, for finance and teams."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    reading,
    settings_from,
    utf8,
)
from agentcost_collector.cli.output import replacing
from agentcost_collector.cli.text import aligned
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.report.config import Config
    from agentcost_collector.report.reports import Outcome, Report


_TABLE_ROWS_MAX = 20
"""Of each environment, on a terminal."""


class Name(StrEnum):
    """Which report."""

    SHOWBACK = "showback"
    CHARGEBACK = "chargeback"
    TENANTS = "tenants"
    UNIT_ECONOMICS = "unit-economics"
    UNATTRIBUTED = "unattributed"


class Format(StrEnum):
    """How it is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    HTML = "html"
    XLSX = "xlsx"


PeriodOption = Annotated[
    str,
    typer.Option(
        "--period",
        metavar="PERIOD",
        help="A day, week, month, quarter or year (2026-05, FY2026-Q2), last-month, FROM..TO.",
        callback=utf8,
    ),
]
SectionOption = Annotated[
    str | None,
    typer.Option("--section", metavar="NAME", help="Only this table of it.", show_default=False),
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        help="Only this one.  [default: all, each in rows of its own]",
        show_default=False,
        callback=utf8,
    ),
]
TimesMedianOption = Annotated[
    int,
    typer.Option("--times-median", min=1, help="tenants: flag those above so many medians."),
]
ShareOption = Annotated[
    int,
    typer.Option("--share", min=0, max=100, help="tenants: flag those above so many % of all."),
]
OutcomeOption = Annotated[
    str | None,
    typer.Option(
        "--outcome",
        metavar="LABEL=VALUE",
        help="unit-economics: the label of a step that makes its run a success."
        "  [default: the setting report.outcome, else no step ended with an error]",
        show_default=False,
        callback=utf8,
    ),
]


PricesOption = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        help="unit-economics: what tenants pay (YAML), for their margins.",
        show_default=False,
    ),
]


def report(
    name: Annotated[Name, typer.Argument(metavar="REPORT", help=", ".join(Name))],
    period: PeriodOption = "this-month",
    format: Annotated[  # noqa: A002
        Format,
        typer.Option(
            "--format", help="csv has one table, the first or --section; xlsx needs --output."
        ),
    ] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write here instead of to the terminal.",
            show_default=False,
            callback=utf8,
        ),
    ] = None,
    section: SectionOption = None,
    environment: EnvironmentOption = None,
    times_median: TimesMedianOption = 10,
    share: ShareOption = 10,
    outcome: OutcomeOption = None,
    prices: PricesOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """What a period cost and who pays, beside the period before it."""
    from agentcost_collector.prices_file import read_prices
    from agentcost_collector.report.period import Period, day_of
    from agentcost_collector.report.reports import Scope, make_report
    from agentcost_collector.report.views import open_views

    if format is Format.XLSX and output is None:
        raise ConfigError("--format xlsx writes binary: name a file with --output")
    settings = reading(settings_from(config, data, prices=prices))
    calendar = settings.report
    today = day_of(time.time_ns(), calendar)
    chosen = Period.parse(period, calendar, today)
    scope = Scope(chosen, chosen.before(calendar), environment)
    made = make_report(
        open_views(settings.data, config=calendar),
        name.value,
        scope,
        calendar,
        today,
        times_median,
        share,
        _outcome(outcome, calendar),
        read_prices(settings.prices) if settings.prices else None,
    )
    made = _only(made, section)
    if output is None:
        _write(made, format, sys.stdout)
    else:
        write_file(made, format, output)


def _outcome(text: str | None, config: Config) -> Outcome | None:
    from agentcost_collector.report.reports import Outcome

    if text is None:
        return Outcome.of(config)
    try:
        return Outcome.parse(text)
    except ValueError as fault:
        raise ConfigError(f"--outcome {text}: {fault}") from fault


def _only(made: Report, section: str | None) -> Report:
    from dataclasses import replace

    if section is None:
        return made
    chosen = [s for s in made.sections if s.name == section]
    if not chosen:
        names = ", ".join(s.name for s in made.sections)
        raise ConfigError(f"--section {section}: {made.name} has none such; give one of {names}")
    return replace(made, sections=chosen)


def write_file(made: Report, format: Format, output: Path) -> None:  # noqa: A002
    """A report as a file, which is replaced whole. ConfigError where it cannot be written."""
    with replacing(output) as fresh:
        if format is Format.XLSX:
            from agentcost_collector.report.reports.workbook import write_workbook

            write_workbook(made, fresh)
        else:
            with fresh.open("w", encoding="utf-8", newline="") as out:
                _write(made, format, out)


def _write(made: Report, format: Format, out: TextIO) -> None:  # noqa: A002
    from agentcost_collector.cli.formats import write_csv, write_table
    from agentcost_collector.report.reports import shortened

    match format:
        case Format.CSV:
            write_csv(made.sections[0].rows.to_reader(), out)
        case Format.JSON:
            _write_json(made, out)
        case Format.HTML:
            from agentcost_collector.report.reports.page import write_page

            out.write(write_page(made))
        case _:
            out.write(f"{made.title}\n{aligned(made.facts)}\n")
            for section in shortened(made, _TABLE_ROWS_MAX).sections:
                out.write(f"\n{section.title}\n")
                write_table(section.rows.to_reader(), out)
                out.write(f"{section.note}\n" if section.note else "")


def _write_json(made: Report, out: TextIO) -> None:
    """An object of objects, a row of a table to a line."""
    from agentcost_collector.cli.formats import write_json

    head = {"report": made.name, "title": made.title, "facts": dict(made.facts)}
    out.write(json.dumps(head, indent=1).removesuffix("\n}") + ',\n "sections": {')
    for number, section in enumerate(made.sections):
        out.write(f"{',' if number else ''}\n{json.dumps(section.name)}: ")
        write_json(section.rows.to_reader(), out)
    out.write("}}\n")
