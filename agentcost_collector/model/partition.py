"""Partition values: closed sets, so that no value from outside can name or break a directory.

environment  one of the configured names, else `other`; missing is `none`
date         a UTC day inside [first, day of now + 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

PARTITION = ("environment", "date")
NONE = "none"
OTHER = "other"
ENVIRONMENTS = (
    "production",
    "prod",
    "staging",
    "stage",
    "development",
    "dev",
    "test",
    "qa",
    "uat",
    "preview",
    "demo",
    "sandbox",
    "local",
    "ci",
)
DATE_MIN = date(2020, 1, 1)
DAY_NS = 86_400 * 10**9
AHEAD_NS = 2 * DAY_NS
"""How far the clock of a sender may be ahead of ours at receipt: further, and a span that comes
again could not be known by its times any more."""

EPOCH_DAY = date(1970, 1, 1).toordinal()


def closed_environment(names: pa.ChunkedArray, allowed: Sequence[str]) -> pa.ChunkedArray:
    """`names` in lower case where allowed, else `other`; empty and NULL become `none`.

    Applying it twice changes nothing.
    """
    # ascii kernels: they take any bytes, the utf8 ones raise on text that is not UTF-8
    lower = pc.ascii_lower(pc.ascii_trim_whitespace(names)).fill_null("")
    known = pc.is_in(lower, value_set=pa.array([*allowed, NONE, OTHER], pa.string()))
    named = pc.if_else(known, lower, pa.scalar(OTHER, pa.string()))
    absent = pc.equal(lower, pa.scalar("", pa.string()))
    return pc.if_else(absent, pa.scalar(NONE, pa.string()), named)


def closed_date(at_ns: np.ndarray, first: date, now_ns: int) -> pa.Date32Array:
    """UTC day of each instant, not before `first` and not after the day following `now_ns`."""
    last = now_ns // DAY_NS + 1
    days = np.clip(at_ns // DAY_NS, first.toordinal() - EPOCH_DAY, last)
    return pa.array(days.astype(np.int32)).cast(pa.date32())
