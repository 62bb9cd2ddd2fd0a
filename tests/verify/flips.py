"""Single bits turned in every kind of file that a collector keeps, and what comes of it.

A turned bit is harmless where every entry, every span and every sum is read as before; all others
must be reported by `scrub` or `verify`, or by whoever reads, with an error.

    python -m tests.verify.flips 10000      prints what happened, by kind of file
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.errors import AgentcostError
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.model.tables import empty
from agentcost_collector.price.archived import archived_set
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.scrub import scrub
from agentcost_collector.settings import Settings
from tests.ledger.tables import NOW, entries_table, entry, span, spans_table

KINDS: Mapping[str, str] = {
    "entries": "ledger/ledger/environment=*/date=*/*.parquet",
    "evidence": "ledger/spans/environment=*/date=*/*.parquet",
    "log of entries": "ledger/ledger/_delta_log/*.json",
    "log of evidence": "ledger/spans/_delta_log/*.json",
    "checkpoints": "ledger/*/_delta_log/*checkpoint*",
    "seals": "ledger/seals/*.jsonl",
    "counters": "ledger/state.json",
    "index": "ledger/index.db",
    "cards": "ledger/cards/*.json",
    "journal": "journal/journal.sqlite",
    "progress": "progress.json",
}


def fill(data: Path) -> Settings:
    """A small collector's data folder with every kind of file."""
    settings = Settings(data=data)
    day = date(2026, 5, 28)
    card = min(bundled_rate_cards().glob("*.yaml"), key=lambda file: file.stat().st_size)
    cards = data.parent / "cards"
    cards.mkdir()
    (cards / card.name).write_bytes(card.read_bytes())
    with Journal.open(settings.journal_path, settings.journal) as journal:
        for batch in range(1, 4):
            journal.append(spans_table([span(batch, n) for n in range(40)]), empty(REJECTS))
    with Ledger.open(settings.ledger_path, "journal-1", Config(checkpoint_every=2)) as ledger:
        ledger.archive_cards(*archived_set(load_rate_book([cards])))
        for batch in range(1, 4):
            rows = [entry(batch, n, date=day) for n in range(40)]
            spans = spans_table([span(batch, n) for n in range(40)])
            ledger.commit(spans, entries_table(rows), {"position": batch}, NOW)
    settings.progress_path.write_text('{"spans_read": 0, "spans_open": 0, "spans_repeated": 0}')
    return settings


def turned(settings: Settings, number: int, seed: int) -> Iterator[tuple[str, str]]:
    """Kind of file and outcome (`reported`, `refused`, `harmless` or `unnoticed`) of each of
    `number` bits, in equal shares; every file is put back."""
    chance = random.Random(seed)
    kinds = {kind: sorted(settings.data.glob(pattern)) for kind, pattern in KINDS.items()}
    assert all(kinds.values()), kinds
    before = read_all(settings)
    for turn in range(number):
        kind = list(kinds)[turn % len(kinds)]
        file = chance.choice(kinds[kind])
        whole = file.read_bytes()
        at, bit = chance.randrange(len(whole)), chance.randrange(8)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        yield kind, _outcome(settings, before, f"{file} byte {at} bit {bit}")
        file.write_bytes(whole)


def _outcome(settings: Settings, before: object, where: str) -> str:
    try:
        if list(scrub(settings, lambda done, total: None)):
            return "reported"
        return "harmless" if read_all(settings) == before else f"unnoticed: {where}"
    except AgentcostError:
        return "refused"


def read_all(settings: Settings) -> object:
    """Every entry and span of the ledger, every span of the journal, and the count of rows."""
    reader = LedgerReader(settings.ledger_path)
    snapshot = reader.snapshot()
    ids = sorted(
        {
            trace
            for file in snapshot.ledger_files
            for piece in reader.entries(file)
            for trace in piece["trace_id"].to_pylist()
        }
    )
    with JournalReader.open(settings.journal_path, settings.journal) as journal:
        waiting = [batch.spans.to_pylist() for batch in journal.after(0, 1 << 40)]
    order = [("trace_id", "ascending"), ("span_id", "ascending")]
    stored = reader.spans_of(ids).sort_by(order).to_pylist()
    entries = reader.entries_of(ids).sort_by(order).to_pylist()
    return entries, stored, waiting, snapshot.ledger_rows


def main(arguments: list[str]) -> None:
    """Prints a table of outcomes by kind; exit code 1 where one went unnoticed."""
    number = int(arguments[0])
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="agentcost-flips-") as folder:
        settings = fill(Path(folder) / "data")
        for kind, outcome in turned(settings, number, seed=1):
            outcomes[kind, outcome.partition(":")[0]] += 1
            if outcome.startswith("unnoticed"):
                sys.stdout.write(f"{kind}: {outcome}\n")
    for (kind, outcome), count in sorted(outcomes.items()):
        sys.stdout.write(f"{kind:20} {outcome:12} {count}\n")
    sys.exit(any(outcome == "unnoticed" for _, outcome in outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
