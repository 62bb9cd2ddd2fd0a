"""The mark: a small file in which the reader says below which position nothing is needed.

It is a file of its own, not a row, so that the database has a single writer: SQLite before 3.51.3
can damage a WAL database when one connection writes at the moment another one checkpoints.
Losing the mark costs disk space until the next one, nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

from agentcost_collector.model.errors import TransientError

FILE_NAME = "trimmed"


def write_mark(directory: Path, journal_id: str, below: int) -> None:
    """Replaces the mark; a reader of the file sees the old one or the new one."""
    temporary = directory / f"{FILE_NAME}.new"
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(f"{journal_id} {below}\n")
        os.replace(temporary, directory / FILE_NAME)
    except OSError as error:
        raise TransientError(f"Cannot write {directory / FILE_NAME}: {error.strerror}.") from error


def read_mark(directory: Path, journal_id: str) -> int:
    """The position below which nothing is needed; 0 where no mark of this journal is whole."""
    try:
        text = (directory / FILE_NAME).read_text("ascii", errors="replace")
    except OSError:
        return 0
    name, _, number = text.partition(" ")
    whole = name == journal_id and number.endswith("\n") and number[:-1].isdecimal()
    return int(number) if whole else 0
