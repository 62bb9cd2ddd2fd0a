"""Files that commands write for their users."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from agentcost_collector.model.errors import ConfigError


@contextlib.contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A new file that takes the place of `output` in the end, or of what that links to. A pipe or
    a device is written to as it is."""
    try:
        if output.is_relative_to("/dev") or (output.exists() and not output.is_file()):
            yield output
            return
        target = output.resolve()
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            yield fresh
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as fault:
        raise ConfigError(f"{output}: cannot be written: {fault.strerror or fault}") from fault
