"""Health of a whole service: its gRPC port and its own port for probes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from agentcost_collector.journal import database
from tests.cli.command import agentcost
from tests.conformance.server import Server
from tests.end_to_end.waiting import until
from tests.support.collector import LOOPBACK, free_ports, running
from tests.support.recordings import path_of, requests_of
from tests.support.scrape import scrape

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
WAIT_S = 30


def test_58_grpc_health(serve: Callable[..., Server]) -> None:
    """grpc.health.v1 answers for the server and for the service; who watches hears of the stop,
    and does not hold it up."""
    server = serve()
    stub = HealthStub(server.channel)
    for name in ("", TRACES):
        answer = stub.Check(HealthCheckRequest(service=name), timeout=WAIT_S)
        assert answer.status == SERVING
    with pytest.raises(grpc.RpcError) as unknown:
        stub.Check(HealthCheckRequest(service="other"), timeout=WAIT_S)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    watching = stub.Watch(HealthCheckRequest(service=TRACES), timeout=WAIT_S)
    assert next(watching).status == SERVING
    stopping = server._run(server.receiver.stop(WAIT_S))
    assert next(watching).status == NOT_SERVING
    stopping.result(WAIT_S / 2)


@pytest.mark.slow
def test_58_probes(tmp_path: Path) -> None:
    """Of a running service: /healthz says that the process lives, /readyz that the journal can be
    written and the pipeline lives; gRPC and the metrics say the same. A journal that was moved
    away makes it not ready, and ready again once it is back."""
    data, address = tmp_path / "data", f"{LOOPBACK}:{free_ports(1)[0]}"
    journal = data / "journal" / database.FILE_NAME
    with running(data, health=address) as collector:
        stub = HealthStub(grpc.insecure_channel(collector.grpc))
        until(lambda: _probe(address, "readyz")[0] == 200, "readiness")
        until(lambda: _status(stub) == SERVING, "service by gRPC")
        assert _probe(address, "healthz") == (200, {"status": "ok"})
        assert scrape(address)["agentcost_ready"] == 1
        sent = agentcost("send", path_of("mcp_two_processes"), "--endpoint", collector.grpc)
        assert sent.returncode == 0
        samples = scrape(address)
        assert samples['agentcost_receive_requests_total{code="OK",transport="grpc"}'] > 0
        assert samples["agentcost_group_commit_seconds_count"] > 0
        journal.rename(tmp_path / "away")
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            _post(collector.http, next(iter(requests_of("mcp_two_processes"))))
        refused.value.close()
        until(lambda: _probe(address, "readyz")[0] == 503, "fault")
        code, said = _probe(address, "readyz")
        assert (code, said["status"]) == (503, "unavailable")
        assert str(journal) in said["faults"][0]
        until(lambda: _status(stub) == NOT_SERVING, "fault by gRPC")
        assert _probe(address, "healthz")[0] == 200
        (tmp_path / "away").rename(journal)
        until(lambda: _probe(address, "readyz")[0] == 200, "readiness again")
        until(lambda: _status(stub) == SERVING, "service by gRPC again")


def _status(stub: HealthStub) -> int:
    return stub.Check(HealthCheckRequest(service=TRACES), timeout=WAIT_S).status


def _probe(address: str, path: str) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=WAIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def _post(address: str, body: bytes) -> None:
    headers = {"Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"http://{address}/v1/traces", body, headers)
    with urllib.request.urlopen(request, timeout=WAIT_S):
        pass
