"""Content never reaches the disk, whichever field it came in."""

import base64
import hmac
import http.client
import json
import urllib.request
from pathlib import Path

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.settings import Settings
from tests.cli.command import agentcost
from tests.decode.test_otlp_json import as_otlp_json
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import Collector, free_ports, running
from tests.support.recordings import requests_of
from tests.support.walked import VOCABULARY

pytestmark = pytest.mark.slow

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SECRET = "s3cr3t-prompt-of-a-user"
CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.prompt.0.content",
    "input.value",
    "output.value",
    "llm.input_messages.0.message.content",
    "traceloop.entity.input",
    "ai.prompt",
    "ai.response.text",
    "db.query.text",
    "http.request.header.authorization",
    "url.query",
    "exception.message",
)
ASKED_FOR = "gen_ai.,input.,output.,llm.,traceloop.,ai.,db.,http.,url.,exception."
"""Prefixes that a user might ask for without thinking of what else they admit."""
REDUCED = {
    "logfire.msg": SECRET,
    "gen_ai.tool.definitions": SECRET,
    "message.tool_calls.0.tool_call.function.name": SECRET,
    "ai.response.providerMetadata": json.dumps({"note": SECRET, "reasoningTokens": 3}),
    "url.full": f"https://u:{SECRET}@api.openai.com/v1/{SECRET}?q={SECRET}#{SECRET}",
    "http.url": f"https://api.openai.com/{SECRET}/v1/chat/completions?{SECRET}",
}
"""Of these something is kept: that they are there, some numbers, a host."""


def seeded(body: bytes) -> bytes:
    """The request with the secret in every field that may hold content."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        resource_spans.resource.attributes.add(
            key="process.command_args"
        ).value.string_value = SECRET
        for scope_spans in resource_spans.scope_spans:
            scope_spans.scope.attributes.add(key="note").value.string_value = SECRET
            for span in scope_spans.spans:
                span.trace_state = f"vendor={SECRET}"
                span.status.message = SECRET
                for key in CONTENT:
                    assert key not in VOCABULARY.attribute_keys()
                    span.attributes.add(key=key).value.string_value = SECRET
                for key, text in REDUCED.items():
                    span.attributes.add(key=key).value.string_value = text
                span.attributes.add(key="gen_ai.input").value.bytes_value = SECRET.encode()
                texts = span.attributes.add(key="ai.values").value.array_value.values
                texts.add().array_value.values.add().string_value = SECRET
                span.attributes.add(key=SECRET).value.bool_value = True
                nested = span.attributes.add(key="gen_ai.choice").value.kvlist_value.values
                nested.add(key="text").value.string_value = SECRET
                event = span.events.add(name=SECRET)
                event.attributes.add(key="gen_ai.event.content").value.string_value = SECRET
                link = span.links.add(trace_id=b"\1" * 16, span_id=b"\2" * 8)
                link.attributes.add(key="why").value.string_value = SECRET
    return request.SerializeToString()


def with_a_rejected_span(body: bytes) -> bytes:
    """The request with one more span, a copy under an id that cannot be kept."""
    request = ExportTraceServiceRequest.FromString(body)
    spans = request.resource_spans[0].scope_spans[0].spans
    spans.add().CopyFrom(spans[0])
    spans[-1].trace_id = b"short"
    return request.SerializeToString()


def post(collector: Collector, body: bytes, media: str) -> tuple[int, bytes]:
    """Status and answer of one request over HTTP."""
    connection = http.client.HTTPConnection(collector.http, timeout=60)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": media})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def knock(collector: Collector) -> list[bytes]:
    """Answers to requests with secrets around the body: headers, metadata, paths, methods. Those
    that tell their sender which path or media type is wrong are not among them."""
    answers = []
    connection = http.client.HTTPConnection(collector.http, timeout=60)
    headers = {"Authorization": f"Bearer {SECRET}", "User-Agent": SECRET, "Cookie": f"a={SECRET}"}
    for method, path, media in (
        ("POST", f"/v1/traces?token={SECRET}", "application/x-protobuf"),
        ("POST", f"/v1/{SECRET}", "application/x-protobuf"),
        ("POST", "/v1/traces", f"text/{SECRET}"),
        ("GET", f"/{SECRET}", "application/json"),
    ):
        connection.request(method, path, b"", {**headers, "Content-Type": media})
        response = connection.getresponse()
        answer, told = response.read(), str(response.getheaders()).encode()
        answers += [answer, told] if response.status == 200 else [told]
    connection.close()
    with grpc.insecure_channel(collector.grpc) as channel:
        metadata = [("authorization", f"Bearer {SECRET}"), ("x-note", SECRET)]
        answers.append(channel.unary_unary(METHOD)(b"", timeout=30, metadata=metadata))
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(f"/{SECRET}/Export")(b"", timeout=30, metadata=metadata)
        answers.append(refused.value.details().encode())
    return answers


def malformed(bodies: list[bytes]) -> list[tuple[bytes, str]]:
    """Requests that are refused, each for another reason, and full of secrets."""
    text = as_otlp_json(bodies[0])
    wrong = json.loads(text)
    wrong["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"] = SECRET
    return [
        (bodies[0][:-1], "application/x-protobuf"),
        (SECRET.encode() * 50, "application/x-protobuf"),
        (text[:-1], "application/json"),
        (json.dumps(wrong).encode(), "application/json"),
        (json.dumps({"resourceSpans": SECRET}).encode(), "application/json"),
        (SECRET.encode(), "application/json"),
        (b"NaN" + SECRET.encode(), "application/json"),
    ]


def assert_no_secret_below(folder: Path) -> None:
    """No file, log or temporary file holds the secret."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # a temporary file that is gone by now
            continue
        for encoding in ("utf-8", "utf-16-le"):
            assert SECRET.encode(encoding) not in content, path
        assert base64.b64encode(SECRET.encode())[:-4] not in content, path


def test_no_byte_on_disk_holds_content(tmp_path):
    """Secrets in attributes of every kind, events, links, status, scope, resource, of kept and of
    rejected spans and of malformed requests, in headers, metadata and paths, over every transport,
    and with prefixes kept that admit content: none in any file, log, metric, command or answer."""
    data = tmp_path / "data"
    bodies = [seeded(body) for body in requests_of("oinf_langgraph_openai_both")]
    bodies = [with_a_rejected_span(body) for body in bodies]
    metrics = f"127.0.0.1:{free_ports(1)[0]}"
    told = {"log_level": "debug", "keep": ASKED_FOR, "metrics": metrics}
    with running(data, assemble__settle_ms="50", **told) as collector:
        answers = knock(collector)
        with grpc.insecure_channel(collector.grpc) as channel:
            export = channel.unary_unary(METHOD)
            for body in bodies:
                answers.append(export(body, timeout=30, wait_for_ready=True))
            with pytest.raises(grpc.RpcError) as refused:
                export(bodies[0][:-1], timeout=30)
            answers += [value for _, value in refused.value.trailing_metadata()]
            answers.append(refused.value.details().encode())
        for body in bodies:
            status, answer = post(collector, as_otlp_json(body), "application/json")
            assert status == 200
            answers.append(answer)
        for body, media in malformed(bodies):
            status, answer = post(collector, body, media)
            assert status == 400
            answers.append(answer)
        assert_no_secret_below(tmp_path)
        until(lambda: span_rows(data) == 20, "20 spans in the ledger")
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as response:
            answers.append(response.read())
        assert b"agentcost_" in answers[-1]
        assert_no_secret_below(tmp_path)
        assert collector.stop() == 0
    settings = Settings(data=data)
    with JournalReader.open(settings.journal_path, settings.journal) as journal:
        assert journal.totals().spans_quarantined == 2 * len(bodies)
        assert journal.quarantined().num_rows == len(bodies)  # over JSON they are the same
    for command in (["quarantine", "list"], ["quarantine", "show", 1], ["status"]):
        answers.append(agentcost(*command, "--data", data).stdout.encode())
    answers.append(agentcost("sql", "FROM spans", "--data", data, "--format", "json").stdout)
    assert "api.openai.com" in answers[-1]  # of what is reduced, something is there
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert any("journal" in str(path) for path in files)
    assert_no_secret_below(tmp_path)
    for answer in answers:
        assert SECRET.encode() not in (answer if isinstance(answer, bytes) else answer.encode())


USERS = ("anna@example.com", "bob@example.com")


def calls_of_users(collector: Collector) -> None:
    """Two calls of each user, said in two ways, by the real SDK."""
    provider = TracerProvider(resource=Resource({"service.name": "shop", "user.id": USERS[0]}))
    exporter = OTLPSpanExporter(f"http://{collector.grpc}", insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop")
    for user in USERS:
        for key in ("user.id", "langfuse.user.id"):
            call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
            call |= {"gen_ai.request.model": "gpt-4o-mini", key: user}
            counts = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
            with tracer.start_as_current_span("chat", attributes={**call, **counts}):
                pass
    provider.shutdown()


def users_in(data: Path) -> list[dict[str, object]]:
    """Users and what they cost, as `agentcost sql` tells."""
    query = "SELECT user_id, count(*) AS calls, sum(cost_usd) AS usd FROM steps GROUP BY 1"
    return json.loads(agentcost("sql", query, "--data", data, "--format", "json").stdout)


def test_user_ids_are_keyed_hashes(tmp_path):
    """With a key no byte on disk holds a user's id, the cost per user stays, and each user has
    the hash that the key gives, however their id was said."""
    secret = b"a secret of thirty-two bytes, ok"
    (tmp_path / "key").write_bytes(secret + b"\n")
    data = tmp_path / "data"
    key = {"decode__user_id_key_file": str(tmp_path / "key")}
    with running(data, assemble__settle_ms="50", **key) as collector:
        calls_of_users(collector)
        until(lambda: span_rows(data) == 4, "4 spans in the ledger")
        assert collector.stop() == 0
    hashes = [hmac.new(secret, user.encode(), "sha256").hexdigest()[:32] for user in USERS]
    rows = {row["user_id"]: (row["calls"], row["usd"]) for row in users_in(data)}
    assert rows == {f"h:{digest}": (2, "0.000420000000") for digest in hashes}
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        for user in USERS:
            assert user.encode() not in path.read_bytes(), path
