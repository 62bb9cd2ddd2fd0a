"""The command as a whole: help, version, exit codes, pipes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentcost_collector import __version__
from tests.cli.command import COMMAND, FIXTURES, agentcost, agentcost_process, environment, refusal
from tests.report.ledgers import booked, write_ledger

COMMANDS = ("serve", "replay", "send", "sql", "duckdb", "explain", "status")


def test_help_names_every_command() -> None:
    """--help lists what a user can do, and no internal command."""
    done = agentcost_process("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f" {command} " in done.stdout for command in COMMANDS)
    assert "_receiver" not in done.stdout
    bare = agentcost_process()
    assert (bare.stdout + bare.stderr).strip() == done.stdout.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    """--help of a command says what it does and shows its options."""
    done = agentcost(command, "--help")
    assert done.returncode == 0
    assert f"{command} [OPTIONS]" in done.stdout


def test_version() -> None:
    """--version names the product and its version."""
    assert agentcost("--version").stdout == f"agentcost {__version__}\n"


@pytest.mark.parametrize("command", ["", "sql ", "serve ", "rates quote "])
def test_help_imports_nothing_heavy(command: str) -> None:
    """Asking for help loads no engine, so it answers at once."""
    code = (
        "import sys, agentcost_collector.cli as cli\n"
        "try: cli.main()\n"
        "finally: print([m for m in ('pyarrow', 'duckdb', 'grpc', 'pydantic', 'deltalake', 'rich')"
        " if m in sys.modules])"
    )
    asked = [sys.executable, "-c", code, *f"{command}--help".split()]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("Usage: agentcost " + command)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["sql"],
        ["sql", "SELECT 1", "--nope"],
        ["sql", "SELECT 1", "--format", "xml"],
        ["replay"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """A wrong command, flag or value: exit code 2, something on stderr, no traceback."""
    done = agentcost(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_wrong_settings_are_one_sentence(tmp_path: Path) -> None:
    """Settings that cannot be used end the command with the place of the error."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("dta: x\n")
    assert f"{bad}: dta is not a setting" in refusal("status", AGENTCOST_CONFIG=str(bad))
    assert "receive.grpc" in refusal("serve", "--grpc", "nowhere")


def test_optimised_python_is_refused() -> None:
    """Without assertions the checks that protect the ledger are gone: it does not start."""
    done = subprocess.run(
        [sys.executable, "-O", *COMMAND[1:], "status"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("agentcost: python -O")


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_a_reader_that_leaves_early(tmp_path: Path, format: str) -> None:  # noqa: A002
    """`| head -1` ends the command quietly, however much there was to come."""
    write_ledger(tmp_path, [[booked()]])
    query = "SELECT repeat('x', 1000) AS text FROM range(9000)"
    shell = " ".join(COMMAND)
    done = subprocess.run(
        f'set -o pipefail; {shell} sql "{query}" --format {format} --data "{tmp_path}" | head -1',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


def _shell(redirected: str, data: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        f"{' '.join(COMMAND)} {redirected}".replace("DATA", f'"{data}"'),
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        env=environment(**more),
        check=False,
    )


@pytest.mark.parametrize("command", ["sql 'SELECT * FROM steps' --format csv", "status"])
def test_nowhere_to_write(tmp_path: Path, command: str) -> None:
    """A full disk beneath stdout is one sentence and exit code 1; a closed stdout is no error."""
    write_ledger(tmp_path, [[booked()]])
    full = _shell(f"{command} --data DATA > /dev/full", tmp_path)
    assert (full.returncode, full.stderr) == (1, "agentcost: No space left on device\n")
    closed = _shell(f"{command} --data DATA >&-", tmp_path)
    assert (closed.returncode, closed.stderr) == (0, "")
    silent = _shell(f"replay '{FIXTURES}/crewai' --data DATA 2>&- <&-", tmp_path / "new")
    assert silent.returncode == 0


def test_a_terminal_of_few_characters(tmp_path: Path) -> None:
    """What the terminal cannot show becomes a question mark, not a traceback."""
    write_ledger(tmp_path, [[booked(feature="Bücher")]])
    query = "sql 'SELECT feature FROM steps' --data DATA"
    done = _shell(query, tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "B?cher" in done.stdout


def test_interrupted() -> None:
    """Ctrl-C ends a waiting command with exit code 130 and without a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "send", str(FIXTURES / "crewai"), "--http", "--endpoint", endpoint],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            # a shell that starts the tests in the background has Ctrl-C ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)  # it has begun to send
            process.send_signal(signal.SIGINT)  # it waits for an answer
            output = process.communicate(timeout=60)
    assert (process.returncode, *output) == (130, "", "")
