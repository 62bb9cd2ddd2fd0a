"""Two services, two features, one tool service: real SDKs, a real collector."""

import threading

import pytest
from opentelemetry import baggage, context, propagate
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from agentcost_collector.report.views import open_views
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import running

pytestmark = pytest.mark.slow

QUICK = {"assemble__settle_ms": "50", "assemble__idle_ms": "5000"}
ROUNDS = 20
CALLERS = {"web": ("cart", "shop", 1000), "crm": ("quote", "sales", 3000)}
"""Service -> its feature, its team, and the tokens that each of its questions takes."""


def provider_of(service, collector, **resource):
    """A process of its own, as far as the collector sees: resource, batches, exporter."""
    provider = TracerProvider(resource=Resource({"service.name": service, **resource}))
    exporter = OTLPSpanExporter(endpoint=collector.grpc, insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=5))
    return provider


def answer(tracer, headers, tokens):
    """The tool service: continues the trace of the headers, makes a call. It knows the feature
    from baggage, but writes nothing of it on its spans."""
    here = propagate.extract(headers)
    assert baggage.get_baggage("app.feature", here)
    token = context.attach(here)
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.usage.output_tokens": 0,
    }
    with tracer.start_as_current_span("POST /search", kind=SpanKind.SERVER):
        tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes).end()
    context.detach(token)


def ask(tracer, server, feature, team, tokens):
    """A calling service: one request that uses the tool."""
    tags = {"app.feature": feature, "app.team": team}
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    with (
        tracer.start_as_current_span("POST /ask", attributes=tags),
        tracer.start_as_current_span("execute_tool search", attributes=tool),
        tracer.start_as_current_span("POST", kind=SpanKind.CLIENT),
    ):
        headers = {}
        here = baggage.set_baggage("app.feature", feature)
        propagate.inject(headers, baggage.set_baggage("app.team", team, here))
        answer(server, headers, tokens)


def test_each_caller_pays_and_the_tool_service_owns(tmp_path):
    """Spans of three exporters arrive interleaved; each step in the tool service is paid by the
    feature that called it, and owned by the tool service's team."""
    data = tmp_path / "data"
    with running(data, **QUICK) as collector:
        server = provider_of("search", collector, team="infra", feature="search-api")
        providers = [server]
        threads = []
        for service, (feature, team, tokens) in CALLERS.items():
            provider = provider_of(service, collector)
            providers.append(provider)
            work = (provider.get_tracer("app"), server.get_tracer("tool"), feature, team, tokens)
            threads.append(threading.Thread(target=lambda w=work: [ask(*w) for _ in range(ROUNDS)]))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for provider in providers:
            assert provider.force_flush()
            provider.shutdown()
        spans = len(CALLERS) * ROUNDS * 5
        until(lambda: span_rows(data) == spans, f"{spans} spans in the ledger")
        assert collector.stop() == 0
    views = open_views(data)
    found = views.sql(
        "SELECT feature, team, owner_team, owner_feature, owner_service, count(*),"
        " sum(input_tokens)::BIGINT, sum(cost_usd)::VARCHAR FROM steps WHERE kind = 'llm'"
        " GROUP BY ALL ORDER BY feature"
    ).fetchall()
    owner = ("infra", "search-api", "search")
    assert found == [
        # 20 x 1000 and 20 x 3000 tokens at $0.15 for a million
        ("cart", "shop", *owner, ROUNDS, 20_000, "0.003000000000"),
        ("quote", "sales", *owner, ROUNDS, 60_000, "0.009000000000"),
    ]
    stray = "SELECT count(*) FROM steps WHERE feature IS NULL"
    assert views.sql(stray).fetchall() == [(0,)]
    told = (
        "SELECT count(*) FROM spans WHERE resource LIKE '%search-api%'"
        " AND CAST(map_keys(attributes) AS VARCHAR) LIKE '%feature%'"
    )
    assert views.sql(told).fetchall() == [(0,)]
