"""Mutated recordings over every transport; `make fuzz-night` sends 200,000."""

from __future__ import annotations

import pytest

from tests.conformance.fuzz import Fuzzer


@pytest.mark.parametrize("seed", range(10))
def test_any_body_is_answered(server, seed):
    """Whatever bytes are sent, the answer is success or a refusal for good, never one that makes
    clients send it again or that hides a fault of ours; a good request beside it is kept."""
    fuzzer = Fuzzer(server, seed)
    for number in range(8):
        fuzzer.round(number)
    assert sum(fuzzer.answers.values()) == 48
