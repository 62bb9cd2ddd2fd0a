"""A run that does not end is told while it goes on."""

from __future__ import annotations

import json
import socket
import time
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from agentcost_collector.alert.record import Record
from tests.alert.doors import inbox
from tests.cli.command import agentcost
from tests.end_to_end.waiting import until
from tests.support.collector import running

pytestmark = pytest.mark.slow

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TRACE = bytes(15) + b"\7"
ROOT_ID = (1).to_bytes(8, "big")
COST = Decimal("0.00021")  # 1000 x $0.15 and 100 x $0.60 per million: gpt-4o-mini
SECOND = 10**9


def calls(first: int, count: int, now: int) -> bytes:
    """Ended model calls beneath a root that has not ended, each with a tool call."""
    sent = ExportTraceServiceRequest()
    resource_spans = sent.resource_spans.add()
    tags = {"service.name": "shop", "agentcost.feature": "search", "agentcost.team": "web"}
    for key, text in tags.items():
        resource_spans.resource.attributes.add(key=key).value.string_value = text
    spans = resource_spans.scope_spans.add().spans
    for number in range(first, first + count):
        for kind, span_id in (("chat", 2 * number), ("execute_tool", 2 * number + 1)):
            span = spans.add(
                trace_id=TRACE,
                span_id=(span_id + 10).to_bytes(8, "big"),
                parent_span_id=ROOT_ID,
                name=kind,
                kind=Span.SPAN_KIND_CLIENT,
                start_time_unix_nano=now - SECOND,
                end_time_unix_nano=now,
            )
            facts = {"gen_ai.operation.name": kind}
            if kind == "chat":
                facts |= {"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
                facts["gen_ai.response.id"] = f"r{number}"
                for name, tokens in (("input", 1000), ("output", 100)):
                    usage = span.attributes.add(key=f"gen_ai.usage.{name}_tokens")
                    usage.value.int_value = tokens
            else:
                facts["gen_ai.tool.name"] = "look_up"
            for key, text in facts.items():
                span.attributes.add(key=key).value.string_value = text
    return sent.SerializeToString()


def root(now: int) -> bytes:
    """The end of the run."""
    sent = ExportTraceServiceRequest()
    spans = sent.resource_spans.add().scope_spans.add().spans
    spans.add(
        trace_id=TRACE,
        span_id=ROOT_ID,
        name="run",
        start_time_unix_nano=now - 60 * SECOND,
        end_time_unix_nano=now,
    )
    return sent.SerializeToString()


def cost(data: Path) -> list[tuple[str, Decimal | None]]:
    done = agentcost(
        "sql", "SELECT count(*) AS n, sum(cost_usd) AS cost FROM steps", "--data", data, "--format",
        "json",
    )  # fmt: skip
    return [] if done.returncode else [(row["n"], row["cost"]) for row in json.loads(done.stdout)]


def test_a_runaway_loop_is_told_before_its_root_ends(tmp_path):
    """The alert for the tool called again and again arrives at a webhook and at an Alertmanager
    while nothing of the trace is settled, and another door takes connections and never answers;
    another hundred calls, and the end, raise nothing more; nothing of the look was booked, and
    what is booked at the end is right."""
    data = tmp_path / "data"
    now = time.time_ns()
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        inbox() as hook,
        inbox() as manager,
    ):
        urls = [f"json://127.0.0.1:{silent.getsockname()[1]}/", f"json://{hook.address}/"]
        settings = {
            "alerts__urls": json.dumps(urls),
            "alerts__timeout_s": "0.5",
            "alerts__alertmanager": f"http://{manager.address}",
            "alerts__runaway": json.dumps({"tool_calls": 30, "every_s": 0.1}),
            "alerts__every_s": "0.5",
            "assemble__settle_ms": "300",
        }
        with (
            running(data, **settings) as collector,
            grpc.insecure_channel(collector.grpc) as channel,
        ):
            export = channel.unary_unary(METHOD)
            export(calls(0, 40, now), timeout=60, wait_for_ready=True)
            until(lambda: bool(hook.got and manager.got), "alert")
            assert cost(data) in ([], [(0, None)]), "the trace is still open"
            message = hook.got[0][2]["message"]
            assert f"trace {TRACE.hex()}) that is still going on" in message
            assert "40 of them calls of look_up" in message
            assert "Owner: web." in message
            (posted,) = manager.got[0][2]
            assert posted["labels"]["alertname"] == "agentcost_runaway_tool"
            figures = json.loads(posted["annotations"]["figures"])
            assert Decimal(figures["cost_usd"]) == 40 * COST
            export(calls(40, 60, now), timeout=60)
            export(root(now), timeout=60)
            until(lambda: bool(cost(data)) and cost(data)[0][0] >= 100, "settled trace")
            assert Decimal(cost(data)[0][1] or 0) == 100 * COST
            assert collector.stop() == 0
        (only,) = raised_in(data)
        assert only.alert.rule == "runaway_tool"
        assert only.waiting("json (alerts.urls 1)")
        assert (len(hook.got), len(manager.got)) == (1, 1)


def raised_in(data: Path) -> list:
    record = Record(data)
    record.refresh()
    return record.raised
