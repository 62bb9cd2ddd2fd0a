"""The bundled rate cards: what is released stays, every known name means one thing, nothing that
the pinned list knows is missing."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from genai_prices import data

from agentcost_collector.draft import Origin, draft_cards, offered_skus
from agentcost_collector.draft.genai_prices import ISSUERS
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.check import faults_of
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.read import read_cards
from agentcost_collector.price.released import RELEASED, changed_since_release, unreleased
from agentcost_collector.price.steps import price_steps
from tests.price.acme import steps

CARDS = Path(__file__).parent.parent.parent / "rate_cards"
FIXTURES = Path(__file__).parent.parent / "fixtures"
VECTORS = Path(__file__).parent.parent / "golden" / "pricing_vectors.json"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
instant = datetime.fromisoformat
BOOK = load_rate_book([bundled_rate_cards()])

# What the pinned list prices and our cards do not, or say in another way.
NOT_AS_LISTED = {
    "google/claude-4-opus": "our claude-opus-4 and claude-opus-4-1",
    "google/claude-4-sonnet": "our claude-sonnet-4",
    "google/gemini-flash-1.5": "a gateway's name of gemini-1.5-flash",
    "google/gemini-flash-1.5-8b": "a gateway's name",
    "google/gemini-pro": "gemini 1.0, priced by the character then",
    "google/gemini-pro-1.5": "a gateway's name of gemini-1.5-pro",
    "openai/ft:gpt-3.5-turbo-": "ours by regex",
    "openai/ft:gpt-4o": "ours by regex",
    "openai/ft:gpt-4o-mini": "ours by regex",
    "openai/gpt-4o-mini-2024-07-18.ft-": "ours by regex",
    "openai/gpt-4o-search-preview": "the list lacks the fee of each request",
    "perplexity/sonar": "the fee of a request depends on its search context",
    "perplexity/sonar-pro": "the fee of a request depends on its search context",
    "perplexity/sonar-reasoning": "the fee of a request depends on its search context",
    "perplexity/sonar-reasoning-pro": "the fee of a request depends on its search context",
}


def models_of(directory: Path) -> set[tuple[str, str]]:
    """(provider, model) of every call in the truth of the recordings, requested and served."""
    found: set[tuple[str, str]] = set()
    for path in directory.glob("*/*.truth.json"):
        for call in json.loads(path.read_text())["billable_calls"]:
            for name in ("request_model", "response_model"):
                if call.get("billed") and call.get(name):
                    found.add((call["provider"], call[name]))
    return found


def known_names() -> set[str]:
    """Every model name that a recording, a golden vector or the pinned list mentions."""
    names = {name for _, name in models_of(FIXTURES)}
    names |= {v["model"] for v in json.loads(VECTORS.read_text())["vectors"]}
    for provider in data.providers:
        for model in provider.models:
            names.add(model.id)
            clauses = getattr(model.match, "or_", [model.match])
            names |= {clause.equals for clause in clauses if hasattr(clause, "equals")}
    return names


def test_no_faults() -> None:
    """No key twice, no gap, no edit of what was released, and no known name that two SKUs of one
    seller answer to, not even one by name and one by regex."""
    assert faults_of([CARDS], known_names()) == []


def test_all_is_released() -> None:
    """What is new in a card has been noted, so that an edit of it will be seen."""
    assert unreleased(CARDS) == [], "run: agentcost rates check rate_cards --release"


def test_an_edit_is_noticed_and_an_append_is_not(tmp_path: Path) -> None:
    """An edited amount, date, unit or multiplier is a fault with its place; an appended price and
    a source that was verified since are none."""
    shutil.copy(CARDS / "voyageai.yaml", tmp_path)
    text = (tmp_path / "voyageai.yaml").read_text()
    kept = json.loads((CARDS / RELEASED).read_text())
    mine = {name: digest for name, digest in kept.items() if name.startswith("voyageai/")}
    (tmp_path / RELEASED).write_text(json.dumps(mine))
    assert changed_since_release(tmp_path) == []
    for old, new in (
        ('amount: "0.06"', 'amount: "0.061"'),
        ("from: 2025-05-20", "from: 2025-05-21"),
        ("per: 1000000", "per: 1"),
        ('multiply: "0.67"', 'multiply: "0.66"'),
    ):
        assert old in text
        (tmp_path / "voyageai.yaml").write_text(text.replace(old, new, 1))
        assert re.search(r"voyageai.yaml:\d+: .* edited|and is gone", faults_of([tmp_path])[0]), old
    card = yaml.load(text, Loader=LOADER)
    price = {"from": "2027-01-01T00:00:00Z", "amount": "3", "src": "g"}
    card["skus"][0]["lines"][0]["prices"].append(price)
    card["sources"]["g"]["verified"] = "invoice"
    (tmp_path / "voyageai.yaml").write_text(yaml.safe_dump(card))
    assert changed_since_release(tmp_path) == []
    assert len(unreleased(tmp_path)) == 1


@pytest.mark.parametrize("provider", [p.id for p in data.providers])
def test_no_listed_model_is_missing(provider: str) -> None:
    """Of the providers that we have a card of, every model and price of the pinned list is in it,
    or is named above with the reason."""
    issuer = ISSUERS.get(provider, provider)
    cards = {file.card.issuer: file for file in read_cards([CARDS]) if file.card.kind == "list"}
    if issuer not in cards:
        return
    at = datetime(2026, 11, 22, tzinfo=UTC)
    listed = next(p for p in data.providers if p.id == provider)
    offered = list(offered_skus(listed, lambda _model, _key: at))
    draft = draft_cards(issuer, offered, cards[issuer], Origin("x", "genai-prices@0.2.3", at))
    lacking = {c.sku for c in draft.changes if c.what in ("new", "changed")}
    assert lacking - NOT_AS_LISTED.keys() == set()


@pytest.mark.parametrize(("provider", "model"), sorted(models_of(FIXTURES)))
def test_recorded_models_have_prices(provider: str, model: str) -> None:
    """Every model of the public recordings, by its requested and its served name, is priced."""
    embeds = "embedding" in model
    row = {"provider": provider, "model": model, "input_tokens": 10, "cache_read_tokens": 5}
    row |= {"kind": "embedding", "cache_read_tokens": None} if embeds else {"output_tokens": 3}
    charge = price_steps(steps(row), BOOK).to_pylist()[0]
    assert (charge["cost_status"], charge["cost_reason"]) == ("priced", None)


def test_cards_say_where_from() -> None:
    """A card is named after its issuer, and each of its sources is used and is a web address,
    or a page of ours."""
    for path in CARDS.glob("*.yaml"):
        card = yaml.load(path.read_text(), Loader=LOADER)
        assert path.stem == card["issuer"]
        assert card["card_id"] == f"list/{card['issuer']}"
        used = set(re.findall(r"src: (\w+)", path.read_text()))
        assert used == card["sources"].keys(), path.name
        for url in (source["url"] for source in card["sources"].values()):
            assert url.startswith("https://") or (CARDS.parent / url).is_file(), path.name


@pytest.mark.parametrize(
    ("provider", "model", "at", "cost"),
    [
        ("openai", "o3", "2025-06-09T23:59:59.999999Z", "0.00005"),
        ("openai", "o3", "2025-06-10T00:00:00Z", "0.00001"),
        ("openai", "gpt-5.6-terra", "2026-07-29T23:59:59.999999Z", "0.0000175"),
        ("openai", "gpt-5.6-terra", "2026-07-30T00:00:00Z", "0.000014"),
        ("mistral", "mistral-large-4", "2026-10-19T23:59:59.999999Z", "0.00000277"),
        ("mistral", "mistral-large-4", "2026-10-20T00:00:00Z", "0.00000554"),
        ("mistral", "mistral-large-4", "2026-10-29T00:00:00Z", "0.0000028"),
        ("google", "gemini-4-argon", "2026-11-30T23:59:59.999999Z", "0.000012"),
        ("google", "gemini-4-argon", "2026-12-01T00:00:00Z", "0.000024"),
        ("deepseek", "deepseek-v4-flash", "2026-08-16T15:59:59.999999Z", "0.00000042"),
        ("deepseek", "deepseek-v4-flash", "2026-08-16T16:00:00Z", "0.00000088"),
        ("deepseek", "deepseek-v4-flash", "2026-08-17T01:00:00Z", "0.00000176"),  # peak
        ("deepseek", "deepseek-chat", "2025-07-01T00:29:59Z", "0.000000685"),  # night
        ("deepseek", "deepseek-chat", "2025-07-01T00:30:00Z", "0.00000137"),
    ],
)
def test_price_change_days(provider: str, model: str, at: str, cost: str) -> None:
    """Known changes, on both sides, to the microsecond: a token of input and one of output."""
    row = {"provider": provider, "model": model, "input_tokens": 1, "output_tokens": 1}
    charge = price_steps(steps(row | {"ended_at": instant(at)}), BOOK).to_pylist()[0]
    assert f"{charge['cost_usd'].normalize():f}" == cost


def test_cache_reads_before_the_cut() -> None:
    """ANT-08: cache reads of Sonnet 5.5 cost twice as much until 2026-10-07."""
    row = {"provider": "anthropic", "model": "claude-sonnet-5-5", "input_tokens": 1000}
    row |= {"cache_read_tokens": 999_000, "output_tokens": 500}
    table = steps(row | {"ended_at": instant("2026-10-06T23:59:59Z")})
    assert f"{price_steps(table, BOOK)['cost_usd'][0].as_py().normalize():f}" == "0.2068"
