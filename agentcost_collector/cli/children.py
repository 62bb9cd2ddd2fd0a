"""The two processes behind `serve`. They get their settings from the supervisor through stdin,
which stays open: its end says that the supervisor is gone, however it went."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from agentcost_collector.settings import Settings

RECEIVER = "_receiver"
PIPELINE = "_pipeline"

STOP_S = 30
"""Seconds that a child may take to stop."""


def receiver() -> None:
    """Take spans in; writes one JSON line with the addresses to stdout when it listens."""
    from agentcost_collector.intake import run_receiver

    run_receiver(_inherited_settings(), lambda at: _announce(at.grpc, at.http))


def pipeline() -> None:
    """Settle traces into the ledger."""
    from agentcost_collector.pipeline import run_pipeline

    run_pipeline(_inherited_settings())


def _inherited_settings() -> Settings:
    from agentcost_collector.settings import Settings
    from agentcost_collector.telemetry import configure_logging

    line = sys.stdin.buffer.readline()
    if not line:
        raise typer.Exit(0)
    settings = Settings.model_validate_json(line)
    configure_logging(settings.log_level)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return settings


def _announce(grpc: str, http: str) -> None:
    sys.stdout.write(json.dumps({"grpc": grpc, "http": http}) + "\n")
    sys.stdout.flush()


def _end_with_supervisor() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever sent: this returns at the end of the pipe
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_S)
    os._exit(1)
