"""The canonical form of cards."""

from __future__ import annotations

from pathlib import Path

from agentcost_collector.price.read import read_card

EXAMPLE = """\
schema: agentcost.ratecard/v1
card_id: list/anthropic
kind: list
issuer: anthropic
currency: USD
defaults: {rated_at: end, on_unknown_context: unpriced}
sources:
  s1: {url: "https://platform.claude.com/docs/en/about-claude/pricing", retrieved: 2026-10-01T00:00:00Z}
  s2: {url: "https://platform.claude.com/docs/en/about-claude/pricing", retrieved: 2026-10-08T00:00:00Z}
skus:
  - sku: anthropic/claude-sonnet-5-5
    match: {provider: [anthropic], operation: [chat], model: {equals: [claude-sonnet-5-5]}}
    lines:
      - {id: input, kind: token.input, per: 1000000, prices: [{from: 2026-09-28T00:00:00Z, amount: "2", src: s1}]}
      - id: cache_read
        kind: token.input.cache_read
        per: 1000000
        prices:
          - {from: 2026-09-28T00:00:00Z, amount: "0.20", src: s1}
          - {from: 2026-10-07T00:00:00Z, granularity: day, amount: "0.10", src: s2}
      - {id: cache_write_5m, kind: token.input.cache_write.5m, per: 1000000, prices: [{from: 2026-09-28T00:00:00Z, amount: "2.50", src: s1}]}
      - {id: cache_write_1h, kind: token.input.cache_write.1h, per: 1000000, prices: [{from: 2026-09-28T00:00:00Z, amount: "4", src: s1}]}
      - {id: output, kind: token.output, per: 1000000, prices: [{from: 2026-09-28T00:00:00Z, amount: "10", src: s1}]}
      - {id: web_search, kind: tool.web_search.call, per: 1000, prices: [{from: 2026-09-28T00:00:00Z, amount: "10", src: s1}]}
    adjustments:
      - {id: batch, when: {processing: batch}, multiply: "0.5", kinds: ["token.*"], from: 2026-09-28T00:00:00Z, src: s1}
      - {id: us_geo, when: {inference_geo: us}, multiply: "1.1", kinds: ["token.*"], from: 2026-09-28T00:00:00Z, src: s1}
"""  # noqa: E501


def test_digest_of_the_example(tmp_path: Path) -> None:
    """The published example has its published digest, whatever its spacing, order and zeros."""
    path = tmp_path / "card.yaml"
    path.write_text(EXAMPLE)
    known = "df5a2ff6f962d8f49eba258c73d88a68586b200200b16ba23ce54e1a6e11880d"
    assert read_card(path).digest == known
    path.write_text(
        EXAMPLE.replace('"0.20"', '"0.2"')
        .replace("2026-10-07T00:00:00Z", "2026-10-07T02:00:00+02:00")
        .replace("kind: list\nissuer: anthropic\n", "issuer: anthropic\n# a remark\nkind: list\n")
    )
    assert read_card(path).digest == known
    path.write_text(EXAMPLE.replace('"0.20"', '"0.21"'))
    assert read_card(path).digest != known
