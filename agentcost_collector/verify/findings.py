"""What is wrong, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as it should be."""

    check: str
    """seals, rows, files, conservation, prices or damage."""
    journal: str | None
    """Twelve hex digits, or `files` for the chain of rewritten files."""
    batch_seq: int | None
    file: str | None
    """Path of what is wrong, or of what holds it."""
    sentence: str
    """What it is, and what to do."""
