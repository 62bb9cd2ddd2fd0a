"""The receiver's memory under load; `make bench-memory` prints the figure."""

from __future__ import annotations

import pytest

from tests.conformance.memory import SHARE, taken

pytestmark = pytest.mark.slow


def test_memory_stays_within_its_limit(tmp_path):
    """32 requests of the largest size at once, then bombs in every codec: the process never takes
    more than the configured limit and 64 MiB; no request is answered as a fault of ours."""
    mib = 64
    more, answers = taken(mib, tmp_path)
    assert more <= SHARE * mib + 64
    assert set(answers) <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", 400, 413}
    assert answers["OK"] >= 1
