"""Durable files: what these functions wrote is on the disk when they return.

fsync by file and by directory, because the Delta library never calls it. An error of fsync is
raised and never tried again on the same file: the kernel may have dropped the pages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.layout import Kind


def sync(path: Path) -> None:
    """fsync a file or a directory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(path: Path) -> None:
    """Create `path` and what is missing above it, each entry durable; also that of a `path` which
    a process made that was killed before it was."""
    if not path.is_dir():
        if path.parent != path:
            make_directory(path.parent)
        path.mkdir(exist_ok=True)
    sync(path.parent)


def write_again(path: Path) -> None:
    """Write what a file reads as once more, durable, in its place. For a file of which nobody
    knows whether it was synced, or that a sync refused: what is read may not be on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(path.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync(path.parent)


def write_part(rows: pa.Table, path: Path, kind: Kind, config: Config) -> tuple[int, str]:
    """Write a data file under its final name into a folder that is there, durable; its size in
    bytes and its SHA-256.

    A file of that name left by a crash is replaced.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    content = pa.BufferOutputStream()
    pq.write_table(
        rows,
        content,
        row_group_size=config.row_group_rows,
        compression="zstd",
        compression_level=config.zstd_level,
        use_dictionary=list(kind.coded),
        column_encoding=dict.fromkeys(kind.packed, "DELTA_BINARY_PACKED"),
        write_statistics=list(kind.statistics),
        write_page_checksum=True,
    )
    data = content.getvalue()
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
    return data.size, hashlib.sha256(data).hexdigest()


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a small file in one step; not synced: it only repeats what is durable elsewhere."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.rename(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`; None where it is missing or torn."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def move_aside(path: Path, aside: Path) -> Path:
    """Move a damaged file out of every reader's sight, keeping it; where it is now."""
    make_directory(aside)
    number = 0
    while (target := aside / f"{path.parent.parent.name}-{path.name}.{number}").exists():
        number += 1
    path.rename(target)
    sync(aside)
    sync(path.parent)
    return target
