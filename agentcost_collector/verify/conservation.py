"""Whether sums agree and every acknowledged span is somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.report.showback import totals
from agentcost_collector.report.views import open_views
from agentcost_collector.settings import Settings
from agentcost_collector.verify.findings import Finding


def verify_conservation(settings: Settings) -> Iterator[Finding]:
    """Sum of `ledger` = sum of `steps`; where a journal is there, spans that were read from it =
    open + stored + exact repeats, and no more than were acknowledged."""
    if not totals(open_views(settings.data)).agree:
        sentence = "the entries do not add up to the steps; see the findings about rows"
        yield Finding("conservation", None, None, str(settings.ledger_path), sentence)
    if settings.journal_path.is_dir() and settings.progress_path.exists():
        yield from _spans(settings)


def _spans(settings: Settings) -> Iterator[Finding]:
    file = str(settings.progress_path)
    try:
        noted = json.loads(settings.progress_path.read_bytes())
        read, opened, repeated, batch_seq = (
            int(noted[name]) for name in ("spans_read", "spans_open", "spans_repeated", "batch_seq")
        )
    except (ValueError, KeyError, TypeError):
        sentence = "is damaged; remove it, the service writes it again"
        yield Finding("conservation", None, None, file, sentence)
        return
    with_journal = JournalReader.open(settings.journal_path, settings.journal)
    try:
        acknowledged = with_journal.totals().spans_acknowledged
    finally:
        with_journal.close()
    stored = LedgerReader(settings.ledger_path).spans_stored(with_journal.journal_id, batch_seq)
    if read > acknowledged:
        sentence = f"{read} spans were read, but only {acknowledged} acknowledged"
        yield Finding("conservation", None, None, str(settings.journal_path), sentence)
    if read != opened + stored + repeated:
        sentence = (
            f"{read} spans were read, but {opened} open, {stored} stored and {repeated} repeated"
            f" are {opened + stored + repeated}"
        )
        yield Finding("conservation", None, None, str(settings.ledger_path), sentence)
