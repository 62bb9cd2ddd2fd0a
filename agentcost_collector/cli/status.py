"""`agentcost status`: where the data is on its way, and what is not known about it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import typer

from agentcost_collector.cli.options import DataOption, reading, settings_from
from agentcost_collector.cli.text import aligned, amount

if TYPE_CHECKING:
    from agentcost_collector.ledger import LedgerReader
    from agentcost_collector.report import Totals
    from agentcost_collector.settings import Settings

Fact = tuple[str, object]


def status(data: DataOption = None) -> None:
    """Journal, open traces, ledger, and how much is unpriced or unattributed."""
    from agentcost_collector.ledger import LedgerReader
    from agentcost_collector.report import open_views, totals

    settings = reading(settings_from(data=data))
    reader = LedgerReader(settings.ledger_path)
    facts = [
        *_journal(settings),
        *_ledger(reader),
        *_known(totals(open_views(settings.data))),
    ]
    typer.echo(aligned(facts))


def _journal(settings: Settings) -> Iterator[Fact]:
    from agentcost_collector.journal import JournalReader

    if not settings.journal_path.is_dir():
        yield "journal", "none"
        return
    journal = JournalReader.open(settings.journal_path, settings.journal)
    try:
        counts = journal.totals()
        yield "journal position", journal.head()
        yield "first position kept", journal.first()
        yield "spans acknowledged", counts.spans_acknowledged
        yield "spans quarantined", counts.spans_quarantined
    finally:
        journal.close()


def _ledger(reader: LedgerReader) -> Iterator[Fact]:
    state = reader.state()
    snapshot = reader.snapshot()
    for name in ("position", "spans_settled", "spans_repeated", "spans_open", "traces_open"):
        label = "settled position" if name == "position" else name.replace("_", " ")
        yield label, state.get(name, 0)
    yield "ledger version", snapshot.version
    yield "ledger entries", snapshot.ledger_rows
    yield "evidence spans", snapshot.span_rows


def _known(totals: Totals) -> Iterator[Fact]:
    cost = totals.steps_usd or Decimal(0)
    unattributed = totals.unattributed_usd or Decimal(0)
    yield "steps", totals.steps
    yield "cost", f"${amount(cost)}"
    yield "unpriced steps", _share(totals.unpriced_steps, totals.steps)
    yield "unattributed steps", _share(totals.unattributed_steps, totals.steps)
    yield "unattributed cost", f"${amount(unattributed)}{_percent(unattributed, cost)}"
    yield "totals", "agree" if totals.agree else "differ: the ledger is damaged"


def _share(part: int, whole: int) -> str:
    return f"{part}{_percent(part, whole)}"


def _percent(part: Decimal | int, whole: Decimal | int) -> str:
    if not whole:
        return ""
    tenths = round(Fraction(part) * 1000 / Fraction(whole))
    return f" ({tenths // 10}.{tenths % 10} %)"
