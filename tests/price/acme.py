"""Steps and cards for the tests of this folder; nothing of the code under test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from agentcost_collector.model.schemas import STEPS

_NUMBER = re.compile(r"-?\d+\.\d+")
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def steps(*rows: Mapping[str, Any]) -> pa.Table:
    """A STEPS table; each row is a call of kind llm that ended at AT unless it says otherwise."""
    filled = []
    for number, row in enumerate(rows):
        base = {
            "trace_id": f"{number:032x}",
            "span_id": f"{number:016x}",
            "step_id": f"{number:08d}",
            "kind": "llm",
            "started_at": row.get("ended_at", AT),
            "ended_at": AT,
            "status": "unset",
        }
        filled.append({**base, **{k: _exact(v) for k, v in row.items()}})
    return pa.Table.from_pylist(filled, schema=STEPS)


def card_file(directory: Path, skus: str, name: str = "acme", head: str = "") -> Path:
    """A card of provider acme with these SKUs; returns its folder."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.yaml").write_text(
        f"""schema: agentcost.ratecard/v1
card_id: list/{name}
kind: list
issuer: {name}
currency: USD
sources:
  s: {{url: "https://example.com/prices", retrieved: 2026-01-01T00:00:00Z}}
{head}skus:
{skus}"""
    )
    return directory


def sku(name: str, *lines: str, match: str = "", more: str = "") -> str:
    """YAML of one SKU for chats with model `name`, unless `match` says otherwise."""
    match = match or f"provider: [acme], operation: [chat], model: {{equals: [{name}]}}"
    body = "".join(f"      - {text}\n" for text in lines)
    return f"  - sku: acme/{name}\n    match: {{{match}}}\n    lines:\n{body}{more}"


def line(kind: str, amount: str, per: int = 1, start: str = "2020-01-01", more: str = "") -> str:
    """YAML of one line with one price since that day."""
    price = f"{{from: {start}T00:00:00Z, amount: {amount}, src: s}}"
    name = f"{kind}{per}{start}{more}".translate(str.maketrans("{}:, ", "-----"))
    return f"{{id: {name}, kind: {kind}, per: {per}, {more} prices: [{price}]}}"


def _exact(value: Any) -> Any:
    return Decimal(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
