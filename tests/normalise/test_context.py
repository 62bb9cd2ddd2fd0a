"""What decides a price besides model and tier reaches the steps, from wherever it is written."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from agentcost_collector.model.schemas import SPANS
from agentcost_collector.normalise import normalise_spans
from tests.support.walked import VOCABULARY

CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic"}


def facts(resource: dict[str, str] | None = None, **attributes: Any) -> dict[str, Any]:
    row = {
        "trace_id": "a" * 32,
        "span_id": "1" * 16,
        "name": "chat",
        "start_ns": 0,
        "end_ns": 1,
        "resource": json.dumps(resource or {}),
        "attributes": sorted({**CALL, **attributes}.items()),
    }
    table = normalise_spans(pa.Table.from_pylist([row], schema=SPANS), VOCABULARY)
    return table.to_pylist()[0]  # type: ignore[no-any-return]


def test_own_attributes() -> None:
    """Facts have sorted keys; tier and region have columns of their own."""
    own = {f"agentcost.pricing.{k}": k[0] for k in ("speed", "geo", "service_tier", "region")}
    found = facts(**own)
    assert found["pricing_context"] == '{"geo": "g", "speed": "s"}'
    assert (found["service_tier"], found["region"]) == ("s", "r")
    assert facts()["pricing_context"] is None


def test_facts_of_a_response() -> None:
    """What a provider writes beside its counts is a fact of the call; our own attribute wins."""
    raw = '{"input_tokens": 1, "speed": "fast", "inference_geo": "us", "service_tier": "standard"}'
    found = facts(**{"gen_ai.usage.raw": raw})
    assert found["pricing_context"] == '{"inference_geo": "us", "speed": "fast"}'
    found = facts(**{"gen_ai.usage.raw": raw, "agentcost.pricing.speed": "slow"})
    assert json.loads(found["pricing_context"])["speed"] == "slow"


def test_hostile_facts() -> None:
    """Values that are no text, or endless, do no harm."""
    for raw in ('{"speed": {"a": 1}}', '{"speed": 3}', "[speed]", "speed"):
        assert facts(**{"gen_ai.usage.raw": raw})["pricing_context"] is None
    long = facts(**{"agentcost.pricing.x": "y" * 10_000})
    assert len(long["pricing_context"]) < 100


def test_account() -> None:
    """The account of the span comes before that of its resource."""
    resource = {"agentcost.account": "org-r"}
    assert facts(resource)["account"] == "org-r"
    assert facts(resource, **{"agentcost.account": "org-s"})["account"] == "org-s"
    assert facts()["account"] is None
