"""The real OpenTelemetry SDK exports to a real collector; the ledger has what it sent."""

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from agentcost_collector.report.views import open_views
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import running

pytestmark = pytest.mark.slow

QUICK = {"assemble__settle_ms": "50", "assemble__idle_ms": "2000"}
EXPORTERS = {
    "grpc": lambda c: GrpcExporter(endpoint=c.grpc, insecure=True),
    "grpc-gzip": lambda c: GrpcExporter(
        endpoint=c.grpc, insecure=True, compression=grpc.Compression.Gzip
    ),
    "http": lambda c: HttpExporter(endpoint=f"http://{c.http}/v1/traces"),
    "http-gzip": lambda c: HttpExporter(
        endpoint=f"http://{c.http}/v1/traces", compression=HttpCompression.Gzip
    ),
}


def agent_run(provider: TracerProvider, feature: str) -> None:
    """One request: a call of the planner, and a tool that makes a call of its own."""
    app = provider.get_tracer("shop.app")
    genai = provider.get_tracer("opentelemetry.instrumentation.genai.openai")

    def call(input_tokens: int, output_tokens: int) -> None:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
        }
        genai.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes).end()

    with app.start_as_current_span("POST /ask", attributes={"app.feature": feature}):
        call(1000, 100)
        tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"}
        with app.start_as_current_span("execute_tool lookup", attributes=tool):
            call(2000, 200)


def test_every_transport_gives_the_same_ledger(tmp_path):
    """gRPC, HTTP/protobuf, both with and without gzip, batching and span by span."""
    data = tmp_path / "data"
    with running(data, **QUICK) as collector:
        for name, exporter in EXPORTERS.items():
            for processor in (BatchSpanProcessor, SimpleSpanProcessor):
                resource = Resource({"service.name": "shop", "team": "checkout"})
                provider = TracerProvider(resource=resource)
                provider.add_span_processor(processor(exporter(collector)))
                agent_run(provider, f"{name}.{processor.__name__}")
                assert provider.force_flush()
                provider.shutdown()
        until(lambda: span_rows(data) == 2 * 4 * 4, "32 spans in the ledger")
        assert collector.stop() == 0
    rows = (
        open_views(data)
        .sql(
            "SELECT feature, team, count(*), sum(input_tokens), sum(output_tokens),"
            " sum(cost_usd)::VARCHAR FROM steps GROUP BY ALL"
        )
        .fetchall()
    )
    # 3000 x $0.15/M + 300 x $0.60/M = $0.00063
    expected = ("checkout", 3, 3000, 300, "0.000630000000")
    assert {row[1:] for row in rows} == {expected}
    assert len({row[0] for row in rows}) == 8
