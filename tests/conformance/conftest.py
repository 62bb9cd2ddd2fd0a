"""Servers for the conformance list: one for a module, or one with settings of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the settings that users have."""
    running = Server(tmp_path_factory.mktemp("server") / "data")
    yield running
    running.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server with settings, and stops it after the test."""
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Server:
            running = Server(tmp_path / "data", **settings)
            stack.callback(running.close)
            return running

        yield start
