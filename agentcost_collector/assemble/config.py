"""Settings of assembling traces."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Config(BaseModel):
    """Settings of assembling traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settle_ms: int = Field(default=5_000, ge=0)
    """A complete trace closes when nothing arrived for it for this long. Milliseconds."""

    idle_ms: int = Field(default=60_000, ge=0)
    """A trace whose root or another parent is missing closes when nothing arrived for it for this
    long. Milliseconds."""

    age_ms_max: int = Field(default=3_600_000, ge=0)
    """A trace closes at the latest this long after its first span arrived, busy or not; what
    comes later corrects it. Milliseconds."""

    open_spans_max: int = Field(default=2_000_000, ge=1)
    """More open spans than this close the oldest traces."""

    open_bytes_max: int = Field(default=512 * 1024 * 1024, ge=1, le=1024 * 1024 * 1024)
    """More bytes of open traces than this close the oldest ones. Counts every row and a fixed
    cost per trace; closed rows not yet cleared out can take as much again."""

    @model_validator(mode="after")
    def _in_order(self) -> Config:
        if not self.settle_ms <= self.idle_ms <= self.age_ms_max:
            raise ValueError("settle_ms <= idle_ms <= age_ms_max is needed")
        return self
