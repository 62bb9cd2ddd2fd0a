"""Ledgers of random histories, and what stands in them, worked out from the bare Parquet files.

A history is deliveries of whole traces, booked and committed by the product: the same again, with
more or fewer steps, other payers, prices or times, taken back whole. What stands is netted here by
the signs of the entries, in Python, and held against what was delivered last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from agentcost_collector.book.charges import book_charges
from agentcost_collector.ledger.config import Config as LedgerConfig
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.schemas import CHARGES, SIGNED, SPANS
from agentcost_collector.report.config import Config
from agentcost_collector.report.period import Period
from agentcost_collector.report.roll_up import roll_up
from tests.report.ledgers import STEP

NOW_NS = int(datetime(2026, 4, 20, tzinfo=UTC).timestamp()) * 10**9
TODAY = date(2026, 4, 20)
_ZERO = Decimal(0)
_BOOKING = ("sign", "entry_reason", "booked_at", "journal", "batch_seq", "row_no")

Row = dict[str, Any]
Delivery = dict[str, list[Row]]
"""What is wanted of each trace from now on."""

_NAMES = (None, None, "a", "b", "total", "__other__", "it's; --", "=1+1", "é", "\0", "e\u0301")
_SOME = (None, "x", "y")
_PRICES = (None, Decimal(0), Decimal("0.000000000001"), Decimal("999999999.999999999999"))
_DAYS = ((1, 31), (2, 1), (2, 27), (2, 28), (3, 1), (3, 8), (3, 29), (3, 31), (4, 1))
_MINUTES = (0, 29, 209, 210, 329, 330, 1109, 1110, 1380, 1439)
_ZONES = ("UTC", "America/St_Johns", "Asia/Kolkata", "Pacific/Kiritimati")
_PERIODS = ("2026-03", "2026-03", "FY2026-Q1", "2026-W13", "2026-02-28..2026-03-01")
_PARTS = ("input_cost_usd", "cache_cost_usd", "output_cost_usd", "unit_cost_usd")
_FACTS = (
    (*_PARTS, "cost_usd", "list_cost_usd", "cost_status"),
    ("feature", "team"),
    ("tenant",),
    ("owner_team",),
    ("environment",),
    ("started_at", "ended_at", "kind"),
    ("input_tokens",),
)
"""What a restatement, a late root or a late span changes at once."""


@dataclass(frozen=True)
class History:
    """Deliveries, each with whether the cubes are made after it, and whose calendar counts."""

    deliveries: Sequence[tuple[Delivery, bool]]
    config: Config
    period: Period
    environment: str | None


def random_history(random: Random) -> History:
    """Up to five deliveries; a trace that comes again is as before, changed, or all gone."""
    deliveries: list[tuple[Delivery, bool]] = []
    known: Delivery = {}
    for _ in range(random.randint(1, 5)):
        wanted: Delivery = {}
        for trace in random.sample("abcdef", random.randint(1, 4)):
            steps = known.get(trace)
            how = random.randrange(4) if steps else 0
            if steps and how:
                at = random.randrange(len(steps))
                other = _charge(random)
                facts = random.choice(_FACTS) if how > 1 else ()
                changed = {**steps[at], **{name: other[name] for name in facts}}
                wanted[trace] = [*steps[:at], changed, *steps[at + 1 :]]
            else:
                wanted[trace] = [_charge(random) for _ in range(random.randrange(6))]
            wanted[trace] = _named(trace, wanted[trace])
        known |= wanted
        deliveries.append((wanted, random.random() < 0.5))
    config = Config(time_zone=random.choice(_ZONES), fiscal_year_start=random.choice((1, 4)))
    environment = random.choice((None, None, None, "production", "it's"))
    period = Period.parse(random.choice(_PERIODS), config, TODAY)
    return History(deliveries, config, period, environment)


def _charge(random: Random) -> Row:
    """A step without its ids."""
    status = random.choice(("priced", "priced", "partial", "unpriced", "free"))
    known = status in ("priced", "partial")
    parts = {name: _price(random) if known else None for name in _PARTS}
    cost = None if status == "unpriced" else sum((p or Decimal(0) for p in parts.values()), _ZERO)
    kind = random.choice(("llm", "llm", "tool", "allocated"))
    started = ended = _instant(random)
    return {
        **STEP,
        **parts,
        **{tag: random.choice(_NAMES) for tag in ("feature", "team", "tenant", "owner_team")},
        **{name: random.choice(_SOME) for name in ("service", "model", "tool", "session_id")},
        "kind": kind,
        "started_at": started,
        "ended_at": None if kind == "tool" and random.random() < 0.3 else ended,
        "agent": random.choice(_NAMES),
        "user_id": random.choice(_SOME),
        "parent_run_id": random.choice(_SOME),
        "environment": random.choice((None, "production", "production", " Staging", "moon")),
        "status": random.choice(("ok", "unset", None, "error")),
        "labels": random.choice((None, '{"done/it":"yes"}', '{"done/it":"no"}')),
        "unattributed_reason": random.choice((None, "no_tag", "root_missing")),
        "input_tokens": random.choice((None, 0, random.randrange(10**6))),
        "output_tokens": random.choice((None, 0, random.randrange(10**6))),
        "cost_status": status,
        "cost_usd": cost,
        "list_cost_usd": cost,
    }


def _price(random: Random) -> Decimal | None:
    drawn = Decimal(random.randrange(10**21)).scaleb(-12)
    return random.choice((*_PRICES, drawn, drawn))


def _instant(random: Random) -> datetime:
    """Where days, periods and summer time begin, in one zone or another."""
    day = datetime(2026, *random.choice(_DAYS), tzinfo=UTC)
    return day + timedelta(minutes=random.choice(_MINUTES))


def _named(trace: str, steps: Sequence[Row]) -> list[Row]:
    ids = {"trace_id": trace * 32}
    return [
        {**step, **ids, "span_id": f"{n:016x}", "step_id": f"{trace}{n}"}
        for n, step in enumerate(steps)
    ]


def booked_history(data: Path, history: History) -> list[Row]:
    """Books and commits all of it; what stands by the files, with the `day` of each."""
    ledger = Ledger.open(data / "ledger", "journal-1", LedgerConfig())
    wanted: Delivery = {}
    with ledger:
        for number, (delivery, rolled) in enumerate(history.deliveries, start=1):
            wanted |= delivery
            rows = [step for steps in delivery.values() for step in steps]
            ids = pa.array(sorted({trace * 32 for trace in delivery}))
            now_ns = NOW_NS + number * 10**9
            charges = pa.Table.from_pylist(rows, schema=CHARGES)
            entries = book_charges(charges, ledger.booked(ids, 0).entries, now_ns)
            ledger.commit(SPANS.empty_table(), entries, {"position": number}, now_ns)
            if rolled:
                roll_up(data, history.config, NOW_NS, lambda done, total: None)
                assert not roll_up(data, history.config, NOW_NS, lambda done, total: None).made
    standing = standing_by_files(data, ZoneInfo(history.config.time_zone))
    told = [step for steps in wanted.values() for step in steps]
    facts = [name for name in (told[0] if told else ()) if name not in ("environment", "date")]
    by_files, as_told = (
        {row["step_id"]: [row[name] for name in facts] for row in rows} for rows in (standing, told)
    )
    assert (by_files, len(standing)) == (as_told, len(told))
    return standing


def standing_by_files(data: Path, zone: ZoneInfo) -> list[Row]:
    """Entries of the data files that the Delta log lists, netted by their signs."""
    net: Counter[tuple[Any, ...]] = Counter()
    columns: list[str] = []
    for uri in DeltaTable(str(data / "ledger" / "ledger")).file_uris():
        path = Path(unquote(urlsplit(uri).path))
        values = dict(part.split("=", 1) for part in path.parts if "=" in part)
        for entry in pq.ParquetFile(path).read().to_pylist():
            sign = entry["sign"]
            row = {**entry, "environment": values["environment"]}
            row["date"] = date.fromisoformat(values["date"])
            for name in SIGNED:
                if sign < 0 and row[name] is not None:
                    row[name] = row[name] * -1 if isinstance(row[name], int) else -row[name]
            columns = columns or sorted(row.keys() - set(_BOOKING))
            net[tuple(row[name] for name in columns)] += sign
    assert set(net.values()) <= {0, 1}
    standing = [dict(zip(columns, c, strict=True)) for c, times in net.items() if times]
    return [_dated(row, zone) for row in standing]


def _dated(row: Row, zone: ZoneInfo) -> Row:
    ended = row["ended_at"]
    if ended is None or row["kind"] == "allocated":
        return {**row, "day": row["date"]}
    return {**row, "day": ended.astimezone(zone).date()}


def within(rows: Iterable[Row], period: Period) -> list[Row]:
    """Those of a period."""
    return [row for row in rows if period.first <= row["day"] < period.until]


def total(rows: Iterable[Row], column: str = "cost_usd") -> Fraction | None:
    """Sum of a column; None where no row has it."""
    known = [Fraction(row[column]) for row in rows if row[column] is not None]
    return sum(known, Fraction(0)) if known else None


def unpriced(rows: Iterable[Row]) -> int:
    """How many have no full price."""
    return sum(row["cost_status"] in ("unpriced", "partial") for row in rows)


def grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows that are alike in `keys`."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups
