"""Our own logs: structlog to stderr, readable on a terminal, one JSON object a line elsewhere.

Events have names from a closed list (docs/logs.md); what libraries say is `library_message`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from agentcost_collector.model.printable import printable

LIBRARY = "library_message"


def configure_logging(level: str) -> None:
    """All log lines of this process, ours and the libraries', from `level` on, to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _renamed, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering()],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _renamed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A library's text is no name of an event."""
    return {**event, "event": LIBRARY, "message": event["event"]}


def _rendering() -> list[Any]:
    if sys.stderr.isatty():
        plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [structlog.processors.format_exc_info, _harmless, plain]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No value of a line steers the terminal; a traceback keeps its lines."""
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(map(printable, str(value).splitlines()))
        elif not isinstance(value, int | float | None):
            event[name] = printable(str(value))
    return event
