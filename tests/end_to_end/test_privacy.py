"""Content never reaches the disk, whichever field it came in."""

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import running
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


def test_no_byte_on_disk_holds_content(tmp_path):
    """Secrets in attributes, events, links, status, scope, resource: none in any file or log."""
    data = tmp_path / "data"
    bodies = [seeded(body) for body in requests_of("oinf_langgraph_openai_both")]
    with running(data, assemble__settle_ms="50") as collector:
        with grpc.insecure_channel(collector.grpc) as channel:
            export = channel.unary_unary(METHOD)
            for body in bodies:
                export(body, timeout=30, wait_for_ready=True)
        until(lambda: span_rows(data) == 20, "20 spans in the ledger")
        assert collector.stop() == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    assert any("journal" in str(path) for path in files)
    for path in files:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert SECRET.encode("utf-16-le") not in content, path
