"""Settings of anchoring."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator


class Config(BaseModel, frozen=True, extra="forbid"):
    """Where the service puts the heads; nowhere by default."""

    file: Path | None = None
    """A file that they are appended to, best on another machine's disk."""
    command: str | None = None
    """A shell command that gets them on its standard input, such as one that mails them."""
    http: str | None = None
    """An address that they are posted to."""
    every_h: float = Field(default=24, gt=0)
    """Hours between two times. One time at the start of the service as well."""

    @field_validator("http")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must begin with http:// or https://")
        return value

    @property
    def wanted(self) -> bool:
        """Whether anything is set."""
        return bool(self.file or self.command or self.http)
