"""CPU per span of this collector and of peers that registries offer, for the same requests.

Peers are installed into build/peers, never into .venv; one that cannot be is named with the reason.
All processes of a peer count, from the first request until they are quiet after the last, but not
the sender. The peers do different parts of the work: read each figure with what stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from tests.bench.load import connected, export_all
from tests.bench.processes import cpu_s, wait_until_quiet
from tests.support import collector
from tests.support.amplify import SPANS_PER_REQUEST, amplified_file
from tests.support.recordings import ROOT, read_frames

PLACE = ROOT / "build" / "peers"
VENV = PLACE / "venv"
PHOENIX = "20.26.1"
ROTEL = "0.0.1a15"
OTELCOL = "v0.165.0"
_CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib"
_BUILDER = "go.opentelemetry.io/collector/cmd/builder"
_START_S = 120
_WORK_S = 900


class UnavailableError(Exception):
    """Why a peer cannot be measured here, in one sentence."""


@dataclass(frozen=True)
class Target:
    """Something that takes OTLP/gRPC. `command` says how it is started, for a folder of its own and
    two ports, the first of them gRPC's; `spans_max` is how many it can take in bearable time."""

    name: str
    does: str
    command: Callable[[Path, int, int], Sequence[str | Path]]
    environment: Mapping[str, str]
    spans_max: int | None = None


def _ours(folder: Path, port: int, other: int) -> Sequence[str | Path]:
    listen = ["--grpc", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{other}"]
    return [
        *(sys.executable, "-m", "agentcost_collector.cli", "serve", "--data", folder / "data"),
        *listen,
    ]


def _rotel(folder: Path, port: int, other: int) -> Sequence[str | Path]:
    _install(f"rotel=={ROTEL}")
    agent = next(VENV.glob("lib/python*/site-packages/rotel/rotel-agent"))
    listen = [f"--otlp-grpc-endpoint=127.0.0.1:{port}", f"--otlp-http-endpoint=127.0.0.1:{other}"]
    return [agent, "start", "--exporter=blackhole", *listen]


def _otelcol(folder: Path, port: int, other: int) -> Sequence[str | Path]:
    config = folder / "config.json"  # JSON is YAML
    service = {"receivers": ["otlp"], "processors": ["groupbytrace"], "exporters": ["file"]}
    quiet = {"metrics": {"level": "none"}, "logs": {"level": "error"}}
    grpc_ = {"endpoint": f"127.0.0.1:{port}", "max_recv_msg_size_mib": 64}
    tree = {
        "receivers": {"otlp": {"protocols": {"grpc": grpc_}}},
        "processors": {"groupbytrace": {"wait_duration": "2s", "num_traces": 1_000_000}},
        "exporters": {"file": {"path": str(folder / "spans.json")}},
        "service": {"pipelines": {"traces": service}, "telemetry": quiet},
    }
    config.write_text(json.dumps(tree), encoding="utf-8")
    return [_built_otelcol(), "--config", config]


def _phoenix(folder: Path, port: int, other: int) -> Sequence[str | Path]:
    _install(f"arize-phoenix=={PHOENIX}")
    ports = [f"PHOENIX_GRPC_PORT={port}", f"PHOENIX_PORT={other}", "PHOENIX_HOST=127.0.0.1"]
    place = [f"PHOENIX_WORKING_DIR={folder}", "PHOENIX_TELEMETRY_ENABLED=false"]
    return ["env", *ports, *place, VENV / "bin" / "phoenix", "serve"]


TARGETS = (
    Target(
        "agentcost-collector",
        "decodes, fsyncs a journal before it answers; trees, prices, charges, fsynced ledger; keeps"
        " no content",
        _ours,
        collector.environment(PLACE, {"assemble__settle_ms": "1000", "assemble__idle_ms": "2000"}),
    ),
    Target(
        f"rotel {ROTEL}",
        "decodes, groups requests, drops everything; nothing on disk, no traces, no prices",
        _rotel,
        os.environ,
    ),
    Target(
        f"OpenTelemetry Collector {OTELCOL}",
        "decodes, groups by trace in memory, writes JSON with all content, no fsync; no prices",
        _otelcol,
        os.environ,
    ),
    Target(
        f"Arize Phoenix {PHOENIX}",
        "decodes, keeps all content in SQLite, prices LLM spans; answers before it has stored",
        _phoenix,
        os.environ,
        spans_max=4 * SPANS_PER_REQUEST,
    ),
)


def main(arguments: list[str]) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000, help="default: 200000")
    options = parser.parse_args(arguments)
    with amplified_file(ROOT / "build", options.spans).open("rb") as file:
        bodies = list(read_frames(file))
    table = Table("", "spans", "CPU us/span", "to the last answer, s", "what it does with a span")
    for target in TARGETS:
        spans = min(options.spans, target.spans_max or options.spans)
        sent = bodies[: -(-spans // SPANS_PER_REQUEST)]
        try:
            cpu_us, answered_s, remark = measure(target, sent, spans)
        except UnavailableError as reason:
            table.add_row(target.name, "", "", "", f"not available: {reason}")
            continue
        does = f"{target.does}{remark}"
        table.add_row(target.name, f"{spans:,}", f"{cpu_us:,.1f}", f"{answered_s:.1f}", does)
    Console(width=120).print(table)


def measure(target: Target, bodies: Sequence[bytes], spans: int) -> tuple[float, float, str]:
    """CPU microseconds per span, seconds until all were answered, and what was out of order."""
    with tempfile.TemporaryDirectory(prefix="agentcost-peer-") as folder:
        port, other = collector.free_ports(2)
        command = target.command(Path(folder), port, other)
        with _running(command, target.environment, Path(folder) / "log", port) as process:
            wait_until_quiet(process.pid, _START_S)
            before_s, begin_s = cpu_s(process.pid), time.monotonic()
            try:
                with connected(f"127.0.0.1:{port}") as exports:
                    export_all(exports, bodies)
            except grpc.RpcError as refused:
                raise UnavailableError(f"it refused a request: {refused.code().name}") from refused
            answered_s = time.monotonic() - begin_s
            done = wait_until_quiet(process.pid, _WORK_S)
            used_s = cpu_s(process.pid) - before_s
    return used_s / spans * 1e6, answered_s, "" if done else f"; not done after {_WORK_S} s"


@contextmanager
def _running(
    command: Sequence[str | Path], environment: Mapping[str, str], log: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_for(process, port, log)
            yield process
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise UnavailableError(f"it does not listen: {' '.join(last)[:200]}")


def _install(requirement: str) -> None:
    if not VENV.exists():
        _run([sys.executable, "-m", "venv", VENV])
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "--quiet"]
    _run([*pip, "--disable-pip-version-check", "--only-binary=:all:", requirement])


def _built_otelcol() -> Path:
    program = PLACE / "otelcol" / "otelcol"
    if program.exists():
        return program
    if not shutil.which("go"):
        raise UnavailableError("its builder needs Go; install `go`")
    parts = {
        "receivers": f"go.opentelemetry.io/collector/receiver/otlpreceiver {OTELCOL}",
        "processors": f"{_CONTRIB}/processor/groupbytraceprocessor {OTELCOL}",
        "exporters": f"{_CONTRIB}/exporter/fileexporter {OTELCOL}",
    }
    plan = {kind: [{"gomod": module}] for kind, module in parts.items()}
    target = {"dist": {"name": "otelcol", "output_path": str(program.parent)}}
    PLACE.mkdir(parents=True, exist_ok=True)
    manifest = PLACE / "builder.yaml"
    manifest.write_text(json.dumps(target | plan), encoding="utf-8")
    _run(["go", "install", f"{_BUILDER}@{OTELCOL}"], GOBIN=str(PLACE / "bin"))
    _run([PLACE / "bin" / "builder", "--config", manifest])
    return program


def _run(command: Sequence[str | Path], **environment: str) -> None:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UnavailableError(f"{' '.join(map(str, command[:3]))}: {' '.join(last)[:200]}")


if __name__ == "__main__":
    main(sys.argv[1:])
