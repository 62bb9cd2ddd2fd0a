from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from agentcost_collector.model.partition import DATE_MIN, ENVIRONMENTS, closed_date
from agentcost_collector.model.partition import closed_environment as closed

NAMES = ["prod", " PROD ", "", "  ", None, "x" * 300, "../x", "émoi", "none", "other", "Staging"]
CLOSED = ["prod", "prod", *["none"] * 3, *["other"] * 3, "none", "other", "staging"]


def test_any_name_ends_in_the_closed_set_and_stays_there():
    """Hostile, missing and known names map to the closed set; a second pass changes nothing."""
    once = closed(pa.chunked_array([NAMES], pa.string()), ENVIRONMENTS)
    assert once.to_pylist() == CLOSED
    assert closed(once, ENVIRONMENTS).to_pylist() == CLOSED


def test_bytes_that_are_not_text_do_not_stop_a_batch():
    """An environment that is not UTF-8 is `other`, not an error."""
    broken = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    assert closed(pa.chunked_array([broken]), ENVIRONMENTS).to_pylist() == ["other"]


def test_dates_are_clamped_at_both_ends():
    """The year 1970, the far future and the extremes of int64 fall on the edges of the window."""
    now = 1_780_000_000 * 10**9  # 2026-05-28T20:26:40Z
    at = np.array([0, -(2**63), 2**63 - 1, now, now + 86_400 * 10**9], np.int64)
    assert closed_date(at, DATE_MIN, now).to_pylist() == [
        date(2020, 1, 1),
        date(2020, 1, 1),
        date(2026, 5, 29),
        date(2026, 5, 28),
        date(2026, 5, 29),
    ]
