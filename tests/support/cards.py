"""Rate cards with a corrected price, for tests and measurements of restating."""

from __future__ import annotations

from pathlib import Path

from agentcost_collector.price.bundled import bundled_rate_cards

OLD_OUTPUT = 'amount: "0.6", src: g}]'
"""Price of a million output tokens of gpt-4o-mini, as it stands in the bundled card."""


def with_output_price(folder: Path, amount: str, since: str) -> Path:
    """`folder` with OpenAI's bundled card, in which a million output tokens of gpt-4o-mini cost
    `amount` dollars from `since` on."""
    card = (bundled_rate_cards() / "openai.yaml").read_text(encoding="utf-8")
    before, sku, after = card.partition("sku: openai/gpt-4o-mini\n")
    assert OLD_OUTPUT in after, "the card has changed: choose another price"
    new = OLD_OUTPUT[:-1] + f', {{from: {since}, amount: "{amount}", src: g}}]'
    folder.mkdir()
    (folder / "openai.yaml").write_text(
        before + sku + after.replace(OLD_OUTPUT, new, 1), encoding="utf-8"
    )
    return folder
