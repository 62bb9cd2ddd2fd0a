"""`agentcost allocate`: costs that no span carries, shared out into the ledger."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
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
from agentcost_collector.cli.progress import waiting_for_ledger
from agentcost_collector.cli.text import aligned, amount
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.allocate import SharedCost
    from agentcost_collector.settings import Settings

_JOURNAL_ID = "allocate"

Days = tuple[date, date]


class Format(StrEnum):
    """How the shares are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Allocation:
    """What should stand, and what is appended so that it does."""

    charges: pa.Table
    entries: pa.Table


def allocate(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Shared costs, YAML or CSV.", exists=False, show_default=False
        ),
    ],
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar="MONTH",
            help="Only costs whose period touches this month, such as 2026-10.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DAY",
            help="Only costs whose period touches the days from this one, UTC.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DAY", help="The day after the last of these.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be booked, write nothing.")
    ] = False,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="How the shares are written; json is exact.")
    ] = Format.TABLE,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Share monthly bills and reserved capacity out to those who used them.

    Shows who gets what, and books it as entries of kind `allocated`. Doing it again books only
    what has changed: late steps, another amount. A running service gives way meanwhile.
    """
    from agentcost_collector.ledger.ledger import Ledger
    from agentcost_collector.model.schemas import SPANS
    from agentcost_collector.shared_costs import read_shared_costs
    from agentcost_collector.telemetry import configure_logging

    settings = reading(settings_from(config, data))
    if not dry_run:
        writing(settings)
    configure_logging(settings.log_level)
    costs = _chosen(read_shared_costs(file), _days(period, since, until), file)
    if dry_run:
        allocation = _allocated(costs, settings, time.time_ns())
    else:
        with Ledger.open_in_turn(
            settings.ledger_path, _JOURNAL_ID, settings.ledger, waiting_for_ledger()
        ) as ledger:
            now_ns = time.time_ns()
            allocation = _allocated(costs, settings, now_ns)
            if allocation.entries.num_rows:
                ledger.commit(SPANS.empty_table(), allocation.entries, dict(ledger.state), now_ns)
    _write(allocation.charges, format)
    typer.echo(aligned(_summary(allocation, dry_run)), err=format is not Format.TABLE)


def _days(period: str | None, since: str | None, until: str | None) -> Days:
    """First day and day after the last one; all of them where nothing is given."""
    from agentcost_collector.allocate.config import month_after

    if period and (since or until):
        raise ConfigError("--period already says --from and --to; give one of them")
    try:
        if period:
            first = date.fromisoformat(f"{period}-01")
            return first, month_after(first)
        days = (
            date.fromisoformat(since) if since else date.min,
            date.fromisoformat(until) if until else date.max,
        )
    except ValueError as wrong:
        raise ConfigError(
            "--period is a month such as 2026-10, --from and --to are days such as 2026-10-01:"
            f" {wrong}"
        ) from wrong
    if days[0] >= days[1]:
        raise ConfigError("--to must be after --from; it is the day after the last one")
    return days


def _chosen(costs: Sequence[SharedCost], days: Days, file: Path) -> list[SharedCost]:
    """The costs that touch these days and have begun."""
    asked = [cost for cost in costs if cost.since < days[1] and days[0] < cost.until]
    today = datetime.now(UTC).date()
    begun = [cost for cost in asked if cost.since <= today]
    for cost in asked:
        if cost not in begun:
            typer.echo(f"{cost.id} begins on {cost.since}: not shared out yet", err=True)
    if not begun:
        raise ConfigError(f"{file}: no cost has a period that was asked for and has begun")
    return begun


def _allocated(costs: list[SharedCost], settings: Settings, now_ns: int) -> Allocation:
    """From one snapshot of the ledger: what was used, and what is booked for these costs."""
    from agentcost_collector.allocate import SKU_PREFIX, allocate_costs
    from agentcost_collector.book.charges import book_charges
    from agentcost_collector.report.uses import allocated_entries, uses_of
    from agentcost_collector.report.views import open_views

    columns = sorted({column for cost in costs for column in cost.shared_by})
    with open_views(settings.data) as connection:
        in_period = {
            days: uses_of(connection, *days, columns)
            for days in {(cost.since, cost.until) for cost in costs}
        }
        booked = allocated_entries(
            connection, [(SKU_PREFIX + cost.id, cost.since, cost.until) for cost in costs]
        )
    charges = allocate_costs(costs, lambda first, until: in_period[first, until])
    return Allocation(
        charges, book_charges(charges, booked, now_ns, "restated", config=settings.book)
    )


def _write(charges: pa.Table, format: Format) -> None:  # noqa: A002
    """A row per share, dearest first within a cost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from agentcost_collector.cli import formats
    from agentcost_collector.model.schemas import PAYER_TAGS

    order = [("name", "ascending"), ("started_at", "ascending"), ("cost_usd", "descending")]
    charges = charges.sort_by([*order, ("step_id", "ascending")])
    days = {
        title: charges[name].cast(pa.date32())
        for title, name in (("from", "started_at"), ("through", "ended_at"))
    }
    table = pa.table(
        {
            "cost": charges["name"],
            **days,
            **{tag: charges[tag] for tag in PAYER_TAGS},
            "method": charges["operation"],
            "driver": charges["target"],
            "idle": pc.is_valid(charges["usage_role"]),
            "cost_usd": charges["cost_usd"],
        }
    )
    writers = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }
    writers[format](table.to_reader(), sys.stdout)


def _summary(allocation: Allocation, dry_run: bool) -> list[tuple[str, object]]:
    import pyarrow.compute as pc

    charges, entries = allocation.charges, allocation.entries
    idle = charges.filter(pc.is_valid(charges["usage_role"]))
    verb = "would book" if dry_run else "booked"
    return [
        ("shares", charges.num_rows),
        ("shared out", f"${_sum(charges)}"),
        ("of which idle", f"${_sum(idle)}"),
        (verb, f"{entries.num_rows} entries, ${_sum(entries)}"),
    ]


def _sum(rows: pa.Table) -> str:
    import pyarrow.compute as pc

    total: Decimal | None = pc.sum(rows["cost_usd"]).as_py()
    return amount(total or Decimal(0))
