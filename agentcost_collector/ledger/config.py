"""Settings of the ledger."""

from __future__ import annotations

import re
from datetime import date
from typing import Self

from pydantic import BaseModel, Field, model_validator

from agentcost_collector.model.partition import DATE_MIN, ENVIRONMENTS, NONE, OTHER

_NAME = re.compile(r"[a-z0-9_-]{1,63}")


class Config(BaseModel, frozen=True, extra="forbid"):
    """Where rows are filed, how files are written, how far back a trace is looked up fast."""

    environments: tuple[str, ...] = ENVIRONMENTS
    """Partition values, lower case. Any other environment is filed as `other`, none as `none`."""

    date_min: date = DATE_MIN
    """First day of the ledger: rows dated earlier are filed under this day."""

    reopen_window_h: int = Field(default=24, ge=1)
    """Hours during which a late span finds its trace through the index; older ones are scanned."""

    index_traces_max: int = Field(default=20_000_000, ge=1)
    """Traces that the index holds at most, 12 bytes of memory each; the window shrinks to fit."""

    scan_days: int = Field(default=2, ge=1)
    """Days before and after a late span in which the scan looks for the rest of its trace."""

    checkpoint_every: int = Field(default=25, ge=1)
    """Versions between two checkpoints of each Delta log; each one in between slows commits."""

    row_group_rows: int = Field(default=16_384, ge=1_000)
    """Rows in a Parquet row group at most: what is read at least to find one trace."""

    zstd_level: int = Field(default=1, ge=1, le=19)
    """Compression of data files. On recorded traces level 3 was slower and its files no smaller."""

    compact_every_h: float = Field(default=1, ge=0)
    """Hours between two looks of the service for what to compact and clean up; 0 for never."""

    compact_quiet_h: float = Field(default=24, ge=0)
    """Hours without a commit after which a day counts as closed, and its small files are merged."""

    compact_rows: int = Field(default=200_000, ge=1)
    """Rows of a merged data file at most."""

    replaced_kept_h: float = Field(default=24, ge=0)
    """Hours for which files stay that compaction replaced, for readers that have begun."""

    spans_kept_days: int = Field(default=0, ge=0)
    """Days for which evidence is kept; 0 for ever. Entries are always kept. What has no evidence
    any more is not restated."""

    @model_validator(mode="after")
    def _environments_are_plain_names(self) -> Self:
        for name in self.environments:
            if not _NAME.fullmatch(name) or name in (NONE, OTHER):
                raise ValueError(
                    f"environment {name!r} must be 1 to 63 of a-z 0-9 _ - and not none or other"
                )
        return self
