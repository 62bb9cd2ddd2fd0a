"""Archived sets of cards price again what they priced, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.price.archived import Archive, archived_set
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, sku, steps

LINE = (
    "{{id: input, kind: token.input,"
    ' prices: [{{from: 2026-01-01T00:00:00Z, amount: "{}", src: s}}]}}'
)

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def book(folder: Path, amount: str) -> RateBook:
    return load_rate_book([card_file(folder, sku("m", LINE.format(amount)))])


def test_recalled_cards_price_the_same() -> None:
    """Of the bundled cards, each row is priced alike by the whole set and by the cards it names:
    gateways' spellings, names that state another provider, schedules, bands and fees included."""
    whole = load_rate_book([bundled_rate_cards()])
    archive = Archive(dict([archived_set(whole)]))
    rows = [
        {"provider": "openai", "model": "gpt-5.5"},
        {"provider": "openai", "model": "anthropic/claude-opus-5"},
        {"provider": "groq", "model": "openai/gpt-oss-120b"},
        {
            "provider": None,
            "model": "mistral-large-latest",
            "ended_at": NEW_YEAR,
        },
        {"provider": "deepseek", "model": "deepseek-flash"},
        {"provider": "google", "model": "claude-sonnet-4-5@20250929", "region": "us-east5"},
        {
            "provider": "moonshot",
            "model": "kimi-k3",
            "units": "2.0",
            "unit": "tool.web_search.call",
        },
    ]
    table = steps(*(row | {"input_tokens": 1000} for row in rows))
    charges = price_steps(table, whole).to_pylist()
    priced = [charge for charge in charges if charge["card_digest"]]
    assert len(priced) >= 6
    for number, charge in enumerate(charges):
        if charge["card_digest"]:
            again = price_steps(table.slice(number, 1), archive.book(charge["card_digest"]))
            assert again.to_pylist() == [charge]


def test_sets_are_joined_by_card(tmp_path: Path) -> None:
    """Rows of an older card find it in the older set, rows of the newer in the newer."""
    sets = dict(archived_set(book(tmp_path / n, n)) for n in ("1", "2"))
    archive = Archive(sets)
    row = steps({"provider": "acme", "model": "m", "input_tokens": 10})
    for amount in ("1", "2"):
        charge = price_steps(row, book(tmp_path / amount, amount))
        again = price_steps(row, archive.book(charge["card_digest"][0].as_py()))
        assert again.equals(charge)
        assert int(again["cost_usd"][0].as_py()) == 10 * int(amount)


def test_changed_and_missing_cards_are_told(tmp_path: Path) -> None:
    """A set whose content was changed is not used; a digest that no set holds is named."""
    name, content = archived_set(book(tmp_path, "1"))
    digest = price_steps(
        steps({"provider": "acme", "model": "m", "input_tokens": 1}), book(tmp_path, "1")
    )["card_digest"][0].as_py()
    for changed in (
        content.replace(b'"amount":"1"', b'"amount":"2"'),
        content[:-1],
        b"[]",
        json.dumps({"cards": [1]}).encode(),
    ):
        archive = Archive({name: changed})
        assert archive.damaged == [name]
        assert archive.missing(digest) == [digest]
        with pytest.raises(CorruptionError):
            archive.book(digest)


def test_the_same_cards_have_one_name(tmp_path: Path) -> None:
    """Spacing and order in the files do not matter, amounts do."""
    one, other = book(tmp_path / "a", "1"), book(tmp_path / "b", "1.0")
    assert archived_set(one) == archived_set(other)
    assert archived_set(one)[0] != archived_set(book(tmp_path / "c", "1.1"))[0]


CUSTOMERS = {
    "fx": """kind: fx
sources: {s: {url: "https://example.com", retrieved: 2026-01-01T00:00:00Z}}
rates: [{currency: EUR, usd: "1.1", from: 2026-01-01T00:00:00Z, src: s}]
""",
    "overlay": """kind: overlay
base: list/acme
applies: {account: org, from: 2026-01-01T00:00:00Z}
rules: [{kinds: ["token.*"], multiply: "0.93"}]
""",
    "deployments": """kind: deployments
deployments:
  - {name: ours, provider: acme, sku: acme/m, from: 2026-01-01T00:00:00Z}
  - {name: theirs, provider: other, sku: other/n, from: 2026-01-01T00:00:00Z}
""",
    "capacity": """kind: capacity
reserved: [{id: r, provider: [acme], account: reserved, from: 2026-01-01T00:00:00Z}]
""",
}


def test_cards_of_the_customer_are_recalled(tmp_path: Path) -> None:
    """Exchange rates, agreements, deployments and capacity count again for the rows they priced,
    and only for those."""
    folder = card_file(tmp_path, sku("m", LINE.format("1")))
    (folder / "acme.yaml").write_text((folder / "acme.yaml").read_text().replace("USD", "EUR"))
    other = "provider: [other], operation: [chat], model: {equals: [n]}"
    text = card_file(folder, sku("n", LINE.format("1"), match=other), name="other") / "other.yaml"
    text.write_text(text.read_text().replace("acme/n", "other/n"))
    for kind, content in CUSTOMERS.items():
        head = f"schema: agentcost.ratecard/v1\ncard_id: {kind}/own\n"
        (folder / f"{kind}.yaml").write_text(head + content)
    whole = load_rate_book([folder])
    archive = Archive(dict([archived_set(whole)]))
    call = {"provider": "acme", "model": "m", "input_tokens": 100}
    costs = []
    for more in ({}, {"account": "org"}, {"model": "ours"}, {"account": "reserved"}):
        table = steps(call | more)
        charge = price_steps(table, whole)
        again = price_steps(table, archive.book(charge["card_digest"][0].as_py()))
        assert again.to_pylist() == charge.to_pylist()
        costs.append(f"{charge['cost_usd'][0].as_py().normalize():f}")
    assert costs == ["110", "102.3", "110", "0"]
