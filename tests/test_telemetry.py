"""Log lines can be read by machines where no person reads them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from agentcost_collector.telemetry import configure_logging


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and the libraries' lines from the level on go to stderr as JSON, one line each."""
    configure_logging("info")
    log = structlog.get_logger()
    log.debug("too small")
    log.info("settled", traces=3, name="two\nlines")
    logging.getLogger("uvicorn.error").warning("port %d", 4318)
    logging.getLogger("other").debug("too small")
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.err.splitlines()]
    assert captured.out == ""
    assert [(line["event"], line["level"]) for line in lines] == [
        ("settled", "info"),
        ("library_message", "warning"),
    ]
    assert (lines[1]["message"], lines[1]["logger"]) == ("port 4318", "uvicorn.error")
    assert lines[0]["traces"] == 3
    assert lines[0]["name"] == "two\nlines"
    assert all(line["timestamp"].endswith("Z") for line in lines)


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is a value of its line, not more lines."""
    configure_logging("warning")
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger().exception("unexpected")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: odd" in json.loads(line)["exception"]


def test_nothing_in_a_line_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, values of ours and of libraries, and exceptions, come without escapes, line
    breaks and direction marks; the colours of the line itself stay."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    hostile = "a\x1b]0;title\x07b\r\n\u202ec\x9b2J"
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info")
    structlog.get_logger().info(hostile, name=hostile, nested={"x": [hostile]}, n=3)
    logging.getLogger("other").warning("got %s", hostile)
    try:
        raise ValueError(hostile)
    except ValueError:
        structlog.get_logger().exception("unexpected")
    text = terminal.getvalue()
    for mark in ("\x1b]", "\x07", "\r", "\u202e", "\x9b"):
        assert mark not in text
    lines = [line for line in text.splitlines() if "a]0;titleb" in line]
    assert len(lines) == 3
