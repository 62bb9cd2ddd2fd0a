"""Whatever happens to it, the ledger ends as if nothing had; and the simulation would notice."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.bugs import BUGS
from tests.sim.run import Outcome, run_seed
from tests.support.recordings import ROOT

SHARDS, SEEDS_PER_SHARD = 20, 10


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_all_laws_hold(shard):
    """200 seeds; each one that fails is a line that shows it again."""
    seeds = range(shard * SEEDS_PER_SHARD, (shard + 1) * SEEDS_PER_SHARD)
    broken = [outcome.line for outcome in map(run_seed, seeds) if outcome.broken]
    assert not broken, "\n".join(["", *broken])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1136, 1146, 1809, 2102, 3124, 3293])
def test_seeds_that_failed_once(seed):
    """Counters that another journal's turn wiped out; an index that forgot between two commits, or
    forgot the links of a trace that it knew; a restatement of spans without an entry; a row stored
    twice in the evidence that hid what came with it."""
    outcome = run_seed(seed)
    assert not outcome.broken, outcome.line


@pytest.mark.slow
def test_the_same_seed_is_the_same_run():
    """In another process, with other hashes of text, everything happens again just so."""
    command = [sys.executable, "-m", "tests.sim", "--seed", "3"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = run_seed(3)
    assert len(ours.events) > 5
    assert done.stdout.endswith(f"all laws hold events {ours.digest}\n")
    assert run_seed(4).digest != ours.digest


@pytest.mark.slow
@pytest.mark.parametrize(("bug", "first"), BUGS, ids=lambda bug: getattr(bug, "__name__", ""))
def test_a_planted_bug_is_found(bug, first):
    """By one of fifty seeds, all of which hold without it."""
    for seed in range(first, first + 50):
        with bug():
            if run_seed(seed).broken:
                return
    pytest.fail("no seed finds it")


def test_a_failing_seed_prints_the_line_that_shows_it_again():
    """One line, which starts with the command."""
    assert Outcome(7, broken="stored twice x").line == "make sim SEED=7    stored twice x"
