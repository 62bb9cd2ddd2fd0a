"""What the documentation shows can be typed in."""

import re
import tomllib
from functools import cache

import pytest
from typer.testing import CliRunner

from agentcost_collector.cli import app
from agentcost_collector.settings import PREFIX, load_settings
from tests.support.recordings import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())
_COMMAND = re.compile(r"agentcost ((?:replay|serve|send|sql|duckdb|explain|status)\b[^`\n]*)")
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCED_COMMAND = re.compile(r"^\s*agentcost (.+)$", re.MULTILINE)
_TARGET = re.compile(r"`make ([a-z-]+)`|^make ([a-z-]+)", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_SETTING = re.compile(rf"\b({PREFIX}[A-Z_]+)=(\S+)")


@cache
def help_of(*command: str) -> str:
    """Help text of a command, wide enough that nothing is cut."""
    wide = {"COLUMNS": "200", "TERM": "dumb"}
    done = CliRunner().invoke(app, [*command, "--help"], env=wide, prog_name="agentcost")
    assert done.exit_code == 0, done.stderr
    return done.stdout


def commands_in(text: str) -> list[str]:
    """Every `agentcost ...` that is shown in running text or in a shell block."""
    blocks = "\n".join(_FENCE.findall(text))
    return _COMMAND.findall(text) + _FENCED_COMMAND.findall(blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page):
    """Every command that is shown is one that `agentcost --help` lists, with those options."""
    for command in commands_in(page.read_text(encoding="utf-8")):
        name, *rest = command.split()
        assert re.search(rf"\b{name}\b", help_of()), command
        path = (name, rest[0]) if " COMMAND " in help_of(name) else (name,)
        quoted_away = re.sub(r'"[^"]*"', "", command)
        for flag in _FLAG.findall(quoted_away):
            assert re.search(rf"{flag}\b", help_of(*path)), command


def test_the_scan_sees_commands():
    """The README shows all commands that a user needs, and the scan finds them."""
    shown = {c.split()[0] for c in commands_in((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {"replay", "sql", "duckdb", "explain", "status", "serve"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_and_linked_files_exist(page):
    """`make X` is a target of the Makefile; links lead to files."""
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {a or b for a, b in _TARGET.findall(text)} <= set(targets)
    for link in _LINK.findall(text):
        assert (page.parent / link).exists(), link


def test_environment_variables_are_settings(monkeypatch):
    """Every `AGENTCOST_...=value` that the README shows is accepted and takes effect."""
    for name, value in _SETTING.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.receive.grpc == "127.0.0.1:14317"
    assert settings.assemble.settle_ms == 2000


def test_every_dependency_is_explained():
    """The page on dependencies lists exactly those that the package declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=]", d)[0] for d in project["dependencies"]}
    page = (ROOT / "docs" / "decisions" / "006-dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z][\w-]*) \|", page, re.MULTILINE)) - {"package"} == declared
