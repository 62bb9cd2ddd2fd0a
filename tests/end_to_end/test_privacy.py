"""Content never reaches the disk, whichever field it came in."""

import base64
import http.client
import json
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.journal import JournalReader
from agentcost_collector.settings import Settings
from tests.decode.test_otlp_json import as_otlp_json
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import Collector, running
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
    """Secrets in attributes, events, links, status, scope, resource, of kept and of rejected
    spans and of malformed requests, over every transport: none in any file, log or answer."""
    data = tmp_path / "data"
    bodies = [seeded(body) for body in requests_of("oinf_langgraph_openai_both")]
    bodies = [with_a_rejected_span(body) for body in bodies]
    with running(data, assemble__settle_ms="50", log_level="debug") as collector:
        answers = []
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
        assert_no_secret_below(tmp_path)
        assert collector.stop() == 0
    settings = Settings(data=data)
    with JournalReader.open(settings.journal_path, settings.journal) as journal:
        assert journal.totals().spans_quarantined == 2 * len(bodies)
        assert journal.quarantined().num_rows == len(bodies)  # over JSON they are the same
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert any("journal" in str(path) for path in files)
    assert_no_secret_below(tmp_path)
    for answer in answers:
        assert SECRET.encode() not in (answer if isinstance(answer, bytes) else answer.encode())
