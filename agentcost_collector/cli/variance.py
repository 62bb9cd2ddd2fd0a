"""`agentcost variance`: what a period cost more or less, and why."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


class By(StrEnum):
    """What a row is."""

    FEATURE = "feature"
    TEAM = "team"
    TENANT = "tenant"


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


_BUDGET = "budget"
_LAST = "last"


def variance(
    period: Annotated[
        str,
        typer.Option(
            "--period",
            metavar="PERIOD",
            help="As 2026-10, 2026-W41, 2026-Q4, FY2026, last-month.",
        ),
    ] = "last-month",
    by: Annotated[By, typer.Option("--by", help="What a row is.")] = By.FEATURE,
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="PERIOD",
            help="Another period; `last` for the one before; `budget` for what was planned.",
        ),
    ] = _LAST,
    budgets: Annotated[
        Path | None,
        typer.Option("--budgets", metavar="FILE", help="Budgets (YAML).", show_default=False),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="csv and json have all columns.")
    ] = Format.TABLE,
) -> None:
    """Compare a period with the one before, or with its budgets, and split the change into causes.

    Volume, mix of features, tenants, tools and models, retries, tokens a step, price: they add up
    to the change exactly. Rows over their budget are flagged. Steps without a price are counted
    beside.
    """
    from agentcost_collector.budgets_file import read_budgets
    from agentcost_collector.cli import formats
    from agentcost_collector.report.period import Period, day_of
    from agentcost_collector.report.views import open_views
    from agentcost_collector.variance import By as Rows
    from agentcost_collector.variance import Compared
    from agentcost_collector.variance import variance as between

    settings = reading(settings_from(config, data, budgets=budgets))
    known = read_budgets(settings.budgets) if settings.budgets else None
    if against == _BUDGET and known is None:
        raise ConfigError("--against budget: no file of budgets; give --budgets")
    today = day_of(time.time_ns(), settings.report)
    this = Period.parse(period, settings.report, today)
    before = this.before(settings.report)
    if against not in (_BUDGET, _LAST):
        before = Period.parse(against, settings.report, today)
    with open_views(settings.data, config=settings.report) as connection:
        compared = Compared(connection, this, before)
        table = between(compared, Rows(by), settings.report, known, against == _BUDGET)
    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }
    if format is Format.TABLE:
        base = "budget" if against == _BUDGET else before.name
        typer.echo(f"{this.name} against {base}, US dollars\n")
        table = _for_people(table)
    write[format](table.to_reader(), sys.stdout)


def _for_people(table: pa.Table) -> pa.Table:
    """Without causes that no row has."""
    import pyarrow.compute as pc

    from agentcost_collector.variance import CAUSES

    idle = [name for name in CAUSES if not pc.any(pc.not_equal(table[name], 0)).as_py()]
    return table.drop_columns([*idle, "base_unpriced_steps"])
