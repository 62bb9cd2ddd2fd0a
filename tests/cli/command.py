"""Runs `agentcost` as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from agentcost_collector.cli import app

COMMAND = [sys.executable, "-m", "agentcost_collector.cli"]


def environment(**more: str) -> dict[str, str]:
    """This environment without any settings of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AGENTCOST_")}
    none = {"XDG_CONFIG_HOME": "/nonexistent", "AGENTCOST_METRICS": "", "AGENTCOST_HEALTH": ""}
    return {**kept, **none, **more}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def agentcost(*arguments: object, **more: str) -> Done:
    """One command, run in this process; nothing is a terminal."""
    ours = dict.fromkeys((k for k in os.environ if k.startswith("AGENTCOST_")), None)
    usual = {"XDG_CONFIG_HOME": "/nonexistent", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, list(map(str, arguments)), env={**ours, **usual, **more})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def agentcost_process(*arguments: object, **more: str) -> Done:
    """One command as a process of its own."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(**more),
        check=False,
        timeout=300,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def refusal(*arguments: object, **more: str) -> str:
    """The one sentence with which a command refuses, exit code 2 and nothing on stdout."""
    done = agentcost(*arguments, **more)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("agentcost: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def parse_facts(output: str) -> dict[str, str]:
    """Lines of `name  value`."""
    return {k.strip(): v.strip() for k, _, v in (s.partition("  ") for s in output.splitlines())}


FIXTURES = Path(__file__).parent.parent / "fixtures"
