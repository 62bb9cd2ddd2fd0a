"""Every row of docs/quarantine.md, through a real service, and out of quarantine again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.cli.command import agentcost, parse_facts
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import running
from tests.support.recordings import ROOT

pytestmark = pytest.mark.slow

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
AT = 1_750_000_000_000_000_000  # 2025-06-15
SECOND = 10**9
COST = Decimal("0.00021")  # 1000 x $0.15 and 100 x $0.60 per million: gpt-4o-mini
PLACEHOLDER = b"not-utf8"


def attribute(span: Span, key: str) -> AnyValue:
    for pair in span.attributes:
        if pair.key == key:
            return pair.value
    return span.attributes.add(key=key).value


def count(key: str, **value: Any) -> Callable[[Span], None]:
    return lambda span: attribute(span, key).CopyFrom(AnyValue(**value))


def nested(span: Span, depth: int) -> None:
    value = AnyValue(string_value="leaf")
    for _ in range(depth):
        outer = AnyValue()
        outer.array_value.values.append(value)
        value = outer
    attribute(span, "agentcost.target").CopyFrom(value)


def wide(span: Span) -> None:
    items = [AnyValue(int_value=n) for n in range(5000)]
    attribute(span, "agentcost.target").array_value.values.extend(items)


def at(start: int, end: int) -> Callable[[Span], None]:
    def change(span: Span) -> None:
        span.start_time_unix_nano, span.end_time_unix_nano = start, end

    return change


def naming(**fields: Any) -> Callable[[Span], None]:
    def change(span: Span) -> None:
        for name, value in fields.items():
            setattr(span, name, value)

    return change


INPUT = "gen_ai.usage.input_tokens"
UNPRICED = {"cost_usd": None, "cost_status": "unpriced"}
UNREADABLE = UNPRICED | {"cost_reason": "count_unreadable", "usage_note": "unreadable_count"}
LEFT_OUT = {"cost_usd": COST, "usage_note": "attributes_dropped", "target": None}
CASES: dict[str, tuple[Callable[[Span], None], dict[str, Any] | str]] = {
    "trace id is not 16 bytes, or all zero": (
        naming(trace_id=b"\7" * 8),
        "trace_id_invalid",
    ),
    "span id is not 8 bytes, or all zero": (naming(span_id=b""), "span_id_invalid"),
    "start or end is 2^63 ns or later": (at(AT, 2**64 - 1), "time_out_of_range"),
    "start or end more than 48 hours ahead of the collector's clock": (
        at(AT, 2**63 - 1),
        "time_ahead",
    ),
    "parent id is not 8 bytes, or all zero": (
        naming(parent_span_id=b"\1" * 4),
        {"cost_usd": COST, "parent_span_id": None},
    ),
    "end before start": (
        at(AT, AT - 5 * SECOND),
        {"cost_usd": COST, "duration_ms": Decimal(-5000)},
    ),
    "end is 0 or long ago": (
        at(AT, 0),
        UNPRICED | {"cost_reason": "before_history", "date": "2020-01-01"},
    ),
    "billed count negative": (count(INPUT, int_value=-1000), UNREADABLE | {"input_tokens": None}),
    "billed count not finite": (count(INPUT, double_value=float("nan")), UNREADABLE),
    "billed count not a whole number": (count(INPUT, string_value="many"), UNREADABLE),
    "total or reasoning count that is no count": (
        count("gen_ai.usage.total_tokens", double_value=float("inf")),
        {"cost_usd": COST, "usage_note": "count_ignored"},
    ),
    "value nested deeper than 32 levels": (lambda span: nested(span, 33), LEFT_OUT),
    "array or map over `decode.nested_bytes_max`": (wide, LEFT_OUT),
    "text is not UTF-8": (
        naming(name=PLACEHOLDER.decode()),
        {"cost_usd": COST, "name": "\ufffd" * len(PLACEHOLDER)},
    ),
    "text longer than allowed": (naming(name="n" * 300), {"cost_usd": COST, "name": "n" * 256}),
}
ASIDE = [what for what, (_, becomes) in CASES.items() if isinstance(becomes, str)]


def request() -> bytes:
    """One call of the same price per case, each a trace of its own, and one that is right."""
    sent = ExportTraceServiceRequest()
    resource_spans = sent.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    spans = resource_spans.scope_spans.add().spans
    for number, (change, _) in enumerate([*CASES.values(), (lambda _: None, {})], start=1):
        span = spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=number.to_bytes(8, "big"),
            name="chat",
            kind=Span.SPAN_KIND_CLIENT,
            start_time_unix_nano=AT,
            end_time_unix_nano=AT + SECOND,
        )
        for key, text in (("operation.name", "chat"), ("provider.name", "openai")):
            attribute(span, f"gen_ai.{key}").string_value = text
        attribute(span, "gen_ai.request.model").string_value = "gpt-4o-mini"
        attribute(span, "gen_ai.response.id").string_value = f"r{number}"
        attribute(span, INPUT).int_value = 1000
        attribute(span, "gen_ai.usage.output_tokens").int_value = 100
        change(span)
    return sent.SerializeToString().replace(PLACEHOLDER, b"\xff" * len(PLACEHOLDER))


def steps(data: Path) -> dict[str, dict[str, Any]]:
    """Steps by trace id; amounts as decimals."""
    columns = (
        "trace_id, parent_span_id, name, target, cost_usd, cost_status, cost_reason, usage_note,"
        " input_tokens, duration_ms, CAST(date AS VARCHAR) AS date"
    )
    done = agentcost("sql", f"SELECT {columns} FROM ledger", "--data", data, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    for row in rows:
        for name in ("cost_usd", "duration_ms"):
            row[name] = None if row[name] is None else Decimal(row[name])
    return {row["trace_id"]: row for row in rows}


def status(data: Path) -> dict[str, str]:
    facts = parse_facts(agentcost("status", "--data", data).stdout)
    assert facts["quarantine adds up"] == "ok"
    return facts


def quarantine(data: Path, *arguments: object) -> list[dict[str, Any]]:
    done = agentcost("quarantine", "list", *arguments, "--data", data, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_every_case_of_the_page(tmp_path):
    """What is wrong with a span has the effect that the page promises, and no other span of its
    request suffers; what is set aside is told, listed, shown, released once by a running service
    and by the command alone, and all counts add up at every turn."""
    page = (ROOT / "docs/quarantine.md").read_text()
    told = re.findall(r"^\| (?!what is wrong)([^|]*[^-| ]) \|", page, re.MULTILINE)
    assert told == list(CASES)
    data, body = tmp_path / "data", request()
    kept = len(CASES) + 1 - len(ASIDE)
    with running(data, assemble__settle_ms="50") as collector:
        with grpc.insecure_channel(collector.grpc) as channel:
            export = channel.unary_unary(METHOD)
            for _ in range(2):  # sent again: counted, kept once
                answer = export(body, timeout=60, wait_for_ready=True)
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        assert partial.rejected_spans == len(ASIDE)
        until(lambda: span_rows(data) == kept, f"{kept} spans in the ledger")
        until(lambda: status(data)["conservation"] == "ok", "conservation")
        found = steps(data)
        assert found[f"{len(CASES) + 1:032x}"]["cost_usd"] == COST
        for number, (what, (_, becomes)) in enumerate(CASES.items(), start=1):
            if isinstance(becomes, dict):
                step = found[f"{number:032x}"]
                assert step | becomes == step, what
        assert sorted(row["reason"] for row in quarantine(data)) == sorted(
            reason for _, reason in CASES.values() if isinstance(reason, str)
        )
        assert {row["arrivals"] for row in quarantine(data)} == {2}
        assert status(data)["repeated in quarantine"] == str(len(ASIDE))

        refused = agentcost("quarantine", "retry", "--reason", "time_out_of_range", "--data", data)
        assert refused.returncode == 1
        assert "--repair" in refused.stderr
        (row,) = quarantine(data, "--reason", "time_out_of_range")
        done = agentcost("quarantine", "retry", row["number"], "--repair", "--data", data)
        assert (done.returncode, parse_facts(done.stdout)["released"]) == (0, "1"), done.stderr
        until(lambda: span_rows(data) == kept + 1, "the released span in the ledger")
        assert steps(data)[row["trace_id"]]["cost_usd"] == COST
        assert collector.stop() == 0

    shown = agentcost("quarantine", "show", row["number"], "--data", data)
    facts = parse_facts(shown.stdout)
    assert (facts["end_ns"], facts["attribute " + INPUT]) == (str(2**64 - 1), "1000")
    for reason in ("trace_id_invalid", "span_id_invalid", "time_ahead"):
        done = agentcost(
            "quarantine", "retry", "--reason", reason, "--repair", "--data", data
        )  # no service: the command itself
        assert parse_facts(done.stdout) == {"released": "1", "still in quarantine": "0"}
    with running(data, assemble__settle_ms="50"):
        until(lambda: span_rows(data) == kept + 4, "all spans in the ledger")
        until(lambda: status(data)["conservation"] == "ok", "conservation")
    assert steps(data)["0" * 16 + "07" * 8]["cost_usd"] == COST
    facts = status(data)
    assert (facts["in quarantine"], facts["released from quarantine"]) == ("0", "4")
    assert facts["spans acknowledged"] == str(2 * kept + 4)
    priced = [step["cost_usd"] for step in steps(data).values() if step["cost_usd"]]
    assert sum(priced) == COST * (len(CASES) + 1 - 4)  # one is too old, three have no count
