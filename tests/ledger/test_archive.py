"""Card sets beside the ledger: written once, durable before they are named."""

from __future__ import annotations

import os
from pathlib import Path

from agentcost_collector.ledger.archive import archive, read_archive


def test_kept_once_and_never_changed(tmp_path: Path) -> None:
    """What is kept under a name stays, whatever comes later; a torn attempt is not seen."""
    assert read_archive(tmp_path) == {}
    archive(tmp_path, "a", b"one")
    archive(tmp_path, "a", b"two")
    archive(tmp_path, "b", b"three")
    (tmp_path / "cards" / ".c.json.1.tmp").write_bytes(b"torn")
    assert read_archive(tmp_path) == {"a": b"one", "b": b"three"}


def test_durable_before_it_is_there(tmp_path: Path, monkeypatch: object) -> None:
    """The content is synced before the name appears, and the folder after."""
    seen: list[bool] = []
    real = os.fsync

    def note(handle: int) -> None:
        seen.append((tmp_path / "cards" / "a.json").exists())
        real(handle)

    monkeypatch.setattr(os, "fsync", note)  # type: ignore[attr-defined]
    archive(tmp_path, "a", b"one")
    assert seen[-2:] == [False, True]
