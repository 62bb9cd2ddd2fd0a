"""Files that commands write for their users."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Iterator
from pathlib import Path

from agentcost_collector.model.errors import ConfigError

_KEPT_S = 3600
"""Another process may be writing the same file just now."""


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
        _remove_leftovers(target)
        try:
            yield fresh
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as fault:
        raise ConfigError(f"{output}: cannot be written: {fault.strerror or fault}") from fault


def _remove_leftovers(target: Path) -> None:
    """Of processes that were killed while they wrote it."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with contextlib.suppress(FileNotFoundError):
            is_ours = path.suffix[1:].isdecimal()
            if is_ours and path.stat().st_mtime < time.time() - _KEPT_S:
                path.unlink()
