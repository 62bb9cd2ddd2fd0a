"""`agentcost duckdb`: the views in a DuckDB file, for any other client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentcost_collector.cli.options import (
    DataOption,
    RateCardsOption,
    reading,
    settings_from,
    utf8,
)


def duckdb_file(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            metavar="FILE",
            help="The DuckDB file.",
            show_default=False,
            callback=utf8,
        ),
    ],
    data: DataOption = None,
    rate_cards: RateCardsOption = None,
) -> None:
    """Write a DuckDB file with the views, for notebooks and BI tools.

    It holds the paths of the ledger's files as of now, not the rows; write it again to see more.
    """
    from agentcost_collector.budget import budgets_table
    from agentcost_collector.budgets_file import read_budgets
    from agentcost_collector.cli.rates import rates_table
    from agentcost_collector.report.views import write_views

    settings = reading(settings_from(data=data, rate_cards=rate_cards))
    rates_of = rates_table(settings.rate_card_directories())
    budgets = budgets_table(read_budgets(settings.budgets)) if settings.budgets else None
    write_views(settings.data, output, rates_of, settings.report, budgets)
    typer.echo(f"{output}: views over {settings.data.absolute()}")
