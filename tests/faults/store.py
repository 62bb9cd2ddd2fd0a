"""Journal and ledger of one data folder, driven as the two processes of the service drive them; and
what they must hold, by a truth of its own.

Delivery `n` is one trace with one call of `n` input tokens of a model whose price is public:
0.15 USD a million.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Self
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from agentcost_collector import settle
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.kernel import Rulebook, in_order, kernel
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.pipeline import Follower
from agentcost_collector.settings import Settings
from tests.support.trees import draw
from tests.support.walked import decode

PRICE = Decimal("0.00000015")
NOW_NS = 1_790_000_100_000_000_000
_RUN = """
ask{n} feature=f{n} environment=prod
  chat{n} openinference.span.kind=LLM llm.model_name=gpt-4o-mini llm.token_count.prompt={n}
"""


@functools.cache
def rulebook() -> Rulebook:
    """Rules and bundled rate cards."""
    return Rulebook.of(Settings())


def body_of(number: int) -> bytes:
    """One delivery as a request."""
    return draw(_RUN.format(n=number)).body()


@functools.cache
def spans_of(number: int) -> pa.Table:
    """SPANS of one delivery: two rows."""
    return decode([body_of(number)])


_CHARGES: dict[tuple[str, ...], pa.Table] = {}


def _remembered(spans: pa.Table, rules: Rulebook) -> pa.Table:
    """The kernel, which is pure: asked once for the same traces. Half of a settling is its."""
    traces = tuple(spans["span_id"].to_pylist())
    if traces not in _CHARGES:
        _CHARGES[traces] = kernel(spans, rules)
    return _CHARGES[traces]


def settings_of(data: Path) -> Settings:
    """Traces close at once; every second commit writes a checkpoint."""
    return Settings(data=data, assemble={"settle_ms": 0}, ledger={"checkpoint_every": 2})


class Service:
    """Both processes of the service at work, a step at a time."""

    def __init__(self, data: Path) -> None:
        self._settings = settings_of(data)
        self._journal = Journal.open(self._settings.journal_path, self._settings.journal)
        self._reader = JournalReader.open(self._settings.journal_path, self._settings.journal)

    def receive(self, number: int) -> None:
        """Acknowledged when this returns."""
        self._journal.append(spans_of(number), REJECTS.empty_table())

    def settle(self) -> None:
        """Opens the ledger, settles all that was received, trims the journal."""
        ids = self._reader.journal_id
        with (
            mock.patch.object(settle, "kernel", _remembered),
            Ledger.open(self._settings.ledger_path, ids, self._settings.ledger) as ledger,
        ):
            follower = Follower(self._reader, ledger, rulebook(), self._settings)
            while follower.step(NOW_NS, 1):
                pass

    def close(self) -> None:
        """Lets go of everything."""
        self._reader.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Held:
    """What the ledger holds: of each delivery the net number of entries and their cost, and the
    number of spans."""

    entries: Counter[int]
    cost: Counter[int]
    spans: Counter[int]


def held(data: Path) -> Held:
    """Reads the tables without our code: JSON of the Delta log, and Parquet."""
    found = Held(Counter(), Counter(), Counter())
    for row in _rows(data / "ledger" / "ledger", ["sign", "input_tokens", "cost_usd"]):
        number = row["sign"] * row["input_tokens"]
        found.entries[number] += row["sign"]
        found.cost[number] += row["cost_usd"]
    for row in _rows(data / "ledger" / "spans", ["name"]):
        found.spans[int("".join(filter(str.isdecimal, row["name"])))] += 1
    return found


def check(data: Path, numbers: Iterable[int]) -> None:
    """These deliveries are there once, to the last decimal, and nothing else is."""
    expected = set(numbers)
    found = held(data)
    assert found.entries == Counter(dict.fromkeys(expected, 1)), found
    assert found.cost == {number: number * PRICE for number in expected}, found
    assert found.spans == Counter(dict.fromkeys(expected, 2)), found


def _rows(table: Path, columns: list[str]) -> Iterable[dict]:
    live: set[str] = set()
    for entry in sorted((table / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                live.add(action["add"]["path"])
            if "remove" in action:
                live.discard(action["remove"]["path"])
    for path in sorted(live):
        yield from pq.ParquetFile(table / path).read(columns).to_pylist()


def warm(numbers: Iterable[int]) -> None:
    """Works out the spans and charges of these deliveries now."""
    for number in numbers:
        _remembered(in_order(spans_of(number)), rulebook())
