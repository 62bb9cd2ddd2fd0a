"""The page on logs has every event that the code can log, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import agentcost_collector
from agentcost_collector.telemetry import LIBRARY
from tests.support.recordings import ROOT

PACKAGE = Path(agentcost_collector.__file__).parent
_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
_LOGGERS = {"log", "_log", "logger", "_logger"}


def events_in(source: str) -> set[tuple[str, str]]:
    """(event, level) of every log line in `source`. A name that is not written out fails."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LEVELS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in _LOGGERS
        ):
            name = node.args[0]
            assert isinstance(name, ast.Constant), f"line {node.lineno}: not a fixed name"
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name.value), name.value
            found.add((name.value, node.func.attr))
    return found


def test_the_page_lists_every_event_with_its_level() -> None:
    """Whoever filters or alerts on a name can rely on it."""
    logged = {(LIBRARY, "any")}
    for path in PACKAGE.rglob("*.py"):
        logged |= events_in(path.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)) == logged


def test_only_structlog_makes_log_lines() -> None:
    """A logger of another kind, or under another name, would escape the list."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        made = re.findall(r"^(\w+) = structlog\.get_logger", text, re.MULTILINE)
        assert len(made) == text.count("get_logger"), path
        assert set(made) <= _LOGGERS, path
        assert not re.search(
            r"logging\.(getLogger\([^)]+\)(?!\.setLevel)|debug|info|warning|error)", text
        ), path
