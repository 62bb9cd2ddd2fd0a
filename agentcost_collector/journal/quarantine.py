"""Spans set aside: one row each, however often it comes; bounded, and all of it counted.

Every span ever set aside is counted in `spans_quarantined`, and is one of these: kept, released
(its span is in `batches` then), repeated (the same as one that is here), dropped (over the bound).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from agentcost_collector.journal.config import Config
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.model.tables import conform

TABLE = """
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    position INTEGER NOT NULL,
    arrivals INTEGER NOT NULL,
    released INTEGER,
    reason TEXT,
    received_at_ns INTEGER,
    digest BLOB NOT NULL UNIQUE,
    body TEXT NOT NULL
);
"""
ROWS = pa.schema(
    [
        ("number", pa.int64()),  # names the row; never given again
        ("position", pa.int64()),  # of the append that first brought it
        ("arrivals", pa.int64()),  # how often the same span came
        ("released", pa.int64()),  # position at which its span went on; NULL while it is kept
        *REJECTS,
    ]
)
_OUTSIDE = ("reason", "received_at_ns")
_IN_BODY = [name for name in REJECTS.names if name not in _OUTSIDE]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows to read."""

    numbers: Sequence[int] | None = None
    """None: any."""
    reason: str | None = None
    """None: any."""
    since_ns: int = 0
    """First time of receipt."""
    kept_only: bool = False
    """Leave out those released."""
    limit: int = -1
    """The newest so many; negative for all."""


def keep(db: sqlite3.Connection, position: int, rejects: pa.Table, config: Config) -> None:
    """Adds REJECTS, and drops the oldest rows over the bound. Inside a transaction.

    A Python row each, about 30 us: rejects are few, and only the newest are kept.
    """
    newest = conform(rejects, REJECTS)
    newest = newest.slice(max(0, newest.num_rows - config.quarantine_rows_max))
    repeated, size = 0, 0
    for row in newest.to_pylist():
        body = _body(row)
        digest = _digest(row["reason"], body)
        known = db.execute(
            "UPDATE quarantine SET arrivals = arrivals + 1 WHERE digest = ?", (digest,)
        )
        if known.rowcount:
            repeated += 1
            continue
        outside = [row[name] for name in _OUTSIDE]
        db.execute(
            "INSERT INTO quarantine (position, arrivals, reason, received_at_ns, digest, body)"
            " VALUES (?, 1, ?, ?, ?, ?)",
            (position, *outside, digest, body),
        )
        size += len(body)
    db.execute(
        "UPDATE state SET spans_quarantined = spans_quarantined + ?,"
        " quarantine_repeated = quarantine_repeated + ?,"
        " quarantine_dropped = quarantine_dropped + ?, quarantine_bytes = quarantine_bytes + ?",
        (rejects.num_rows, repeated, rejects.num_rows - newest.num_rows, size),
    )
    _bound(db, config)


def read(db: sqlite3.Connection, wanted: Wanted) -> pa.Table:
    """Rows of ROWS, newest first. Raises CorruptionError where one is not what was written."""
    conditions = ["coalesce(received_at_ns, 0) >= ?"]
    values: list[int | str] = [wanted.since_ns]
    if wanted.numbers is not None:
        conditions.append("number IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(list(wanted.numbers)))
    if wanted.reason is not None:
        conditions.append("reason = ?")
        values.append(wanted.reason)
    if wanted.kept_only:
        conditions.append("released IS NULL")
    found = db.execute(
        "SELECT number, position, arrivals, released, reason, received_at_ns, digest, body"
        f" FROM quarantine WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?",
        (*values, wanted.limit),
    ).fetchall()
    return pa.Table.from_pylist(list(map(_row, found)), schema=ROWS)


def mark_released(db: sqlite3.Connection, numbers: Sequence[int], position: int) -> None:
    """The spans of these rows are now in the batch at `position`. Inside a transaction."""
    db.execute(
        "UPDATE quarantine SET released = ? WHERE number IN (SELECT value FROM json_each(?))",
        (position, json.dumps(list(numbers))),
    )
    db.execute("UPDATE state SET spans_released = spans_released + ?", (len(numbers),))


def _bound(db: sqlite3.Connection, config: Config) -> None:
    rows = db.execute("SELECT count(*) FROM quarantine").fetchone()[0]
    size = db.execute("SELECT quarantine_bytes FROM state").fetchone()[0]
    dropped, freed, last = 0, 0, 0
    for number, released, length in _oldest(db):
        over = rows > config.quarantine_rows_max or size - freed > config.quarantine_bytes_max
        if not over:
            break
        rows -= 1
        dropped += released is None
        freed += length
        last = number
    if last:
        db.execute("DELETE FROM quarantine WHERE number <= ?", (last,))
        db.execute(
            "UPDATE state SET quarantine_dropped = quarantine_dropped + ?,"
            " quarantine_bytes = quarantine_bytes - ?",
            (dropped, freed),
        )


def _oldest(db: sqlite3.Connection) -> Iterator[tuple[int, int | None, int]]:
    rows = db.execute(
        "SELECT number, released, length(CAST(body AS BLOB)) FROM quarantine ORDER BY number"
    )
    try:
        yield from rows
    finally:
        rows.close()


def _body(row: dict[str, Any]) -> str:
    """All that makes a span the same span: everything but when it came."""
    return json.dumps([row[name] for name in _IN_BODY], separators=(",", ":"))


def _digest(reason: str, body: str) -> bytes:
    return blake2b(f"{reason} {body}".encode("ascii"), digest_size=16).digest()


def _row(stored: tuple[Any, ...]) -> dict[str, Any]:
    number, position, arrivals, released, reason, received_at_ns, digest, body = stored
    if digest != _digest(reason, body):
        raise CorruptionError(f"The journal's quarantine is damaged at number {number}.")
    row = dict(zip(_IN_BODY, json.loads(body), strict=True))
    row["attributes"] = row["attributes"] and [tuple(pair) for pair in row["attributes"]]
    return row | {
        "number": number,
        "position": position,
        "arrivals": arrivals,
        "released": released,
        "reason": reason,
        "received_at_ns": received_at_ns,
    }
