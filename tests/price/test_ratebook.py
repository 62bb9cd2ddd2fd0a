"""Which SKU a model name stands for, and when it stands for none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.names import spellings
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, line, sku, steps


@pytest.fixture(scope="module")
def bundled() -> RateBook:
    return load_rate_book([bundled_rate_cards()])


def sku_of(book: RateBook, provider: str | None, model: str, **more: Any) -> str:
    """The SKU that priced a call of 1 input token, or the reason why none did."""
    row = {"provider": provider, "model": model, "input_tokens": 1, **more}
    charge = price_steps(steps(row), book).to_pylist()[0]
    return (charge["rate_id"] or charge["cost_reason"]).split("@")[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-mini-20240718", "no_sku"),
        ("openai", "GPT-4o-mini", "openai/gpt-4o-mini"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("google", "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("google", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "gemini/gemini-2.5-flash", "google/gemini-2.5-flash"),
        (None, "openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        (None, "gpt-4o-mini", "openai/gpt-4o-mini"),
        (None, "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("google", "claude-sonnet-4-5", "google/claude-sonnet-4-5"),
        (None, "openai/gpt-oss-120b", "no_sku"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        ("together", "openai/gpt-oss-120b", "together/openai/gpt-oss-120b"),
        ("openrouter", "openai/gpt-4o-mini", "no_sku"),
        ("azure", "gpt-4o", "azure/gpt-4o"),
        ("azure", "my-deployment", "no_sku"),
        (
            "aws",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/claude-sonnet-4-5-20250929/regional",
        ),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "aws/claude-haiku-4-5-20251001/global",
        ),
        ("aws", "arn:aws:bedrock:us-east-1:1:application-inference-profile/ab12", "no_sku"),
        ("anthropic", "claude-opus-5-5", "anthropic/claude-opus-5-5"),
        ("anthropic", "claude-opus-5-6", "no_sku"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::x1", "openai/ft:gpt-4o-mini"),
        ("openai", "ft:gpt-5-2025-08-07:acme::x1", "no_sku"),
    ],
)
def test_names(provider: str | None, model: str, expected: str, bundled: RateBook) -> None:
    """A name finds the SKU that it means for that provider, and never a neighbour."""
    assert sku_of(bundled, provider, model) == expected


def test_alias_is_dated(bundled: RateBook) -> None:
    """An alias means what it meant at the time, and nothing before its first meaning."""
    ages = {year: datetime(year, 1, 1, tzinfo=UTC) for year in (2024, 2025, 2026)}
    found = [
        sku_of(bundled, "mistral", "mistral-large-latest", ended_at=at) for at in ages.values()
    ]
    assert found == ["before_history", "mistral/mistral-large-2411", "mistral/mistral-large-2512"]
    assert sku_of(bundled, "mistral", "mistral-large-latest") == "after_history"
    may = datetime(2024, 6, 1, tzinfo=UTC)
    assert sku_of(bundled, "openai", "gpt-4o", ended_at=may) == "openai/gpt-4o-2024-05-13"


def test_exact_name_beats_regex_and_ties_are_ambiguous(tmp_path: Path) -> None:
    """Equal beats regex; nobody guesses between two regexes, or two sellers of one name."""
    chat = "operation: [chat]"
    one = line("token.input", '"1"')
    skus = (
        sku("exact", one, match=f"provider: [acme], {chat}, model: {{equals: [m-1]}}")
        + sku("digit", one, match=f"provider: [acme], {chat}, model: {{regex: ['^m-\\d$']}}")
        + sku("any", one, match=f"provider: [acme], {chat}, model: {{regex: ['^m-.$']}}")
        + sku("other", one, match=f"provider: [other], {chat}, model: {{equals: [m-1]}}")
        + sku(
            "host",
            one,
            match=f"provider: [h], provider_named: true, {chat}, model: {{equals: [x]}}",
        )
    )
    book = load_rate_book([card_file(tmp_path, skus)])
    assert sku_of(book, "acme", "m-1") == "acme/exact"
    assert sku_of(book, "acme", "m-2") == "ambiguous"
    assert sku_of(book, "acme", "m-x") == "acme/any"
    assert sku_of(book, None, "m-1") == "ambiguous"
    assert (sku_of(book, "h", "x"), sku_of(book, None, "x")) == ("acme/host", "no_sku")


def test_region_chooses_the_sku(tmp_path: Path) -> None:
    """SKUs of one model are told apart by region; an unlisted region is an unknown context."""
    where = "provider: [acme], operation: [chat], model: {equals: [m]}, region: [%s]"
    one, two = line("token.input", '"1"'), line("token.input", '"2"')
    skus = sku("eu", one, match=where % "eu") + sku("us", two, match=where % "us")
    head = "defaults: {assume: {region: us}}\n"
    book = load_rate_book([card_file(tmp_path, skus, head=head)])
    assert sku_of(book, "acme", "m", region="eu") == "acme/eu"
    assert sku_of(book, "acme", "m") == "acme/us"
    assert sku_of(book, "acme", "m", region="mars") == "unknown_context"


def test_two_tools_cards_for_one_tool_are_ambiguous(tmp_path: Path) -> None:
    """A fee that two cards claim is not guessed; the card of the named provider comes first."""
    fee = line("tool.lookup.call", '"1"')
    first = sku("one", fee, match="operation: [execute_tool]")
    second = sku("two", fee, match="operation: [execute_tool]")
    book = load_rate_book([card_file(tmp_path / "a", first + second)])
    charge = price_steps(steps({"kind": "tool", "tool": "Lookup"}), book).to_pylist()[0]
    assert (charge["cost_usd"], charge["cost_reason"]) == (None, "ambiguous")
    own = sku("own", fee, match="provider: [acme], operation: [execute_tool]")
    book = load_rate_book([card_file(tmp_path / "b", first + own)])
    row = {"kind": "tool", "tool": "lookup", "provider": "acme"}
    assert price_steps(steps(row), book)["rate_id"].to_pylist() == ["acme/own@2020-01-01"]


def test_fast_mode_and_geography(bundled: RateBook) -> None:
    """ANT-11: published fast rates times 1.1 for tokens, and not for web searches."""
    row = {
        "provider": "anthropic",
        "model": "claude-opus-5",
        "pricing_context": '{"inference_geo": "us", "speed": "fast"}',
        "input_tokens": 3000,
        "cache_write_long_tokens": 2000,
        "cache_read_tokens": 10_000,
        "output_tokens": 1500,
        "units": "2.0",
        "unit": "tool.web_search.call",
    }
    charge = price_steps(steps(row), bundled).to_pylist()[0]
    assert (charge["cost_status"], charge["cost_usd"]) == ("priced", Decimal("0.1905"))
    assert charge["unit_cost_usd"] == Decimal("0.02")


def test_spellings() -> None:
    """From the whole name to the bare one, with the provider that the name itself states."""
    assert list(spellings("bedrock/us.x-v1:0")) == [
        (None, "bedrock/us.x-v1:0"),
        ("aws", "us.x-v1:0"),
    ]
    assert list(spellings(" Vertex_AI/models/G ")) == [
        (None, "vertex_ai/models/g"),
        ("google", "models/g"),
        ("google", "g"),
    ]
    assert list(spellings("llama3:8b")) == [(None, "llama3:8b")]
