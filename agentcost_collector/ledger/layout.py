"""Names and schemas of what lies in the ledger's directory. See docs/formats/ledger.md."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

import pyarrow as pa

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.partition import PARTITION
from agentcost_collector.model.schemas import ENTRIES, SPANS

FACTS = "agentcost"
"""Key of our object in the commitInfo of a Delta log entry."""

RETIRED = "agentcost/retired"
"""Delta application whose version counts the rows that were retired from a table; followed by
/<digest of a journal> it counts those of that journal."""
RETIRED_BEFORE = f"{RETIRED}/before"
"""Delta application whose version is the first day of which no evidence was retired, in days
since 1970."""

SEALS, CHAIN_SUFFIX = "seals", ".jsonl"
_NAMED = re.compile(r"(part|merged)-([0-9a-f]{12})-(\d+)-[0-9a-f]+\.parquet")


@dataclass(frozen=True)
class Kind:
    """One of the two tables: its rows in memory, and how its columns are kept in Parquet."""

    name: str
    rows: pa.Schema
    statistics: tuple[str, ...]
    """Columns that help a reader to skip row groups."""
    coded: tuple[str, ...]
    """Columns worth a dictionary; for mostly distinct values it would only cost."""
    packed: tuple[str, ...]
    """Integers kept as small differences."""
    identity: tuple[str, ...]
    """Columns that together name a row."""
    append_only: str
    """The table property delta.appendOnly: evidence may be retired, entries never."""


_TIMES = ("start_ns", "end_ns", "received_at_ns")
_DISTINCT = ("span_id", "parent_span_id", "step_id", "started_at", "ended_at", "row_no")

SPAN_ROWS = Kind(
    "spans",
    SPANS,
    statistics=("trace_id", "start_ns", "end_ns"),
    coded=(
        *("trace_id", "kind", "name", "status", "scope_name", "scope_version", "resource"),
        *("attributes.key_value.key", "attributes.key_value.value", "dropped_attributes"),
    ),
    packed=_TIMES,
    identity=("trace_id", "span_id", "start_ns", "received_at_ns"),
    append_only="false",
)
ENTRY_ROWS = Kind(
    "ledger",
    ENTRIES,
    statistics=("trace_id", "started_at", "ended_at", "feature", "team", "tenant", "batch_seq"),
    coded=tuple(name for name in ENTRIES.names if name not in (*_DISTINCT, *PARTITION)),
    packed=("row_no",),
    identity=("journal", "batch_seq", "row_no", "step_id"),
    append_only="true",
)


def stored(kind: Kind) -> pa.Schema:
    """Columns inside a data file: all but the partition columns, which are in its path."""
    return pa.schema([field for field in kind.rows if field.name not in PARTITION])


def declared(kind: Kind) -> pa.Schema:
    """Schema of the Delta table: stored columns, coded text as text, then the partition columns."""
    fields = []
    for field in stored(kind):
        coded = pa.types.is_dictionary(field.type)
        fields.append(field.with_type(field.type.value_type) if coded else field)
    return pa.schema([*fields, ("environment", pa.string()), ("date", pa.date32())])


def app_id(journal_id: str) -> str:
    """Delta application id of the commits made from one journal."""
    return f"agentcost/{journal_id}"


def part_name(journal_id: str, batch_seq: int, number: int) -> str:
    """Name of a data file; the same batch of the same journal always has the same name."""
    return f"part-{short(journal_id)}-{batch_seq:010d}-{number}.parquet"


def merged_name(journal: str, batch_seq: int, names: Iterable[str]) -> str:
    """Name of the data file made of files of one journal (its digest), of which the last was
    committed as `batch_seq`; the same files always give the same name."""
    of = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return f"merged-{journal}-{batch_seq:010d}-{of}.parquet"


class Origin(NamedTuple):
    """Where the rows of a data file come from."""

    journal: str
    """Digest of the journal's id."""
    batch_seq: int
    """Their batch, of a merged file the last one."""
    is_merged: bool


def origin_of(path: str) -> Origin | None:
    """Origin of a data file by its name, None where another program wrote it."""
    written = _NAMED.fullmatch(PurePath(path).name)
    return Origin(written[2], int(written[3]), written[1] == "merged") if written else None


def chain_files(ledger: Path) -> list[str]:
    """Absolute paths of the chains of seals."""
    folder = ledger.absolute() / SEALS
    return sorted(map(str, folder.glob(f"*{CHAIN_SUFFIX}"))) if folder.is_dir() else []


def short(journal_id: str) -> str:
    """A journal in file names and entries: 12 hex digits of a digest, as two journals must never
    share a name and an id may hold any character."""
    return hashlib.sha256(journal_id.encode()).hexdigest()[:12]


def checked(directory: Path) -> Path:
    """Absolute `directory`. ConfigError for a name that delta-rs would decode into another."""
    whole = directory.absolute()
    if "%" in str(whole):
        raise ConfigError(f"{whole}: a ledger cannot be kept under a path with '%'; rename it")
    return whole
