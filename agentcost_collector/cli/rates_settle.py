"""`agentcost rates settle`: what a month as a whole makes of the prices of its steps."""

from __future__ import annotations

import sys
import time
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    RateCardsOption,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.progress import waiting_for_ledger
from agentcost_collector.cli.text import aligned, amount, printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from agentcost_collector.settings import Settings

_JOURNAL_ID = "settle"


def settle(
    period: Annotated[
        str, typer.Option("--period", metavar="MONTH", help="The month, such as 2026-10.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be booked, write nothing.")
    ] = False,
    data: DataOption = None,
    rate_cards: RateCardsOption = None,
    config: ConfigOption = None,
) -> None:
    """Book what volume prices and free units of a month come to.

    Steps have the price of the lowest band; the difference is booked as entries of kind
    `allocated`, by who pays. Doing it again books only what has changed, such as late steps. A
    running service gives way meanwhile.
    """
    from agentcost_collector.cli import formats
    from agentcost_collector.ledger.ledger import Ledger
    from agentcost_collector.model.schemas import SPANS
    from agentcost_collector.telemetry import configure_logging

    month = _month(period)
    settings = reading(settings_from(config, data, rate_cards))
    if not dry_run:
        writing(settings)
    configure_logging(settings.log_level)
    if dry_run:
        charges, entries = _settled(settings, month, time.time_ns())
    else:
        directory, own = settings.ledger_path, settings.ledger
        with Ledger.open_in_turn(directory, _JOURNAL_ID, own, waiting_for_ledger()) as ledger:
            now_ns = time.time_ns()
            charges, entries = _settled(settings, month, now_ns)
            if entries.num_rows:
                ledger.commit(SPANS.empty_table(), entries, dict(ledger.state), now_ns)
    shown = charges.select(["name", "operation", "account", "feature", "team", "cost_usd"])
    formats.write_table(shown.to_reader(), sys.stdout)
    verb = "would book" if dry_run else "booked"
    typer.echo(aligned([(verb, f"{entries.num_rows} entries, ${amount(_sum(entries))}")]))


def _settled(settings: Settings, month: date, now_ns: int) -> tuple[pa.Table, pa.Table]:
    """CHARGES of the month, and the ENTRIES that make them stand: from one snapshot."""
    from agentcost_collector.book.charges import book_charges
    from agentcost_collector.model.schemas import ENTRIES, STEPS
    from agentcost_collector.model.tables import conform
    from agentcost_collector.price.load import load_rate_book
    from agentcost_collector.price.period import PERIOD_PREFIX, settle_period
    from agentcost_collector.report.sql import quoted
    from agentcost_collector.report.views import open_views

    book = load_rate_book(settings.rate_card_directories())
    after = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    days = [month - timedelta(days=2), after + timedelta(days=2)]  # of any time zone
    steps = STEPS.empty_table()
    with open_views(settings.data) as connection:
        sold = [f"starts_with(rate_id, {quoted(s + '@')})" for s in book.by_period]
        sold += [f"contains(rate_id, {quoted(',' + s + '@')})" for s in book.by_period]
        if sold:
            query = (
                f"SELECT {', '.join(STEPS.names)} FROM steps WHERE date >= ? AND date < ?"
                f" AND ({' OR '.join(sold)})"
            )
            steps = conform(connection.sql(query, params=days).to_arrow_table(), STEPS)
        kept = f"starts_with(rate_id, {quoted(PERIOD_PREFIX)})"
        kept += f" AND contains(rate_id, {quoted(f'@{month:%Y-%m}')})"
        booked = conform(connection.sql(f"FROM ledger WHERE {kept}").to_arrow_table(), ENTRIES)
    charges = settle_period(steps, book, month)
    return charges, book_charges(charges, booked, now_ns, "restated", config=settings.book)


def _month(text: str) -> date:
    try:
        if len(text) == len("2026-10"):
            return date.fromisoformat(f"{text}-01")
    except ValueError:
        pass
    raise ConfigError(f"--period {printable(text)}: should be a month such as 2026-10")


def _sum(entries: pa.Table) -> Decimal:
    return sum((v for v in entries["cost_usd"].to_pylist() if v is not None), Decimal(0))
