"""The heads of all chains of seals, put where nobody who can write the ledger can change them.

In: the ledger's folder. Out: one JSON object a line for each chain. With a head in a safe place a
tail that was removed together with its seals is found too: `agentcost verify --anchor`.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import structlog

from agentcost_collector.anchor_config import Config
from agentcost_collector.ledger.seals import Seal, chain_lines
from agentcost_collector.model.errors import CorruptionError, TransientError

_TIMEOUT_S = 30
log = structlog.get_logger(__name__)


def heads(ledger: Path, now_ns: int) -> str:
    """The newest seal of each chain, with the entries and the cost of the whole chain.

    CorruptionError where a chain ends in something else.
    """
    now = datetime.fromtimestamp(now_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
    text = ""
    for name, lines in chain_lines(ledger).items():
        try:
            seals = [Seal.parse(line) for line in lines if line]
        except ValueError as damaged:
            raise CorruptionError(
                f"{ledger}/seals/{name}.jsonl: a line is damaged; run agentcost verify"
            ) from damaged
        if not seals:  # a crash cut its first line
            continue
        costs = [Decimal(seal.cost_usd) for seal in seals if seal.cost_usd is not None]
        head = {
            "journal": name,
            "batch_seq": seals[-1].batch_seq,
            "seal": seals[-1].seal,
            "rows": sum(seal.rows for seal in seals),
            "cost_usd": format(sum(costs, Decimal(0)), ".12f") if costs else None,
            "anchored_at": now,
        }
        text += json.dumps(head) + "\n"
    return text


def put(text: str, config: Config) -> None:
    """Takes the heads everywhere that is set. TransientError naming the place that refused."""
    if config.file:
        _append(config.file, text)
    if config.command:
        _run(config.command, text)
    if config.http:
        _post(config.http, text)


def _append(file: Path, text: str) -> None:
    try:
        with file.open("a") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError as fault:
        raise TransientError(f"{file}: cannot be written: {fault.strerror}") from fault


def _run(command: str, text: str) -> None:
    try:
        done = subprocess.run(
            command,
            shell=True,
            input=text.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise TransientError(f"anchor command {command!r} took more than {_TIMEOUT_S} s") from fault
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        raise TransientError(f"anchor command {command!r} ended with {done.returncode}: {said}")


def _post(address: str, text: str) -> None:
    request = urllib.request.Request(
        address, text.encode(), {"Content-Type": "application/x-ndjson"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
            pass
    except urllib.error.HTTPError as refused:
        refused.close()
        raise TransientError(f"{address}: did not take the anchor: {refused}") from refused
    except OSError as fault:
        raise TransientError(f"{address}: did not take the anchor: {fault}") from fault


class Anchoring:
    """Puts the heads away when it is time, and never stops what it runs beside."""

    def __init__(
        self, ledger: Path, config: Config, told: Callable[[bool], None] = lambda _: None
    ) -> None:
        """`told` hears of every time whether it went well."""
        self._told = told
        self._ledger = ledger
        self._config = config
        self._due_ns = 0

    def step(self, now_ns: int, steady_ns: int) -> None:
        """What goes wrong is logged, and tried again after the whole interval."""
        if not self._config.wanted or steady_ns < self._due_ns:
            return
        self._due_ns = steady_ns + int(self._config.every_h * 3600 * 10**9)
        try:
            text = heads(self._ledger, now_ns)
            if text:
                put(text, self._config)
                self._told(True)
        except (TransientError, CorruptionError) as error:
            self._told(False)
            log.error("anchor_failed", error=str(error), again_in_h=self._config.every_h)
