"""Drafts as text, laid out as the cards in `rate_cards/` are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from agentcost_collector.draft.offered import Listed, Offered, Span

_WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z][\w./-]*|/[\w./-]+")
_RESERVED = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def sku_text(offered: Offered, provider: str, src: str) -> str:
    """A whole SKU as an item of `skus`; ends with a line break."""
    rows = [f"  - sku: {_scalar(offered.sku)}", *_match(offered, provider)]
    if offered.bands:
        steps = [f"{{id: {offered.bands[0][0]}}}"]
        for name, low in offered.bands[1:]:
            edge = f"ge: {low}" if name.startswith("ge") else f"gt: {low - 1}"
            steps.append(f"{{id: {name}, {edge}}}")
        bands = ", ".join(steps)
        rows.append(
            f"    band: {{measure: token.input.total, mode: whole_request, bands: [{bands}]}}"
        )
    rows.append("    lines:")
    for line in offered.lines:
        rows += line_rows(line, src)
    return "\n".join(rows) + "\n"


def line_rows(line: Listed, src: str) -> list[str]:
    """A line of a SKU: on one row with one price, else with a row for each price."""
    per = f", per: {line.per}" if line.per != 1 else ""
    when = f", when: {_flow(line.when)}" if line.when else ""
    if len(line.prices) == 1:
        price = price_text(line.prices[0], src)
        return [f"      - {{id: {line.id}, kind: {line.kind}{per}{when}, prices: [{price}]}}"]
    rows = [f"      - id: {line.id}", f"        kind: {line.kind}"]
    rows += [f"        per: {line.per}"] if line.per != 1 else []
    rows += [f"        when: {_flow(line.when)}"] if line.when else []
    return [*rows, "        prices:", *(f"          - {price_text(p, src)}" for p in line.prices)]


def price_text(price: Span, src: str) -> str:
    """One dated amount."""
    to = f", to: {_instant(price.to)}" if price.to else ""
    amount = f'"{price.amount}"' if isinstance(price.amount, str) else _amounts(price.amount)
    day = ", granularity: day" if price.named else ""
    return f"{{from: {_instant(price.start)}{to}{day}, amount: {amount}, src: {src}}}"


def source_text(src: str, url: str, retrieved: datetime, method: str) -> str:
    """An entry of `sources`."""
    at = _instant(retrieved)
    return f'  {src}: {{url: "{url}", retrieved: {at}, method: {method}, verified: unverified}}'


def card_head(provider: str, source: str) -> str:
    """The beginning of a new card, up to its first SKU."""
    return "\n".join(
        [
            f"# {provider} list prices.",
            "# US dollars per `per` units. Prices are appended with their date, never edited.",
            "schema: agentcost.ratecard/v1",
            f"card_id: list/{provider}",
            "kind: list",
            f"issuer: {provider}",
            "currency: USD",
            "tax: exclusive",
            "defaults: {rated_at: end, on_unknown_context: unpriced,"
            " assume: {service_tier: standard, processing: online}}",
            "sources:",
            source,
            "skus:",
            "",
        ]
    )


def _match(offered: Offered, provider: str) -> list[str]:
    names = []
    if offered.equals:
        names.append(f"equals: [{', '.join(map(_scalar, offered.equals))}]")
    if offered.regex:
        names.append(f"regex: [{', '.join(map(_quoted, offered.regex))}]")
    parts = [f"provider: [{provider}]"]
    parts += ["provider_named: true"] if offered.provider_named else []
    parts += [f"operation: [{offered.operation}]", f"model: {{{', '.join(names)}}}"]
    row = f"    match: {{{', '.join(parts)}}}"
    return [row] if len(row) <= _WIDTH else ["    match:", *(f"      {part}" for part in parts)]


def _flow(mapping: object) -> str:
    assert isinstance(mapping, dict)
    return f"{{{', '.join(f'{k}: {_scalar(v)}' for k, v in mapping.items())}}}"


def _amounts(amounts: dict[str, str]) -> str:
    return f"{{{', '.join(f'{band}: {json.dumps(a)}' for band, a in amounts.items())}}}"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _RESERVED
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def appended(row: str, prices: Sequence[str]) -> str:
    """A line on one row, `- {..., prices: [{...}]}`, with prices appended."""
    head, bracket, tail = row.rpartition("]}")
    assert bracket, row
    return f"{head}, {', '.join(prices)}{bracket}{tail}"
