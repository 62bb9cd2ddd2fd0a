"""From a period to its features, and from a feature to its runs: `agentcost explain` of those."""

from __future__ import annotations

import io
import json
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import typer

from agentcost_collector.cli import formats
from agentcost_collector.cli.text import amount, printable
from agentcost_collector.explain import (
    RUNS_MAX,
    features_of,
    fold,
    folded_lines,
    paths_of,
    runs_of,
    svg,
)
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.period import Period, day_of
from agentcost_collector.report.views import open_views

if TYPE_CHECKING:
    from agentcost_collector.settings import Settings

FEATURE = "feature:"
"""What names a feature as what is asked for; nothing behind it: what no feature pays."""


def period_of(settings: Settings, text: str) -> Period | None:
    """The period that a text names, if it does."""
    try:
        return Period.parse(text, settings.report, day_of(time.time_ns(), settings.report))
    except ConfigError:
        return None


def period_explained(settings: Settings, period: Period, format: str) -> None:  # noqa: A002
    """Its features, dearest first, and what to type to see the runs of one."""
    with open_views(settings.data, config=settings.report) as connection:
        rows = features_of(connection, period)
    if format == "json":
        _write_json({"period": period.name, **_total(rows)}, "features", rows)
        return
    if format in ("folded", "svg"):
        raise ConfigError(f"--format {format} is for one feature, as feature:NAME, or one run")
    _head(period.name, rows)
    formats.write_table(rows.to_reader(), sys.stdout)
    _next(f"agentcost explain {FEATURE}NAME --period {period.name}")


def feature_explained(settings: Settings, asked: str, period: Period, format: str) -> None:  # noqa: A002
    """Its dearest runs in a period, or where its money went as stacks or a flame graph."""
    feature = asked.removeprefix(FEATURE) or None
    calendar = settings.report
    with open_views(settings.data, config=calendar) as connection:
        all_of_it = features_of(connection, period)
        at = [name == feature for name in all_of_it["feature"].to_pylist()]
        if True not in at:
            raise ConfigError(
                f"{asked}: pays nothing in {period.name}; `agentcost explain {period.name}` lists"
                " what does"
            )
        total = all_of_it.filter(pa.array(at))
        if format in ("folded", "svg"):
            stacks = fold(paths_of(connection, feature, period, calendar).to_pylist())
            line = _sentence(f"{asked} in {period.name}", total)
            if format == "svg":
                typer.echo(svg(stacks, f"{asked} in {period.name}", [line]), nl=False)
                return
            for stack in folded_lines(stacks):
                typer.echo(stack)
            typer.echo(line, err=True)
            return
        rows = runs_of(connection, feature, period, calendar)
    if format == "json":
        _write_json({"feature": feature, "period": period.name, **_total(total)}, "runs", rows)
        return
    _head(f"{asked} in {period.name}", total)
    if rows.num_rows == RUNS_MAX:
        typer.echo(f"The {RUNS_MAX} dearest runs:")
    formats.write_table(rows.to_reader(), sys.stdout)
    _next("agentcost explain RUN")


def _head(what: str, rows: pa.Table) -> None:
    typer.echo(_sentence(what, rows) + "\n")


def _next(command: str) -> None:
    typer.echo(f"\nNext: {printable(command)}")


def _sentence(what: str, rows: pa.Table) -> str:
    total = _total(rows)
    cost = total["cost_usd"]
    known = "no price" if cost is None else f"${amount(cost)}"
    return printable(
        f"{what} cost {known} in {total['steps']} steps; {total['unpriced_steps']} not fully"
        f" priced, {total['unattributed_steps']} without a feature."
    )


def _total(rows: pa.Table) -> dict[str, Decimal | None]:
    names = ("steps", "cost_usd", "unpriced_steps", "unattributed_steps")
    columns = {name: [v for v in rows[name].to_pylist() if v is not None] for name in names}
    return {name: sum(values) if values else None for name, values in columns.items()}


def _write_json(facts: dict[str, object], name: str, rows: pa.Table) -> None:
    text = io.StringIO()
    formats.write_json(rows.to_reader(), text)
    plain = {k: format(v, "f") if isinstance(v, Decimal) else v for k, v in facts.items()}
    typer.echo(json.dumps({**plain, name: json.loads(text.getvalue())}, indent=1))
