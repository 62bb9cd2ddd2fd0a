"""A trace of known price goes the whole way, and what becomes of it is told."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agentcost_collector.canary.canary import COST_USD, Canary
from agentcost_collector.canary.config import Config
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.schemas import ENTRIES
from agentcost_collector.receive.tls_config import TlsConfig
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost
from tests.conformance.server import Server
from tests.end_to_end.waiting import until
from tests.report.ledgers import START_NS, booked
from tests.support.certificates import authority
from tests.support.collector import LOOPBACK, free_ports, start

SECOND_NS = 10**9


def test_the_known_amount_is_the_price_of_the_card() -> None:
    """By hand: 1,234 tokens at $0.000001 a million, and 56 at $0.000003."""
    assert Decimal(1234) / 10**12 + Decimal(56) * 3 / 10**12 == COST_USD


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A receiver with its journal."""
    server = Server(tmp_path / "data")
    yield server
    server.close()


def _value(canary: Canary, name: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(canary)
    return registry.get_sample_value(f"agentcost_canary_{name}")


def test_it_is_sent_when_due_and_compared_when_booked(server: Server) -> None:
    """One in each interval; late, inexact, unpriced and doubled ones are told as what they are."""
    now = [0]
    canary = Canary(Config(every_s=10), server.addresses.http, TlsConfig(), lambda: now[0])
    costs = [
        (COST_USD, 1, 1),
        (COST_USD + Decimal("0.000000000001"), 1, 0),
        (COST_USD, 1, 1),
        (None, 1, 0),
        (COST_USD, 2, 0),
    ]
    with capture_logs() as logged:
        for cost, times, exact in costs:
            canary.step(START_NS)
            canary.step(START_NS)
            now[0] += 3 * SECOND_NS
            assert _value(canary, "waiting_seconds") == 3
            *_, batch = server._reader.after(0, 2**20)
            (trace_id,) = batch.spans["trace_id"].to_pylist()
            rows = [booked(trace_id=trace_id, cost_usd=cost)] * times
            others = [booked(cost_usd=Decimal(7))]
            canary.booked(pa.Table.from_pylist(rows + others, schema=ENTRIES))
            assert _value(canary, "seconds") == 3
            assert _value(canary, "exact") == exact
            assert _value(canary, "waiting_seconds") == 0
            now[0] += 7 * SECOND_NS
    assert len(server.groups) == len(costs)
    assert [line["event"] for line in logged] == ["canary_inexact"] * 3
    assert logged[0]["cost_usd"] == "0.000000001403"
    assert logged[1]["cost_usd"] == "nothing"


def test_a_door_that_is_shut_is_counted_and_stops_nothing() -> None:
    """Nobody listens: that is logged with the address, and tried again after the interval."""
    now = [0]
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    canary = Canary(Config(every_s=10), address, TlsConfig(), lambda: now[0])
    with capture_logs() as logged:
        canary.step(START_NS)
        canary.step(START_NS)
        now[0] = 10 * SECOND_NS
        canary.step(START_NS)
    assert _value(canary, "failures_total") == 2
    assert _value(canary, "exact") is None
    assert [(line["event"], line["address"]) for line in logged] == [("canary_failed", address)] * 2


def test_none_is_sent_unless_asked_for(server: Server) -> None:
    """Off by default, without metrics; a port that is not known is refused at the start."""
    canary = Canary(Config(), server.addresses.http, TlsConfig())
    canary.step(START_NS)
    assert server.groups == []
    assert list(canary.collect()) == []
    with pytest.raises(ConfigError, match="needs a port"):
        Canary(Config(every_s=1), "127.0.0.1:0", TlsConfig())


def test_mutual_tls(tmp_path: Path) -> None:
    """Where clients must show a certificate, the service shows its own."""
    ca = authority(tmp_path / "ca")
    pair = ca.issue("service")
    tls = TlsConfig(cert_file=pair.cert, key_file=pair.key, client_ca_file=ca.cert)
    server = Server(tmp_path / "data", receive={"tls": tls})
    try:
        canary = Canary(Config(every_s=1), server.addresses.http, tls)
        canary.step(START_NS)
        assert _value(canary, "failures_total") == 0
        assert server.groups == [1]
    finally:
        server.close()


@pytest.mark.slow
def test_the_whole_way_with_tls_and_tokens(tmp_path: Path) -> None:
    """A service that has TLS and demands tokens sees its own canary booked, exactly,
    apart from all other spend; the metrics say so."""
    data, ca = tmp_path / "data", authority(tmp_path / "ca")
    pair = ca.issue("service")
    made = agentcost("token", "create", "canary", "--scope", "admin", "--data", data)
    (tmp_path / "token").write_text(made.stdout)
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    context = ssl.create_default_context(cafile=ca.cert)
    request = urllib.request.Request(f"https://{address}/metrics")
    request.add_header("Authorization", f"Bearer {made.stdout.strip()}")

    def scraped() -> str:
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.read().decode()
        except urllib.error.URLError:
            return ""

    collector = start(
        data,
        ca.cert,
        metrics=address,
        canary__every_s="0.5",
        canary__token_file=str(tmp_path / "token"),
        assemble__settle_ms="50",
        receive__tls__cert_file=str(pair.cert),
        receive__tls__key_file=str(pair.key),
    )
    try:
        until(lambda: "agentcost_canary_exact 1.0" in scraped(), "exact canary")
        assert "agentcost_canary_failures_total 0.0" in scraped()
    finally:
        assert collector.stop() == 0
    query = "SELECT DISTINCT feature, service, model, cost_status, cost_usd FROM steps"
    assert open_views(data).execute(query).fetchall() == [
        ("agentcost-canary", "agentcost-canary", "canary", "priced", COST_USD)
    ]
