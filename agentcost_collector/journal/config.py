"""Settings of the journal."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Settings of the journal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    compression: Literal["lz4", "zstd"] = "lz4"
    """How new batches are compressed; either can always be read. zstd needs about two thirds of
    the space of lz4, and more than twice its time to read."""

    busy_timeout_ms: int = Field(default=5_000, ge=0)
    """How long a call waits for a lock on the database (a backup tool's, say) before it fails
    with TransientError. Milliseconds."""

    trim_batches_per_step: int = Field(default=64, ge=1)
    """How many batches that are no longer needed one append deletes at most, so that no sender
    waits long for the cleaning."""

    quarantine_rows_max: int = Field(default=100_000, ge=0)
    """How many set-aside spans are kept for inspection and retry. Beyond it the oldest are dropped;
    `agentcost status` says how many."""

    quarantine_bytes_max: int = Field(default=256 * 1024 * 1024, ge=0)
    """How many bytes the set-aside spans may take; beyond it the oldest are dropped likewise."""
