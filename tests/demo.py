"""`make demo`: recorded agent runs through a real collector, and who pays for them.

Uses the collector on the standard ports if one of ours runs there (its data is in ./data, as `make
run` starts it), else one of its own on free ports with data in a temporary folder.
"""

from __future__ import annotations

import csv
import io
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from rich.console import Console

from agentcost_collector.ledger.reader import LedgerReader
from tests.support.amplify import restamp, spans_in
from tests.support.collector import LOOPBACK, healthy, running
from tests.support.recordings import names, requests_of

USUAL_GRPC = f"{LOOPBACK}:4317"
USUAL_HTTP = f"{LOOPBACK}:4318"
WAIT_S = 90
PAUSE_S = 0.5

SHOWBACK = """
SELECT feature, team, tenant, count(*) AS steps,
       sum(coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0)
           + coalesce(cache_write_short_tokens, 0) + coalesce(cache_write_long_tokens, 0)
           + coalesce(output_tokens, 0)) AS tokens,
       sum(cost_usd) AS cost_usd,
       count(*) FILTER (cost_status IN ('unpriced', 'partial')) AS unpriced,
       count(*) FILTER (feature IS NULL) AS unattributed
FROM steps GROUP BY ALL ORDER BY cost_usd DESC NULLS LAST
"""
DEAREST = """
SELECT run_id FROM runs ORDER BY cost_usd DESC NULLS LAST, run_id LIMIT 1
"""
TOTALS = """
SELECT (SELECT sum(cost_usd) FROM ledger) AS ledger,
       (SELECT sum(cost_usd) FROM steps) AS steps,
       (SELECT sum(cost_usd) FROM runs) AS runs
"""

console = Console()


def main() -> int:
    """Exit code: 0, or 1 where a total differs or a run does not arrive."""
    with _collector() as (address, data):
        runs = _runs_ending_now()
        _send(address, runs)
        if not _arrived(data, runs):
            return 1
        console.rule("What each feature cost")
        _show("sql", SHOWBACK, "--data", data)
        dearest = _rows(DEAREST, data)[0]["run_id"]
        console.rule("The dearest run, step by step")
        _show("explain", dearest, "--data", data)
        return 0 if _totals_agree(data) else 1


@contextmanager
def _collector() -> Iterator[tuple[str, Path]]:
    """Where to send, and where the data are."""
    if healthy(USUAL_HTTP):
        console.print(f"Using the collector on {USUAL_GRPC}; its data should be in ./data.")
        yield USUAL_GRPC, Path("data")
        return
    with tempfile.TemporaryDirectory(prefix="agentcost-demo-") as folder:
        console.print("No collector on the usual ports: starting one for this demo.")
        with running(Path(folder) / "data", assemble__settle_ms="1000") as collector:
            yield collector.grpc, collector.data


def _runs_ending_now() -> dict[str, list[ExportTraceServiceRequest]]:
    """Every recording whose traces are whole, under fresh ids, as if it had ended just now."""
    source = random.Random()
    runs = {}
    for name in names():
        requests = [ExportTraceServiceRequest.FromString(body) for body in requests_of(name)]
        spans = [span for request in requests for span in spans_in(request)]
        if {s.parent_span_id for s in spans} - {b"", *(s.span_id for s in spans)}:
            continue  # it waits for a lost parent, so it closes only after a minute
        lasted_ns = max(s.end_time_unix_nano for s in spans) - min(
            s.start_time_unix_nano for s in spans
        )
        runs[name] = restamp(requests_of(name), source, start_ns=time.time_ns() - lasted_ns)
    return runs


def _send(address: str, runs: dict[str, list[ExportTraceServiceRequest]]) -> None:
    spans = 0
    with grpc.insecure_channel(address) as channel:
        service = TraceServiceStub(channel)
        for requests in runs.values():
            for request in requests:
                service.Export(request, timeout=30, compression=grpc.Compression.Gzip)
                spans += sum(1 for _ in spans_in(request))
    console.print(f"Sent {spans} spans of {len(runs)} recorded runs over OTLP/gRPC to {address}.")


def _arrived(data: Path, runs: dict[str, list[ExportTraceServiceRequest]]) -> bool:
    """Waits until the ledger holds all their spans."""
    ids = {
        (span.trace_id.hex(), span.span_id.hex())
        for requests in runs.values()
        for request in requests
        for span in spans_in(request)
    }
    traces = sorted({trace for trace, _ in ids})
    until = time.monotonic() + WAIT_S
    with console.status("Waiting for the traces to settle") as status:
        while time.monotonic() < until:
            spans = LedgerReader(data / "ledger").spans_of(traces)
            columns = [spans[name].to_pylist() for name in ("trace_id", "span_id")]
            found = len(ids & set(zip(*columns, strict=True)))
            if found == len(ids):
                console.print(f"All {len(traces)} traces are in the ledger.")
                return True
            status.update(f"Waiting for the traces to settle: {found} of {len(ids)} spans")
            time.sleep(PAUSE_S)
    console.print(f"After {WAIT_S} s not all spans are in {data}; is it that collector's data?")
    return False


def _totals_agree(data: Path) -> bool:
    """The same money three ways, and nothing lost on the way."""
    console.rule("Does it add up?")
    (totals,) = _rows(TOTALS, data)
    for view, total in totals.items():
        console.print(f"sum of cost_usd over {view:<7} {total}")
    _show("status", "--data", data)
    agree = len(set(totals.values())) == 1
    console.print("All totals are equal." if agree else "[bold red]The totals differ.[/]")
    return agree


def _show(*arguments: str | Path) -> None:
    """Runs a command of ours as a user would, its output on the terminal."""
    shown = " ".join(f'"{" ".join(a.split())}"' if " " in a else a for a in map(str, arguments))
    console.print(f"[dim]$ agentcost {shown}[/]", highlight=False)
    subprocess.run(_command(*arguments), check=True)


def _rows(query: str, data: Path) -> list[dict[str, str]]:
    command = _command("sql", query, "--data", data, "--format", "csv")
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return list(csv.DictReader(io.StringIO(output)))


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "agentcost_collector.cli", *map(str, arguments)]


if __name__ == "__main__":
    sys.exit(main())
