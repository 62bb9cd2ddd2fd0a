"""A large ledger to measure reports with: entries drawn by `tests/bench/generated.py`, committed
and sealed as the service does it, without evidence (`spans` is empty).

Its prices come from no rate card: `agentcost verify` passes, `agentcost verify --prices` cannot.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.model.schemas import SPANS
from tests.bench.generated import corrected, entries_of

DAYS = 90
CORRECTED_PER_MILLE = 20
_COMMIT_STEPS = 60_000
_DAY_NS = 86_400 * 10**9


def main(arguments: list[str]) -> None:
    """Makes the ledger, or adds the day after its last one."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generate_ledger")
    parser.add_argument("data", type=Path, help="data folder, new unless --more")
    parser.add_argument("--steps", type=int, default=10_000_000, help="default: 10000000")
    parser.add_argument("--days", type=int, default=DAYS, help="default: 90")
    parser.add_argument("--until", type=date.fromisoformat, help="last day, default: yesterday")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--more", action="store_true", help="one more day of an existing ledger")
    options = parser.parse_args(arguments)
    ledger = options.data / "ledger"
    if ledger.exists() != options.more:
        state = "exists; remove it or use --more" if ledger.exists() else "does not exist"
        sys.exit(f"{ledger} {state}")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    last = last_day(options.data) + timedelta(1) if options.more else options.until or yesterday
    count = 1 if options.more else options.days
    generate(options.data, last, count, options.steps // options.days, options.seed)


def generate(data: Path, last: date, days: int, steps: int, seed: int) -> None:
    """Commits `steps` steps for each of the `days` up to `last`, and 2 % of them corrected; files
    of closed days are merged as a service merges them."""
    keep_freed_memory()
    slots = max(2, -(-steps // _COMMIT_STEPS))
    with Ledger.open(data / "ledger", "generated", Config()) as ledger:
        for day in (last - timedelta(back) for back in reversed(range(days))):
            commit_day(ledger, day, slots, steps, seed)
            for _ in ledger.upkeep(_midnight_ns(day) + _DAY_NS):
                pass


def commit_day(ledger: Ledger, day: date, slots: int, steps: int, seed: int) -> None:
    """Each commit is followed by one that corrects some of its steps."""
    midnight_ns = _midnight_ns(day)
    for slot in range(slots):
        now_ns = midnight_ns + _DAY_NS * (slot + 1) // slots
        entries = entries_of(day, slot, slots, steps // slots, seed)
        moves = corrected(entries, CORRECTED_PER_MILLE, seed)
        for table in (entries, moves):
            if table.num_rows:
                ledger.commit(SPANS.empty_table(), table, {}, now_ns)


def _midnight_ns(day: date) -> int:
    return (day - date(1970, 1, 1)).days * _DAY_NS


def last_day(data: Path) -> date:
    """Last day of which the ledger has entries."""
    files = LedgerReader(data / "ledger").snapshot().ledger_files
    return max(date.fromisoformat(Path(file).parent.name.removeprefix("date=")) for file in files)


if __name__ == "__main__":
    main(sys.argv[1:])
