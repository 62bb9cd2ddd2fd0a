"""Bit rot."""

from __future__ import annotations

from pathlib import Path

from tests.verify.flips import KINDS, fill, turned


def test_no_turned_bit_changes_a_sum_unnoticed(tmp_path: Path) -> None:
    """Bits over every kind of file: each is reported, refused, or changes nothing."""
    outcomes = list(turned(fill(tmp_path / "data"), 66, seed=2026))
    assert [each for each in outcomes if each[1].startswith("unnoticed")] == []
    assert {kind for kind, _ in outcomes} == set(KINDS)
    for kind in ("entries", "evidence", "cards"):
        assert {outcome for of, outcome in outcomes if of == kind} == {"reported"}
