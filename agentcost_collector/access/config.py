"""Settings of access: where tokens and the audit log are."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Who may use the doors, and where that is noted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tokens: Path | None = None
    """File of tokens, written by `agentcost token`. None: tokens.jsonl in the data folder."""

    required: bool = False
    """Whether every door demands a token even while there is none. Once there is one they do."""

    audit: Path | None = None
    """The audit log. None: audit.jsonl in the data folder."""
