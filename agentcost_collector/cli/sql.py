"""`agentcost sql`: one SELECT over the views."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperCommand

from agentcost_collector.cli.options import (
    DataOption,
    RateCardsOption,
    reading,
    settings_from,
    utf8,
)
from agentcost_collector.cli.output import replacing
from agentcost_collector.cli.trail import note
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.settings import Settings

_COMMENTED = re.compile(r"--[^=\s]*\s")


class SqlCommand(TyperCommand):
    """Takes a query that begins with an SQL comment (`-- ...`) for a query, not for an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """No option has white space in its name."""
        return super().parse_args(ctx, [f" {a}" if _COMMENTED.match(a) else a for a in args])


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def sql(
    query: Annotated[
        str,
        typer.Argument(
            metavar="SELECT", help="One SELECT statement.", show_default=False, callback=utf8
        ),
    ],
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format,
        typer.Option(
            "--format",
            help="table for reading; csv with text that spreadsheets take as text;"
            " json with decimals as strings, so that none loses a digit; parquet needs --output.",
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
    rate_cards: RateCardsOption = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.001, help="Give up then.", show_default=False
        ),
    ] = None,
    rows_max: Annotated[
        int | None,
        typer.Option(
            "--rows-max",
            metavar="ROWS",
            min=1,
            help="Refuse an answer with more rows.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Ask the ledger with one SELECT.

    Views: ledger, steps, runs, sessions, chargeback, unattributed, hours, days, spans,
    rates, budgets.
    """
    from agentcost_collector.report.query import select
    from agentcost_collector.report.views import open_views

    if format is Format.PARQUET and output is None:
        raise ConfigError("--format parquet writes binary: name a file with --output")
    settings = reading(settings_from(data=data, rate_cards=rate_cards))
    rates = _rates(settings) if "rates" in query.lower() else None
    budgets = _budgets(settings) if "budgets" in query.lower() else None
    connection = open_views(settings.data, rates, settings.report, budgets)
    rows = _counted(select(connection, query, timeout, rows_max))
    if output is None:
        _write(rows, format, sys.stdout)
    else:
        _write_file(rows, format, output)


def _counted(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows; their number goes into the audit log."""
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        count = 0
        note(rows=count)
        for batch in rows:
            count += batch.num_rows
            note(rows=count)
            yield batch

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _rates(settings: Settings) -> pa.Table:
    from agentcost_collector.cli.rates import rates_table

    return rates_table(settings.rate_card_directories())


def _budgets(settings: Settings) -> pa.Table | None:
    from agentcost_collector.budget import budgets_table
    from agentcost_collector.budgets_file import read_budgets

    return budgets_table(read_budgets(settings.budgets)) if settings.budgets else None


def _write(rows: pa.RecordBatchReader, format: Format, out: TextIO) -> None:  # noqa: A002
    from agentcost_collector.cli import formats

    writers = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }
    writers[format](rows, out)


def _write_file(rows: pa.RecordBatchReader, format: Format, output: Path) -> None:  # noqa: A002
    """Whole or not at all: a query that fails half way leaves what was there before."""
    from agentcost_collector.report.query import write_parquet

    with replacing(output) as fresh:
        if format is Format.PARQUET:
            write_parquet(rows, fresh)
        else:
            with fresh.open("w", encoding="utf-8", newline="") as out:
                _write(rows, format, out)
