"""The chain of seals on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcost_collector.ledger.seals import FILES, FIRST, Chain, seal_files

HEX = "ab" * 32


@pytest.mark.parametrize("torn", [b"", b'{"journal": "fi', b'{"files": "' + b"x" * 200_000])
def test_a_chain_goes_on_after_a_long_line(tmp_path: Path, torn: bytes) -> None:
    """The line of a batch with thousands of files is found as the last one, and what a crash left
    behind it, short or long, is cut off."""
    files = {
        f"spans/environment=prod/date=2026-05-28/part-{n:05d}.parquet": HEX for n in range(3000)
    }
    first = seal_files(tmp_path, files, 1)
    second = seal_files(tmp_path, files, 2)
    assert (first.prev, second.prev) == (FIRST, first.seal)
    path = tmp_path / "seals" / "files.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    chain = Chain.open(tmp_path, FILES)
    assert chain.last == second
    assert path.read_bytes() == whole


def test_a_chain_without_a_line_begins(tmp_path: Path) -> None:
    """Nothing but a torn first line: the chain is empty and starts anew."""
    folder = tmp_path / "seals"
    folder.mkdir()
    (folder / "files.jsonl").write_bytes(b'{"journal"')
    assert Chain.open(tmp_path, FILES).last is None
    assert seal_files(tmp_path, {"a": HEX}, 1).prev == FIRST
