"""The golden vectors of exact prices: through `rates quote --file`, and through the kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.settings import Settings
from tests.cli.command import agentcost

VECTORS = {
    vector["id"]: vector
    for vector in json.loads(
        (Path(__file__).parent.parent / "golden" / "pricing_vectors.json").read_text()
    )["vectors"]
}

KINDS = {
    "input": "token.input",
    "input_uncached": "token.input",
    "input_text": "token.input.text",
    "input_image": "token.input.image",
    "cache_read": "token.input.cache_read",
    "cache_write_5m": "token.input.cache_write.5m",
    "cache_write_30m": "token.input.cache_write.30m",
    "cache_write_1h": "token.input.cache_write.1h",
    "cache_write_12h": "token.input.cache_write.12h",
    "output": "token.output",
    "output(candidates 1000+thoughts 2000)": "token.output",
    "output_reasoning(incl)": "token.output.reasoning",
    "container_session": "container.session",
    "container_seconds": "container.second",
    "web_search": "tool.web_search.call",
    "session_ms": "session.ms",
    "credits": "tool.search.credit",
    "read_units": "vector.read_unit",
    "gpu_ms": "compute.gpu_ms",
    "calls": "tool.acme.call",
}
"""What the file calls them -> leaf kinds. What is not here is a remark."""

QUOTES: dict[str, dict[str, Any]] = {
    "OAI-22": {"usage": {"container.second": 90}},
    "GOO-05": {"usage": {"token.input": 1000, "token.output": 400, "tool.web_search.prompt": 1}},
    "GOO-06": {"usage": {"token.input": 1000, "token.output": 400, "tool.web_search.call": 3}},
    "GOO-07": {"model": "gemini-3.6-flash", "usage": {"cache.storage.token_hour": 600_000}},
    "NEG-01": {"context": {"account": "org-acme"}},
    "SYN-01": {"model": None, "context": {"period_before": 9998}},
    "SYN-03": {"model": "H100"},
}
"""What is said otherwise than in the file: quantities that it explains in words."""

CARDS = {
    "contract": """card_id: overlay/acme-openai
kind: overlay
base: list/openai
applies: {account: org-acme, from: 2026-07-01T00:00:00Z}
rules: [{kinds: ["token.*"], multiply: "0.93"}]
""",
    "tool": """card_id: list/acme-tool
kind: list
issuer: acme-tool
currency: USD
sources: {s: {url: "https://example.com", retrieved: 2026-01-01T00:00:00Z}}
skus:
  - sku: acme-tool/call
    match: {provider: [acme-tool], operation: [execute_tool]}
    band:
      measure: tool.acme.call
      mode: period_graduated
      bands: [{id: a}, {id: b, gt: 1000}, {id: c, gt: 10000}]
    lines:
      - id: call
        kind: tool.acme.call
        prices: [{from: 2026-01-01T00:00:00Z, amount: {a: "0.010", b: "0.008", c: "0.005"}, src: s}]
""",
    "gpu": """card_id: list/acme-gpu
kind: list
issuer: acme-gpu
currency: USD
sources: {s: {url: "https://example.com", retrieved: 2026-01-01T00:00:00Z}}
skus:
  - sku: acme-gpu/h100
    match: {provider: [acme-gpu], operation: [compute], model: {equals: [H100]}}
    lines:
      - id: gpu
        kind: compute.gpu_ms
        per: 3600000
        prices: [{from: 2026-01-01T00:00:00Z, amount: "3.95", src: s}]
""",
}

ATTRIBUTES = {
    "token.input.cache_read": "gen_ai.usage.cache_read.input_tokens",
    "token.input.image": "gen_ai.usage.image.input_tokens",
    "token.output": "gen_ai.usage.output_tokens",
    "token.output.reasoning": "gen_ai.usage.reasoning.output_tokens",
}
RETENTIONS = {
    "token.input.cache_write.5m": ("cache_creation", "ephemeral_5m_input_tokens"),
    "token.input.cache_write.1h": ("cache_creation", "ephemeral_1h_input_tokens"),
    "token.input.cache_write.30m": ("prompt_tokens_details", "ttl_30m_tokens"),
    "token.input.cache_write.12h": ("prompt_tokens_details", "ttl_12h_tokens"),
}
"""As Anthropic and OpenAI write them into the usage of a response."""
METERS = {"cache": "compute", "compute": "compute", "session": "compute", "vector": "retrieval"}

# A step of the kernel has the price of the lowest band; the rest is settled over the month.
BY_PERIOD = {"SYN-01": Decimal("0.05")}


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    for name, text in CARDS.items():
        (folder / f"{name}.yaml").write_text(f"schema: agentcost.ratecard/v1\n{text}")
    return folder


def quote_of(vector: Mapping[str, Any]) -> dict[str, Any]:
    usage = {KINDS[k]: q for k, q in vector["usage"].items() if k in KINDS}
    asked = {"usage": usage, **{k: vector[k] for k in ("id", "provider", "model", "context")}}
    return {**asked, "at": vector["rated_at"], **QUOTES.get(vector["id"], {})}


def test_every_vector_is_quoted_exactly(cards: Path, tmp_path: Path) -> None:
    """`rates quote --file` answers every vector with its amount, to the last of 12 digits."""
    file = tmp_path / "quotes.jsonl"
    file.write_text("".join(json.dumps(quote_of(v)) + "\n" for v in VECTORS.values()))
    done = agentcost("rates", "quote", "--file", file, "--format", "json", "--rate-cards", cards)
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    found = {a["id"]: (a["cost_status"], a["cost_reason"], a["cost_usd"]) for a in answers}
    assert found == {k: ("priced", None, v["expected_usd_scale12"]) for k, v in VECTORS.items()}
    for answer in answers:
        amounts = [Decimal(line["amount_usd"]) for line in answer["lines"]]
        assert sum(amounts) == Decimal(answer["cost_usd"])


def spans_of(quote: Mapping[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """The spans of a call as instrumentations write them, for each further meter one more."""
    usage = dict(quote["usage"])
    tokens = {k: usage.pop(k) for k in list(usage) if k.startswith("token.")}
    model = quote["model"]
    model = model.partition(" (")[0] if model and " (" in model else model
    family = "embeddings" if "embed" in (model or "") or "voyage" in (model or "") else "chat"
    fixed = {f"agentcost.pricing.{k}": v for k, v in quote["context"].items() if k != "account"}
    fixed = {k.replace("vertex_location", "region"): v for k, v in fixed.items()}
    provider = quote["provider"].replace("google(vertex)", "gcp.vertex_ai")
    fixed |= {"gen_ai.provider.name": provider, "gen_ai.response.model": model}
    fixed |= {"agentcost.account": quote["context"].get("account")}
    if tokens:
        said: dict[str, Any] = {"gen_ai.operation.name": family}
        prompt = sum(q for k, q in tokens.items() if k.startswith("token.input"))
        said["gen_ai.usage.input_tokens"] = prompt
        raw: dict[str, Any] = {"prompt_tokens": prompt}
        for kind, quantity in tokens.items():
            if kind in RETENTIONS:
                group, name = RETENTIONS[kind]
                place = raw.setdefault(group, {})
                if group == "prompt_tokens_details":
                    place = place.setdefault("cache_write_tokens_details", {})
                place[name] = quantity
            elif kind in ATTRIBUTES:
                said[ATTRIBUTES[kind]] = quantity
        if len(raw) > 1:
            said["gen_ai.usage.raw"] = json.dumps(raw)
        here = [k for k in usage if k.startswith("tool.")]
        said |= {f"agentcost.units.{kind}": usage.pop(kind) for kind in here}
        yield span(number, 0, quote["at"], {**fixed, **said})
    for at, (kind, quantity) in enumerate(usage.items(), start=1):
        meter = METERS.get(kind.partition(".")[0], "tool")
        said = {"agentcost.kind": meter, f"agentcost.units.{kind}": quantity}
        yield span(number, at, quote["at"], {**fixed, **said})


def span(number: int, at: int, ended: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    end_ns = int(datetime.fromisoformat(ended).timestamp()) * 10**9
    return {
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{at + 1:016x}",
        "kind": 3,
        "name": "call",
        "start_ns": end_ns - 10**9,
        "end_ns": end_ns,
        "status": 0,
        "resource": "{}",
        "attributes": sorted((k, str(v)) for k, v in attributes.items() if v is not None),
    }


def test_every_vector_is_charged_exactly(cards: Path) -> None:
    """The kernel charges spans of the same calls the same amounts."""
    rulebook = Rulebook.of(Settings(rate_cards=(cards,)))
    rows = [s for n, v in enumerate(VECTORS.values()) for s in spans_of(quote_of(v), n)]
    charges = kernel(pa.Table.from_pylist(rows, schema=SPANS), rulebook).to_pylist()
    names = list(VECTORS)
    found: dict[str, Decimal] = {}
    for charge in charges:
        name = names[int(charge["trace_id"], 16) - 1]
        assert charge["cost_status"] == "priced", (name, charge["cost_reason"])
        found[name] = found.get(name, Decimal(0)) + charge["cost_usd"]
    wanted = {k: Decimal(v["expected_usd_scale12"]) for k, v in VECTORS.items()}
    assert found == wanted | BY_PERIOD
