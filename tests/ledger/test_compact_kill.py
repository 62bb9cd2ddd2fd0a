from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable

from tests.ledger import compact_writer
from tests.ledger.tables import trace_id

LAST = 80
KILLS = 8


def writer(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.compact_writer", str(directory), str(LAST)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(compact_writer.__file__).parents[2],
    )


@pytest.mark.slow
def test_kill_9_while_compacting_loses_and_doubles_nothing(tmp_path):
    """Kills at random points of a process that commits and compacts: what was acknowledged is
    there, everything is there once, and at the end few files are left."""
    rng = random.Random(20261123)
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        with writer(tmp_path) as process:
            assert process.stdout is not None
            for _ in range(rng.choice((3, 4, 4, 4, 8))):  # every fourth is followed by upkeep
                line = process.stdout.readline()
                acknowledged.update([int(line)] if line else [])
            for _ in range(rng.randint(0, 3_000_000)):
                pass
            process.kill()
            acknowledged.update(int(line) for line in process.stdout.read().split())
        for table in ("spans", "ledger"):
            stored = counted(tmp_path / table)
            assert set(stored.values()) <= {3 if table == "spans" else 2}
            assert {trace_id(n) for n in acknowledged} <= set(stored)
    with writer(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.read()
    assert process.returncode == 0
    everything = {trace_id(n) for n in range(1, LAST + 1)}
    assert counted(tmp_path / "spans") == Counter(dict.fromkeys(everything, 3))
    assert counted(tmp_path / "ledger") == Counter(dict.fromkeys(everything, 2))
    assert len(DeltaTable(tmp_path / "ledger").file_uris()) < 10


def counted(table: Path) -> Counter[str]:
    return Counter(DeltaTable(table).to_pyarrow_table(columns=["trace_id"])["trace_id"].to_pylist())
