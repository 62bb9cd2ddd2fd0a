"""Files and functions stay small enough to read."""

import ast
from pathlib import Path

import agentcost_collector

PACKAGE = Path(agentcost_collector.__file__).parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def test_no_file_is_too_long():
    """A file that outgrows the limit holds a second idea."""
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > FILE_LINES_MAX
    }
    assert long == {}


def test_no_function_is_too_long():
    """A function fits on a screen."""
    long = {
        f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno} {node.name}": lines
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert long == {}
