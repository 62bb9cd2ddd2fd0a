"""The token file: JSON lines, mode 0600, replaced whole, read again when it has changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from pydantic import ValidationError

from agentcost_collector.access.token import Token
from agentcost_collector.model.errors import ConfigError

_log = structlog.get_logger(__name__)

Tokens = Mapping[str, Token]
"""Tokens by id, in order of creation."""


def read_tokens(path: Path) -> Tokens:
    """All tokens; none where there is no file. Raises ConfigError."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from fault
    tokens: dict[str, Token] = {}
    for number, line in enumerate(lines, start=1):
        try:
            token = Token.model_validate_json(line)
        except ValidationError as invalid:
            error = invalid.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, error["loc"]))
            raise ConfigError(
                f"{path}:{number}: is not a token: {key}: {error['msg']}; restore the file"
            ) from invalid
        tokens[token.id] = token
    return tokens


@contextlib.contextmanager
def change_tokens(path: Path) -> Iterator[dict[str, Token]]:
    """The tokens, to be changed in place; written when the block ends well, whole or not at all.

    One process at a time. Raises ConfigError where the file cannot be read or written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tokens = dict(read_tokens(path))
            yield tokens
            _replace(path, "".join(f"{t.model_dump_json()}\n" for t in tokens.values()))
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be written: {fault.strerror}") from fault


def _replace(path: Path, text: str) -> None:
    """Durable, for nobody but the owner of the folder, who runs the service."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fchmod(handle, 0o600)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(handle, folder.st_uid, folder.st_gid)
            os.fsync(handle)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    folder_handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)


class TokenFile:
    """The tokens as they are now: a look at the file's stamp for each call."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError where the file is there and cannot be read."""
        self.path = path
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._tokens = read_tokens(path)

    def current(self) -> Tokens:
        """The tokens. While the file is damaged or gone, those that were last read: a door that
        is closed does not open by that."""
        stamp = _stamp(self.path)
        with self._lock:
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
            return self._tokens

    def _read_again(self) -> None:
        try:
            fresh = read_tokens(self.path)
        except ConfigError as error:
            _log.error("tokens_not_reloaded", error=str(error), advice="The old ones still count.")
            return
        if self._tokens and not fresh:
            _log.error(
                "tokens_not_reloaded",
                error=f"{self.path}: is gone or empty",
                advice="The old ones still count; restart the service to go without tokens.",
            )
            return
        _log.info("tokens_reloaded", tokens=len(fresh))
        self._tokens = fresh


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
