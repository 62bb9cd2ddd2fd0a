"""`agentcost status`: where the data is on its way, and what is not known about it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import typer

from agentcost_collector.cli.options import DataOption, reading, settings_from
from agentcost_collector.cli.text import aligned, amount
from agentcost_collector.model.errors import CorruptionError

if TYPE_CHECKING:
    from agentcost_collector.ledger.upkeep import Upkeep
    from agentcost_collector.report.showback import Totals
    from agentcost_collector.settings import Settings

Fact = tuple[str, object]


def status(data: DataOption = None) -> None:
    """Show what has arrived, what is settled, and what is not known.

    Journal and ledger positions, open traces, unpriced and unattributed shares.
    """
    from agentcost_collector.ledger.reader import LedgerReader
    from agentcost_collector.report.showback import totals
    from agentcost_collector.report.views import open_views

    settings = reading(settings_from(data=data))
    reader = LedgerReader(settings.ledger_path)
    snapshot = reader.snapshot()
    facts = [
        *_journal(settings),
        ("ledger version", "none yet" if snapshot.version < 0 else snapshot.version),
        ("ledger entries", snapshot.ledger_rows),
        ("evidence spans", snapshot.span_rows),
        ("evidence spans retired", reader.spans_retired()),
        ("data files", f"{len(snapshot.ledger_files)} ledger, {len(snapshot.span_files)} spans"),
        ("log entries", reader.log_entries()),
        ("to compact", _to_compact(reader.upkeep_due(settings.ledger, time.time_ns()))),
        *_known(totals(open_views(settings.data))),
    ]
    typer.echo(aligned(facts))


def _to_compact(due: Upkeep) -> str:
    return f"{due.files_merged} files into {due.files_new}, {due.spans_retired} spans to retire"


def _journal(settings: Settings) -> Iterator[Fact]:
    """What the receiver acknowledged, and how far the pipeline is with it.

    Conservation: acknowledged = waiting + open + stored + exact repeats, and quarantined = still
    there + released + repeats + dropped, each counted by itself.
    """
    from agentcost_collector.journal.reader import JournalReader
    from agentcost_collector.ledger.reader import LedgerReader

    if not settings.journal_path.is_dir():
        return
    progress = _progress(settings)  # first: what has been read was acknowledged before
    journal = JournalReader.open(settings.journal_path, settings.journal)
    try:
        counts, head, first = journal.totals(), journal.head(), journal.first()
        aside = journal.quarantine_kept()
    finally:
        journal.close()
    read, opened = progress.get("spans_read", 0), progress.get("spans_open", 0)
    repeated = progress.get("spans_repeated", 0)
    ledger = LedgerReader(settings.ledger_path)
    stored = ledger.spans_stored(journal.journal_id, progress.get("batch_seq", 0))
    yield "journal position", head
    yield "read to position", progress.get("position", 0)
    yield "kept from position", first
    yield "spans acknowledged", counts.spans_acknowledged
    yield "spans waiting", counts.spans_acknowledged - read
    yield "spans open", opened
    yield "spans settled", progress.get("spans_settled", 0)
    yield "spans stored", stored
    yield "spans repeated", repeated
    yield "conservation", "ok" if read == opened + stored + repeated else "DIFFERENCE"
    yield "spans quarantined", counts.spans_quarantined
    yield "in quarantine", aside
    yield "released from quarantine", counts.spans_released
    yield "repeated in quarantine", counts.quarantine_repeated
    yield "dropped from quarantine", counts.quarantine_dropped
    gone = counts.spans_released + counts.quarantine_repeated + counts.quarantine_dropped
    yield "quarantine adds up", "ok" if counts.spans_quarantined == aside + gone else "DIFFERENCE"
    yield "traces open", progress.get("traces_open", 0)


def _progress(settings: Settings) -> dict[str, int]:
    """As the pipeline last noted it; nothing before its first note."""
    try:
        noted: dict[str, int] = json.loads(settings.progress_path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as damaged:
        raise CorruptionError(f"{settings.progress_path}: is damaged; remove it") from damaged
    return noted


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
