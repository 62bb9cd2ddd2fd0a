"""A real `agentcost serve` in processes of its own, on free ports, with its data where asked."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.recordings import ROOT

LOOPBACK = "127.0.0.1"
_PAUSE_S = 0.05
_ATTEMPTS = 1200
_STOP_S = 60


@dataclass
class Collector:
    """A running collector. `grpc` and `http` are HOST:PORT."""

    process: subprocess.Popen[bytes]
    data: Path
    grpc: str
    http: str
    log: Path

    def stop(self) -> int:
        """SIGTERM, then the exit code. Raises TimeoutExpired where it does not stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_S)

    def kill(self) -> None:
        """SIGKILL to the supervising process; its children must notice by themselves."""
        self.process.kill()
        self.process.wait(_STOP_S)


def start(data: Path, ca: Path | None = None, /, **settings: str) -> Collector:
    """A collector that answers. `settings` as in the environment: `assemble__settle_ms="200"`;
    `ca`: who signed its certificate, where they turn TLS on.

    Raises RuntimeError with its log where it ends or never answers.
    """
    grpc, http_ = (f"{LOOPBACK}:{port}" for port in free_ports(2))
    log = data.with_name(data.name + ".log")
    command = [sys.executable, "-m", "agentcost_collector.cli", "serve"]
    command += ["--data", str(data), "--grpc", grpc, "--http", http_]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=output, env=environment(data, settings)
        )
    for _ in range(_ATTEMPTS):
        if healthy(http_, ca):
            return Collector(process, data, grpc, http_, log)
        try:
            process.wait(_PAUSE_S)
            break
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    raise RuntimeError(f"no collector on {http_}:\n{log.read_text(errors='replace')[-4000:]}")


@contextmanager
def running(data: Path, **settings: str) -> Iterator[Collector]:
    """`start`, and `stop` at the end if it still runs."""
    collector = start(data, **settings)
    try:
        yield collector
    finally:
        collector.stop()


def healthy(address: str, ca: Path | None = None) -> bool:
    """One of ours answers on HTTP address HOST:PORT."""
    connection = http.client.HTTPConnection(address, timeout=5)
    if ca:
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection(address, timeout=5, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    """This process's environment with none of its own agentcost settings, only `settings`; no
    metrics and no probes unless they say so, since many collectors run at once."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTCOST_", "OTEL_"))}
    ours = {f"AGENTCOST_{key.upper()}": value for key, value in settings.items()}
    usual = {
        "XDG_CONFIG_HOME": str(home / "no-config"),
        "AGENTCOST_METRICS": "",
        "AGENTCOST_HEALTH": "",
    }
    return {**kept, **usual, **ours}
