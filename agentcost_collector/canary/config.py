"""Settings of the canaries."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Whether the service sends itself canaries; not by default."""

    every_s: float = Field(default=0, ge=0)
    """Seconds between two of them; 0 for none. Each costs $0.000000001402 in the ledger."""
    token_file: Path | None = None
    """File with a token of the scope `ingest`, where the doors ask for one."""
