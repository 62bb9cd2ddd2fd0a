"""A service with TLS and tokens, and real senders: who may, what a token pins, and what remains."""

from __future__ import annotations

from decimal import Decimal

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentcost_collector.report.views import open_views
from tests.cli.command import FIXTURES, agentcost, agentcost_process, parse_facts
from tests.end_to_end.waiting import until
from tests.support.certificates import authority
from tests.support.collector import start

pytestmark = pytest.mark.slow

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
    "agentcost.tenant": "liar",
}


def make_token(data, *options):
    made = agentcost("token", "create", "a test", "--data", data, *options)
    assert made.returncode == 0
    return made.stdout.strip()


def finished_span():
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("app").start_span("chat", attributes=CALL).end()
    return memory.get_finished_spans()


def test_a_secured_service(tmp_path, monkeypatch):
    """The SDK gets through over gRPC and HTTP with TLS and a token that its usual variables name,
    and not without; what it sent is its tenant's, whatever its spans say, in the ledger and after
    a restatement; a revoked token ends without a restart; `agentcost send` reads the variables."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # would count before the SDK's own
        monkeypatch.delenv(variable, raising=False)
    data = tmp_path / "data"
    trusted = authority(tmp_path / "trusted")
    pair = trusted.issue("collector")
    token = make_token(data, "--tenant", "acme")
    settings = {
        "receive__tls__cert_file": str(pair.cert),
        "receive__tls__key_file": str(pair.key),
        "assemble__settle_ms": "50",
        "assemble__idle_ms": "200",
    }
    collector = start(data, trusted.cert, **settings)
    try:
        endpoints = f"https://{collector.grpc}", f"https://{collector.http}/v1/traces"
        ca = grpc.ssl_channel_credentials(trusted.cert.read_bytes())

        def export(span):
            exporters = (
                GrpcExporter(endpoints[0], credentials=ca),
                HttpExporter(endpoints[1], certificate_file=str(trusted.cert)),
            )
            results = [exporter.export(span) for exporter in exporters]
            for exporter in exporters:
                exporter.shutdown()
            return results

        assert export(finished_span()) == [SpanExportResult.FAILURE] * 2
        headers = f"authorization=Bearer%20{token}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
        assert export(finished_span()) == [SpanExportResult.SUCCESS] * 2

        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoints[0],
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(trusted.cert),
        }
        recording = FIXTURES / "crewai"
        assert agentcost("send", recording, **variables).returncode == 0
        over_http = ("--http", "--endpoint", f"https://{collector.http}")
        assert agentcost("send", recording, *over_http, **variables).returncode == 0

        def is_settled():
            facts = parse_facts(agentcost("status", "--data", data).stdout)
            left = facts.get("spans waiting"), facts.get("spans open")
            return facts.get("evidence spans") == "10" and left == (
                "0",
                "0",
            )  # 1 of the SDK, 9 sent

        until(is_settled, "all spans are settled")

        agentcost("token", "revoke", token.split("_")[1], "--data", data)
        refused = agentcost("send", recording, **variables)
        assert (refused.returncode, "UNAUTHENTICATED" in refused.stderr) == (1, True)
    finally:
        collector.stop()
    tenants = "SELECT tenant, tenant_from, sum(cost_usd) AS usd FROM steps GROUP BY ALL"
    before = open_views(data).sql(tenants).fetchall()
    assert [row[:2] for row in before] == [("acme", "credential")]
    assert before[0][2] > Decimal(0)
    restated = agentcost_process("restate", "--from", "2020-01-01", "--data", data)
    assert restated.returncode == 0, restated.stderr
    assert open_views(data).sql(tenants).fetchall() == before
    log = collector.log.read_text()
    assert "request_refused" in log
    for path in (collector.log, *data.rglob("*")):
        if path.is_file():
            assert token.split("_", 2)[2].encode() not in path.read_bytes(), path
