"""The bundled rate cards: what is released stays, and every known name means one thing."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from agentcost_collector.price import bundled_rate_cards, load_rate_book, price_steps
from tests.cards.pin import CARDS, PINS, released
from tests.price.acme import steps

FIXTURES = Path(__file__).parent.parent / "fixtures"
VECTORS = Path(__file__).parent.parent / "golden" / "pricing_vectors.json"
instant = datetime.fromisoformat
BOOK = load_rate_book([bundled_rate_cards()])


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
    """Every model name that a card, a recording or a golden vector mentions."""
    names = {n for o in BOOK.offers if o.match.model for n in o.match.model.equals}
    names |= {name for _, name in models_of(FIXTURES)}
    names |= {v["model"] for v in json.loads(VECTORS.read_text())["vectors"]}
    dated = {f"{n}{tail}" for n in names for tail in ("-2026-01-01", "-20260101", "@20260101")}
    return names | dated


def test_no_name_means_two_skus() -> None:
    """No known model name matches two SKUs of one provider and kind of step, not even one by name
    and one by regex."""
    for name in known_names():
        sellers: dict[tuple[str, str], str] = {}
        for offer in BOOK.offers:
            models = offer.match.model
            if models is None or not (
                name.lower() in {n.lower() for n in models.equals}
                or any(re.fullmatch(p, name, re.IGNORECASE) for p in models.regex)
            ):
                continue
            for provider in offer.match.provider or ():
                for kind in offer.step_kinds:
                    other = sellers.setdefault((provider, kind), offer.sku.sku)
                    assert other == offer.sku.sku, f"{name}: {other} and {offer.sku.sku}"


@pytest.mark.parametrize(("provider", "model"), sorted(models_of(FIXTURES)))
def test_recorded_models_have_prices(provider: str, model: str) -> None:
    """Every model of the public recordings, by its requested and its served name, is priced."""
    embeds = "embedding" in model
    row = {"provider": provider, "model": model, "input_tokens": 10, "cache_read_tokens": 5}
    row |= {"kind": "embedding", "cache_read_tokens": None} if embeds else {"output_tokens": 3}
    charge = price_steps(steps(row), BOOK).to_pylist()[0]
    assert (charge["cost_status"], charge["cost_reason"]) == ("priced", None)


def test_released_prices_stay() -> None:
    """What was released is still said, word for word; what is new has been pinned."""
    pins, now = json.loads(PINS.read_text()), released()
    edited = sorted(name for name in pins if now.get(name) != pins[name])
    assert not edited, f"released prices were edited or removed; append a dated price: {edited}"
    new = sorted(now.keys() - pins.keys())
    assert not new, f"pin what is new (python -m tests.cards.pin): {new}"


def test_an_edit_is_noticed_and_an_append_is_not(tmp_path: Path) -> None:
    """The pins tell an edited amount, date or unit from a price that was appended."""
    path = tmp_path / "mistral.yaml"
    text = (CARDS / "mistral.yaml").read_text()
    path.write_text(text)
    before = released(tmp_path)
    for old, new in (('"2"', '"2.01"'), ("2024-11-18", "2024-11-19"), ("per: 1000000", "per: 1")):
        path.write_text(text.replace(old, new, 1))
        after = released(tmp_path)
        assert any(after.get(name) != digest for name, digest in before.items()), old
    card = yaml.safe_load(text)
    price = {"from": "2027-01-01T00:00:00Z", "amount": "3", "src": "g"}
    card["skus"][0]["lines"][0]["prices"].append(price)
    path.write_text(yaml.safe_dump(card))
    after = released(tmp_path)
    assert len(after) == len(before) + 1
    assert all(after[name] == digest for name, digest in before.items())


def test_cards_say_where_from() -> None:
    """A card is named after its issuer, and each of its sources is used and is a web address."""
    for path in CARDS.glob("*.yaml"):
        card = yaml.safe_load(path.read_text())
        assert path.stem == card["issuer"]
        assert card["card_id"] == f"list/{card['issuer']}"
        used = set(re.findall(r"src: (\w+)", path.read_text()))
        assert used == card["sources"].keys()
        assert all(s["url"].startswith("https://") for s in card["sources"].values())


def test_price_change_days() -> None:
    """Known changes, on both sides: o3, Opus 4.6 long prompts, GPT-5.6, Sonnet 5.5, Large 4."""
    cases = {
        ("openai", "o3", "2025-06-09T23:59:59Z"): "0.00005",
        ("openai", "o3", "2025-06-10T00:00:00Z"): "0.00001",
        ("openai", "gpt-5.6-terra", "2026-07-29T23:59:59Z"): "0.0000175",
        ("openai", "gpt-5.6-terra", "2026-07-30T00:00:00Z"): "0.000014",
        ("mistral", "mistral-large-4", "2026-10-19T23:59:59Z"): "0.00000277",
        ("mistral", "mistral-large-4", "2026-10-20T00:00:00Z"): "0.00000554",
        ("mistral", "mistral-large-4", "2026-10-29T00:00:00Z"): "0.0000028",
        ("google", "gemini-4-argon", "2026-11-30T23:59:59Z"): "0.000012",
        ("google", "gemini-4-argon", "2026-12-01T00:00:00Z"): "0.000024",
    }
    for (provider, model, at), cost in cases.items():
        row = {"provider": provider, "model": model, "input_tokens": 1, "output_tokens": 1}
        charge = price_steps(steps(row | {"ended_at": instant(at)}), BOOK).to_pylist()[0]
        assert f"{charge['cost_usd'].normalize():f}" == cost, (model, at)
    # ANT-08: cache reads of Sonnet 5.5 before the cut of 2026-10-07
    row = {"provider": "anthropic", "model": "claude-sonnet-5-5", "input_tokens": 1000}
    row |= {"cache_read_tokens": 999_000, "output_tokens": 500}
    table = steps(row | {"ended_at": instant("2026-10-06T23:59:59Z")})
    assert f"{price_steps(table, BOOK)['cost_usd'][0].as_py().normalize():f}" == "0.2068"
