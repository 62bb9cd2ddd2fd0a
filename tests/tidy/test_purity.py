"""Pure stages see no clock, no chance, no environment and no file."""

import ast
from pathlib import Path

import pytest

import agentcost_collector

PACKAGE = Path(agentcost_collector.__file__).parent
PURE = ("decode", "assemble", "normalise", "attribute", "price", "book", "allocate")
READS_FILES = {"price/read.py", "price/load.py"}
"""The edge at which rate cards are loaded; still without clock or chance."""

_CLOCKS = {"time", "random", "secrets", "uuid"}
_WORLD = {"os", "sys", "logging", "structlog", "subprocess", "socket", "tempfile", "shutil"}
_INSTANTS = {"now", "utcnow", "today", "time_ns", "urandom"}
_BUILTINS = {"open", "input", "print", "breakpoint"}


def impure(source: str, reads_files: bool = False) -> list[str]:
    """What in `source` depends on more than its arguments."""
    forbidden = _CLOCKS if reads_files else _CLOCKS | _WORLD
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0]}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = {node.func.attr} & _INSTANTS
            found += [f"line {node.lineno}: {name}()" for name in names]
            continue
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not reads_files:
            found += [f"line {node.lineno}: {n}()" for n in {node.func.id} & _BUILTINS]
            continue
        else:
            continue
        found += [f"line {node.lineno}: import {name}" for name in names & forbidden]
    return found


@pytest.mark.parametrize("folder", PURE)
def test_pure_stages_see_nothing_but_their_arguments(folder):
    """Same input, same output: the kernel can be run again over history."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        assert impure(path.read_text(encoding="utf-8"), name in READS_FILES) == [], name


@pytest.mark.parametrize(
    "source",
    ["import time", "from random import choice", "datetime.now()", "open('f')", "import os.path"],
)
def test_the_scan_sees_the_world(source):
    """Each way to the outside is found."""
    assert impure(source)
