"""The code and the queries of the README do what the README says."""

import csv
import io
import re

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.cli.command import agentcost
from tests.support.recordings import ROOT, path_of

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^```sql\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SAMPLE = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0]


def replay(folder, recording):
    """Replays into `folder`/data."""
    done = agentcost("replay", recording, "--data", folder / "data")
    assert done.returncode == 0, done.stderr


def rows_of(folder, query):
    """Rows of a query, as text."""
    done = agentcost("sql", query, "--data", folder / "data", "--format", "csv")
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """A folder with `data`: the recording in which one service works for another's feature."""
    folder = tmp_path_factory.mktemp("readme")
    replay(folder, path_of("mcp_two_processes"))
    return folder


@pytest.mark.parametrize("query", QUERIES)
def test_queries_run_and_find_the_money(replayed, query):
    """Every query is accepted; those over all steps add up to what the ledger holds."""
    rows = rows_of(replayed, re.sub(r"^--.*\n", "", query))
    if "cost_usd" in query.split("FROM")[0]:
        ledger = rows_of(replayed, "SELECT sum(cost_usd) AS total FROM ledger")
        cents = sum(_pico(row["cost_usd"]) for row in rows)
        assert cents == _pico(ledger[0]["total"]) > 0


def test_the_tagging_sample_charges_the_calls_beneath_it(tmp_path):
    """The README's code, run as it stands, has its model call charged to its feature."""
    steps = _steps_of(tmp_path, SAMPLE, {})
    assert steps == [("product-questions", "discovery", "acme", "ancestor")]


def test_the_resource_sample_needs_no_code(tmp_path):
    """The README's OTEL_RESOURCE_ATTRIBUTES line tags everything that a process does."""
    (line,) = re.findall(r"OTEL_RESOURCE_ATTRIBUTES=(\S+)", README)
    untagged = re.sub(r"^.*set_attribute.*\n", "", SAMPLE, flags=re.MULTILINE)
    resource = dict(pair.split("=") for pair in line.split(","))
    steps = _steps_of(tmp_path, untagged, resource)
    assert steps == [("nightly-report", "analytics", "", "resource")]


def _steps_of(folder, sample, resource):
    """Runs `sample` with a real SDK, replays what it exports, and returns the model call's tags."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create(resource))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    names = {"provider": provider, "run_agent": lambda _: _call_a_model(provider)}
    own_provider = sample.replace("trace.get_tracer(", "provider.get_tracer(")
    exec(compile(own_provider, "README.md", "exec"), names)
    assert names["answer"]("why?") == "because"
    recorded = folder / "sample.pb"
    recorded.write_bytes(encode_spans(exporter.get_finished_spans()).SerializeToString())
    replay(folder, recorded)
    query = "SELECT feature, team, tenant, feature_from FROM steps WHERE kind = 'llm'"
    return [tuple(row.values()) for row in rows_of(folder, query)]


def _call_a_model(provider):
    with provider.get_tracer("app").start_as_current_span("chat", kind=trace.SpanKind.CLIENT) as s:
        s.set_attribute("gen_ai.operation.name", "chat")
        s.set_attribute("gen_ai.provider.name", "openai")
        s.set_attribute("gen_ai.response.model", "gpt-4o-mini-2024-07-18")
        s.set_attribute("gen_ai.usage.input_tokens", 100)
        s.set_attribute("gen_ai.usage.output_tokens", 10)
    return "because"


def _pico(text):
    """Pico-dollars of a decimal; NULL counts nothing."""
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(12, "0")) if text else 0
