"""Recordings made by hand: a call of `own-model` with 1,000 tokens in and 100 out costs $0.003 by
the card of the tests of the command line ($2 and $10 for a million)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARDS = Path(__file__).parent.parent / "cli" / "cards"
START_NS = 1_795_000_000_000_000_000

Run = Mapping[str | None, int]
"""Calls that each feature pays, in one trace."""


def call(trace: int, span: int, feature: str | None, model: str, start_ns: int) -> dict[str, Any]:
    """An OTLP span of a chat."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "own",
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    if feature is not None:
        attributes["agentcost.feature"] = feature
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{span:016x}",
        "name": f"chat {model}",
        "kind": 3,
        "startTimeUnixNano": str(start_ns + span * 1000),
        "endTimeUnixNano": str(start_ns + span * 1000 + 500),
        "attributes": [
            {
                "key": key,
                "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value},
            }
            for key, value in attributes.items()
        ],
    }


def record(path: Path, *runs: Run, model: str = "own-model", start_ns: int = START_NS) -> Path:
    """`path` with one trace for each run."""
    spans = [
        call(number, 100 * number + at, feature, model, start_ns)
        for number, run in enumerate(runs, start=1)
        for at, feature in enumerate([f for f, calls in run.items() for _ in range(calls)])
    ]
    scope = {"scope": {"name": "opentelemetry.instrumentation.own"}, "spans": spans}
    path.write_text(json.dumps({"resourceSpans": [{"resource": {}, "scopeSpans": [scope]}]}))
    return path
