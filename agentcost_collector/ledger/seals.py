"""Seals: a chain of digests over the batches of each journal. See docs/audit.md.

A seal is worked out before its commit and rides in the commitInfo of the `ledger` log, so it is
there with the entries or not at all. It is then appended to `seals/<journal>.jsonl`, one JSON
object a line, which stays when log entries are cleaned up and which anybody can read and copy.

Files that were rewritten have a chain of their own, FILES, whose seals name no entries.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from agentcost_collector.ledger.canonical import (
    Lines,
    PartHash,
    batch_hash,
    sha256_lines,
    slices,
)
from agentcost_collector.ledger.disk import make_directory, sync
from agentcost_collector.ledger.layout import CHAIN_SUFFIX, SEALS, chain_files
from agentcost_collector.ledger.log import Log, facts_of, log_entry, read_actions
from agentcost_collector.ledger.rows import Part

FILES = "files"
"""The chain of rewritten files."""
FORM = "agentcost.seal/1"
FIRST = "0" * 64
"""What the first seal of a chain follows."""

_TAIL_BYTES = 64 * 1024  # read at first; the line of a batch with many files is longer
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seal:
    """One line of a chain."""

    journal: str
    """Twelve hex digits, as in entries and file names; or FILES."""
    batch_seq: int
    rows: int
    """Entries of the batch."""
    cost_usd: str | None
    """Sum of their cost_usd with 12 decimals; None where none has a cost."""
    batch_hash: str
    files: tuple[str, ...]
    """Data files of both tables that the batch wrote, sorted: "<sha256>  <path below the ledger>",
    as sha256sum prints and checks them."""
    sealed_at: str
    """When it was made, UTC, ISO 8601."""
    prev: str
    seal: str

    @classmethod
    def of(cls, last: Seal | None, **values: Any) -> Self:
        """The seal that follows `last`."""
        bare = cls(**values, prev=last.seal if last else FIRST, seal="")
        return cls(**{**bare.__dict__, "seal": bare.digest()})

    @classmethod
    def parse(cls, line: bytes | str) -> Self:
        """From a line of a chain. ValueError where it is not one."""
        return cls.read(json.loads(line))

    @classmethod
    def read(cls, values: Any) -> Self:
        """From the JSON object. ValueError where it is not a seal."""
        try:
            seal = cls(**{**values, "files": tuple(values["files"])})
        except (TypeError, KeyError) as fault:
            raise ValueError(f"not a seal: {fault}") from fault
        if {name: type(value) for name, value in seal.__dict__.items()} != {
            **dict.fromkeys(seal.__dict__, str),
            "batch_seq": int,
            "rows": int,
            "files": tuple,
            "cost_usd": type(None) if seal.cost_usd is None else str,
        }:
            raise ValueError("not a seal: values of another type")
        return seal

    def digest(self) -> str:
        """What `seal` must be."""
        cost = "\\N" if self.cost_usd is None else self.cost_usd
        of_files = sha256_lines(self.files)
        numbers = str(self.batch_seq), str(self.rows)
        facts = (self.journal, *numbers, cost, self.batch_hash, of_files, self.sealed_at)
        return sha256_lines([FORM, self.prev, *facts])

    def json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    def digests(self) -> dict[str, str]:
        """Digest of each file, by its path below the ledger."""
        return {path: digest for digest, _, path in (line.partition("  ") for line in self.files)}


class Chain:
    """The writing end of one chain."""

    def __init__(self, path: Path, last: Seal | None) -> None:
        self.path = path
        self.last = last

    @property
    def name(self) -> str:
        """The journal in 12 hex digits, or FILES."""
        return self.path.stem

    @classmethod
    def open(cls, ledger: Path, name: str, log: Log | None = None) -> Self:
        """The chain in the ledger's directory, completed from `log` where a crash cut it."""
        path = ledger / SEALS / f"{name}{CHAIN_SUFFIX}"
        chain = cls(path, _last_line(path))
        if log is None:
            return chain
        after = chain.last.batch_seq if chain.last else 0
        missing = log_seals(log.directory, log.version, name, after)
        for seal in missing:
            if seal.prev != (chain.last.seal if chain.last else FIRST):
                _logger.error(
                    "seals_missing", file=str(path), before_batch=seal.batch_seq, see="verify"
                )
            chain.append(seal)
        return chain

    def append(self, seal: Seal) -> None:
        """Durable on return."""
        fresh = not self.path.exists()
        make_directory(self.path.parent)
        with self.path.open("ab") as file:
            file.write(json.dumps(seal.json()).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync(self.path.parent)
        self.last = seal


def seal_batch(
    chain: Chain, batch_seq: int, parts: Sequence[Part], files: Sequence[str], now_ns: int
) -> Seal:
    """The seal of a batch that is about to be committed. `parts`: its entries."""
    hashes = {part.path: PartHash() for part in parts}
    for part in parts:
        for rows in slices(part.rows):
            last_row_no = rows["row_no"][-1].as_py()
            hashes[part.path].add(Lines(rows), 0, rows.num_rows, last_row_no)
    return Seal.of(
        chain.last,
        journal=chain.name,
        batch_seq=batch_seq,
        rows=sum(part.rows for part in hashes.values()),
        cost_usd=cost_text(cost_of(part.rows) for part in parts),
        batch_hash=batch_hash(hashes),
        files=tuple(sorted(files, key=_path)),
        sealed_at=_instant(now_ns),
    )


def seal_files(ledger: Path, written: Mapping[str, str], now_ns: int) -> Seal:
    """Notes the digests of files that hold what was sealed before, by path below the ledger.

    To be called when they are on disk, and before a log names them. Durable on return.
    """
    chain = Chain.open(ledger, FILES)
    seal = Seal.of(
        chain.last,
        journal=FILES,
        batch_seq=chain.last.batch_seq + 1 if chain.last else 1,
        rows=0,
        cost_usd=None,
        batch_hash=batch_hash({}),
        files=tuple(sorted(map(file_line, written, written.values()), key=_path)),
        sealed_at=_instant(now_ns),
    )
    chain.append(seal)
    return seal


def file_line(path: str, digest: str) -> str:
    """As sha256sum prints it."""
    return f"{digest}  {path}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cost_of(entries: pa.Table) -> Decimal | None:
    """Exact sum of cost_usd, None where no entry has one."""
    total = pc.sum(entries["cost_usd"]).as_py()
    assert total is None or isinstance(total, Decimal)
    return total


def cost_text(costs: Iterable[Decimal | None]) -> str | None:
    """Their sum as a seal has it."""
    known = [cost for cost in costs if cost is not None]
    return format(sum(known, Decimal(0)), ".12f") if known else None


def chain_lines(ledger: Path) -> dict[str, list[bytes]]:
    """Every chain of a ledger, line by line, as it is on disk."""
    return {path.stem: path.read_bytes().split(b"\n") for path in map(Path, chain_files(ledger))}


def log_seals(table: Path, version: int, name: str, after: int) -> list[Seal]:
    """Seals of a journal above batch `after` that the `ledger` log still holds, oldest first."""
    found = []
    while (entry := log_entry(table, version)).exists():
        seal = (facts_of(read_actions(entry) or []) or {}).get("seal")
        version -= 1
        if seal is None or seal["journal"] != name:
            continue
        if seal["batch_seq"] <= after:
            break
        found.append(Seal.read(seal))
    return found[::-1]


def _last_line(path: Path) -> Seal | None:
    """The newest whole line. What a crash left of a line is cut off: its commit may be in the log,
    and completes the chain again."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    with path.open("rb+") as file:
        start, lines = size, list[bytes]()
        while start and not lines:
            start = max(0, start - _TAIL_BYTES)
            file.seek(start)
            whole, _, torn = file.read().rpartition(b"\n")
            lines = whole.split(b"\n")[1 if start else 0 :]
        if size and torn:
            file.truncate(size - len(torn))
            file.flush()
            os.fsync(file.fileno())
    for line in filter(None, reversed(lines)):
        try:
            return Seal.parse(line)
        except ValueError:
            _logger.error("seal_damaged", file=str(path), see="verify")
    return None


def _path(line: str) -> str:
    return line.partition("  ")[2]


def _instant(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
