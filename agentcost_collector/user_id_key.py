"""The secret under which user ids are hashed, from its file."""

from __future__ import annotations

from pathlib import Path

from agentcost_collector.model.errors import ConfigError

_BYTES_MIN = 16


def read_user_id_key(path: Path | None) -> bytes | None:
    """The secret in `path`, without white space around it; None where no file is set.

    Raises ConfigError where it cannot be read or is too short to be a secret.
    """
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as fault:
        raise ConfigError(
            f"{path}: the key of user ids cannot be read: {fault.strerror}"
        ) from fault
    if len(secret) < _BYTES_MIN:
        raise ConfigError(
            f"{path}: a key of user ids has {_BYTES_MIN} bytes or more;"
            " `openssl rand -hex 32` makes one"
        )
    return secret
