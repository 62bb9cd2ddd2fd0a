"""Limits of what one span may carry into the journal, and of what one request may hold."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """Limits on requests, and on text taken from spans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spans_per_request_max: int = Field(default=200_000, ge=1)
    """Spans that one request may hold; a larger one is refused for good. The resources and scopes
    they are listed under count as well."""

    attributes_per_request_max: int = Field(default=1_000_000, ge=1)
    """Attributes and links that all spans of one request may hold together; a request with more
    is refused for good."""

    value_chars_max: int = Field(default=1024, ge=1)
    """Characters kept of one attribute value, span or resource; the rest is cut off."""

    name_chars_max: int = Field(default=256, ge=1)
    """Characters kept of a span name, scope name or scope version; the rest is cut off."""

    nested_bytes_max: int = Field(default=16 * 1024, ge=0)
    """Bytes of the largest array or map value that is read; a larger one is dropped."""

    user_id_key_file: Path | None = None
    """File with a secret of 16 bytes or more. With it, user ids are kept as keyed hashes and not
    as they come; see docs/privacy.md. None: as they come."""
