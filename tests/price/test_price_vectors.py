"""The golden vectors of exact prices, through the kernel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentcost_collector.price import RateBook, bundled_rate_cards, load_rate_book, price_steps
from tests.price.acme import steps

VECTORS = {
    vector["id"]: vector
    for vector in json.loads(
        (Path(__file__).parent.parent / "golden" / "pricing_vectors.json").read_text()
    )["vectors"]
}

COLUMNS = {
    "input": "input_tokens",
    "input_uncached": "input_tokens",
    "input_text": "input_tokens",
    "input_image": "input_image_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_short_tokens",
    "cache_write_30m": "cache_write_short_tokens",
    "cache_write_1h": "cache_write_long_tokens",
    "cache_write_12h": "cache_write_long_tokens",
    "output": "output_tokens",
    "output(candidates 1000+thoughts 2000)": "output_tokens",
    "output_reasoning(incl)": "reasoning_tokens",
}

CONTAINER = {"kind": "tool", "model": "container-1gb"}

# What a step says beyond the tokens, or instead of what the vector calls it.
SAID: dict[str, dict[str, Any]] = {
    "OAI-06": {"service_tier": "flex"},
    "OAI-07": {"service_tier": "priority"},
    "OAI-08": {"service_tier": "batch"},
    "OAI-21": CONTAINER | {"units": "1.0", "unit": "container.session"},
    "OAI-22": CONTAINER | {"units": "90.0", "unit": "container.second"},
    "OAI-24": {"kind": "embedding"},
    "ANT-16": {"kind": "tool", "model": None, "units": "60.0", "unit": "container.second"},
    "GOO-04": {"service_tier": "batch"},
    "GOO-05": {"units": "1.0", "unit": "tool.web_search.prompt"},
    "GOO-06": {"units": "3.0", "unit": "tool.web_search.call"},
    "GOO-07": {
        "kind": "compute",
        "model": "gemini-3.6-flash",
        "units": "600000.0",
        "unit": "cache.storage.token_hour",
    },
    "GOO-08": {
        "provider": "google",
        "model": "claude-sonnet-4-5@20250929",
        "region": "us-east5",
    },
    "COH-04": {"kind": "embedding"},
    "VOY-02": {"kind": "embedding", "service_tier": "batch"},
    "GRQ-02": {"service_tier": "batch"},
    "DSK-05": {"started_at": datetime.fromisoformat("2026-11-18T03:59:50Z")},
    "TOOL-01": {"kind": "tool", "model": None, "units": "6.0", "unit": "tool.search.credit"},
    "PIN-01": {"kind": "retrieval", "model": None, "units": "6.0", "unit": "vector.read_unit"},
}

# Vectors that a single step cannot state yet, why, and what such a step gets meanwhile.
NOT_YET = {
    "ANT-11": "no column for speed and inference_geo; the rates are in the card",
    "ANT-12": "two steps: the session's runtime is one of its own; see the test below",
    "NEG-01": "contract overlays are not implemented; the list price stands",
    "SYN-01": "graduated bands over a period are not implemented",
    "SYN-03": "the rate is synthetic, in no card; see the test of compute seconds",
}


@pytest.fixture(scope="module")
def book() -> RateBook:
    return load_rate_book([bundled_rate_cards()])


def row_of(vector: Mapping[str, Any]) -> dict[str, Any]:
    tokens = {COLUMNS[k]: q for k, q in vector["usage"].items() if k in COLUMNS}
    said = SAID.get(vector["id"], {})
    call = {"provider": vector["provider"], "model": vector["model"]}
    return {**call, "ended_at": datetime.fromisoformat(vector["rated_at"]), **tokens, **said}


@pytest.mark.parametrize("name", sorted(VECTORS.keys() - NOT_YET.keys()))
def test_vector_is_exact(name: str, book: RateBook) -> None:
    """Every golden vector that one step can state costs exactly what it says, to 1e-12."""
    charge = price_steps(steps(row_of(VECTORS[name])), book).to_pylist()[0]
    assert (charge["cost_status"], charge["cost_reason"]) == ("priced", None)
    assert charge["cost_usd"] == Decimal(VECTORS[name]["expected_usd_scale12"])


@pytest.mark.parametrize("name", ["SYN-01", "SYN-03"])
def test_vector_without_card_is_unpriced(name: str, book: RateBook) -> None:
    """What no card can state yet has no cost, never a wrong one."""
    charge = price_steps(steps(row_of(VECTORS[name])), book).to_pylist()[0]
    assert charge["cost_usd"] is None
    assert charge["cost_status"] == "unpriced"


@pytest.mark.parametrize("tier", ["fast", "fast,us", "flexx"])
def test_unspoken_context_is_unpriced(tier: str, book: RateBook) -> None:
    """ANT-11: a context that the card does not know under that name is never standard price."""
    row = row_of(VECTORS["ANT-11"]) | {"service_tier": tier}
    charge = price_steps(steps(row), book).to_pylist()[0]
    assert (charge["cost_usd"], charge["cost_reason"]) == (None, "unknown_context")


def test_session_and_its_call(book: RateBook) -> None:
    """ANT-12, the publisher's own example: the call and the runtime of the session add up."""
    call = {"provider": "anthropic", "model": "claude-opus-5"}
    call |= {"input_tokens": 50_000, "output_tokens": 15_000}
    runtime = {"kind": "compute", "provider": "anthropic", "model": None}
    runtime |= {"units": "3600000.0", "unit": "session.ms"}
    charges = price_steps(steps(call, runtime), book)
    assert charges["cost_status"].to_pylist() == ["priced", "priced"]
    assert sum(charges["cost_usd"].to_pylist()) == Decimal("0.705")


def test_all_vectors_are_accounted_for() -> None:
    """No vector is forgotten: each is exact or named as not yet possible."""
    assert NOT_YET.keys() <= VECTORS.keys()
    assert SAID.keys() <= VECTORS.keys() - NOT_YET.keys()
