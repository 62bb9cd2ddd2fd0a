"""Limits of what one span may carry into the journal."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Limits on text taken from spans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value_chars_max: int = Field(default=1024, ge=1)
    """Characters kept of one attribute value, span or resource; the rest is cut off."""

    name_chars_max: int = Field(default=256, ge=1)
    """Characters kept of a span name, scope name or scope version; the rest is cut off."""

    nested_bytes_max: int = Field(default=16 * 1024, ge=0)
    """Bytes of the largest array or map value that is read; a larger one is dropped."""
