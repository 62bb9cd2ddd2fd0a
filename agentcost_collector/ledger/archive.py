"""Files beside the tables that entries refer to by digest; written once, never changed.

cards/<name>.json    what priced the entries: a set of rate cards
"""

from __future__ import annotations

import os
from pathlib import Path

from agentcost_collector.ledger.disk import make_directory, sync
from agentcost_collector.model.errors import ConfigError

CARDS = "cards"
_SUFFIX = ".json"


def archive(directory: Path, name: str, content: bytes) -> None:
    """Keep `content` under `name`, durable on return. What is there already stays as it is."""
    path = directory / CARDS / f"{name}{_SUFFIX}"
    make_directory(path.parent)
    if path.exists():
        sync(path.parent)  # whoever wrote it may have been killed before this
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def read_archive(directory: Path) -> dict[str, bytes]:
    """Everything that was kept, by name; nothing where nothing was."""
    folder = directory / CARDS
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == _SUFFIX and p.name[0] != ".")
        return {path.stem: path.read_bytes() for path in paths}
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise ConfigError(f"{folder}: cannot be read: {fault.strerror}") from fault
