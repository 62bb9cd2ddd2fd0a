"""The example for GitHub Actions does what it says, in a repository made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.check.recorded import CARDS, record
from tests.cli.command import environment
from tests.support.recordings import ROOT

STEPS = yaml.safe_load((ROOT / "deploy" / "ci" / "cost-check.yaml").read_text())["jobs"]["cost"][
    "steps"
]
GIT = [
    "git",
    "-c",
    "user.name=t",
    "-c",
    "user.email=t@example.org",
    "-c",
    "init.defaultBranch=main",
]


@pytest.fixture
def checkout(tmp_path):
    """A clone whose base branch holds a run of $0.003."""
    origin = tmp_path / "origin"
    (origin / "traces").mkdir(parents=True)
    record(origin / "traces" / "run.json", {"search": 1})
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "base"]):
        subprocess.run([*GIT, "-C", str(origin), *command], check=True)
    subprocess.run([*GIT, "clone", "-q", str(origin), str(tmp_path / "here")], check=True)
    return tmp_path / "here"


def run_steps(checkout: Path) -> dict[str, int]:
    """Exit codes of all steps that run a command but the installation."""
    bin_folder = checkout.parent / "bin"
    bin_folder.mkdir()
    command = bin_folder / "agentcost"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m agentcost_collector.cli "$@"\n')
    command.chmod(0o755)
    env = environment(
        PATH=f"{bin_folder}:{os.environ['PATH']}",
        PYTHONPATH=str(ROOT),
        AGENTCOST_RATE_CARDS=str(CARDS),
        GITHUB_BASE_REF="main",
        GITHUB_STEP_SUMMARY=str(checkout.parent / "summary.md"),
    )
    steps = [step for step in STEPS if "run" in step and step["name"] != "install"]
    return {
        step["name"]: subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=checkout, env=env, check=False
        ).returncode
        for step in steps
    }


def test_a_change_within_limits_passes(checkout):
    """The summary holds both tables."""
    assert set(run_steps(checkout).values()) == {0}
    summary = (checkout.parent / "summary.md").read_text()
    assert "### Cost check: passed" in summary
    assert "usd_per_run_head" in summary


def test_a_dearer_run_fails(checkout):
    """Twenty calls a run instead of one, $0.06: too much for search, and more than 10 percent."""
    record(checkout / "traces" / "run.json", {"search": 20})
    codes = run_steps(checkout)
    assert (codes["limits"], codes["change"]) == (1, 1)
    summary = (checkout.parent / "summary.md").read_text()
    assert "$0.06, $0.05 allowed" in summary
