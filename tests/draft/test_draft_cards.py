"""Drafts from a foreign list: what is taken, what is left out, and that no row of ours is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices.types import (
    ClauseContains,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from agentcost_collector.draft import Draft, Origin, draft_cards, offered_skus
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.read import read_card
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, sku, steps

TODAY = datetime(2026, 11, 22, tzinfo=UTC)
ORIGIN = Origin("https://example.com/list", "genai-prices@9.9.9", TODAY)
OURS = sku(
    "one",
    "{id: input, kind: token.input, per: 1000000, prices: [{from: 2026-01-01T00:00:00Z, amount:"
    ' "2", src: g}]}  # ours',
    "{id: output, kind: token.output, per: 1000000, prices: [{from: 2026-01-01T00:00:00Z, amount:"
    ' "8", src: s}]}',
)
G = (
    '  g: {url: "https://example.com", retrieved: 2026-01-01T00:00:00Z,'
    " method: genai-prices@9.9.8}\n"
)


def model(name: str, prices: object, match: object = None, **more: object) -> ModelInfo:
    return ModelInfo(id=name, match=match or ClauseEquals(name), prices=prices, **more)  # type: ignore[arg-type]


def money(**amounts: str) -> ModelPrice:
    return ModelPrice(**{key: Decimal(text) for key, text in amounts.items()})


def drafted(tmp_path: Path, *models: ModelInfo, ours: str = OURS) -> Draft:
    """The draft for our card with SKU acme/one, read back to be sure that it is one."""
    folder = card_file(tmp_path / "ours", ours)
    path = folder / "acme.yaml"
    path.write_text(path.read_text().replace("sources:\n", f"sources:\n{G}"))
    provider = Provider(id="acme", name="Acme", api_pattern="x", models=list(models))
    offered = list(offered_skus(provider, lambda _model, _key: TODAY))
    draft = draft_cards("acme", offered, read_card(path), ORIGIN)
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "acme.yaml").write_text(draft.after)
    read_card(tmp_path / "draft" / "acme.yaml")
    return draft


def cost(tmp_path: Path, at: str, **row: object) -> str:
    """What a call costs by the draft."""
    told = {"provider": "acme", "model": "one", "ended_at": datetime.fromisoformat(at), **row}
    charge = price_steps(steps(told), load_rate_book([tmp_path / "draft"])).to_pylist()[0]
    found = charge["cost_usd"]
    return f"{found.normalize():f}" if found is not None else charge["cost_reason"]


def test_nothing_new_changes_nothing(tmp_path: Path) -> None:
    """A list that says what we say leaves the card as it is, byte for byte."""
    draft = drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="8.0")))
    assert draft.after == draft.before
    assert draft.changes == ()


def test_new_price_is_appended_with_its_day(tmp_path: Path) -> None:
    """A changed price counts from the day it was seen; the earlier one and the remark stay."""
    draft = drafted(tmp_path, model("one", money(input_mtok="3", output_mtok="8")))
    assert [(c.what, c.line, c.jump) for c in draft.changes] == [("changed", "input", False)]
    assert set(draft.before.splitlines()) - set(draft.after.splitlines()) == {
        row for row in draft.before.splitlines() if "# ours" in row
    }
    assert "# ours" in draft.after
    assert cost(tmp_path, "2026-11-21T23:59:59Z", input_tokens=10**6) == "2"
    assert cost(tmp_path, "2026-11-22T00:00:00Z", input_tokens=10**6) == "3"


def test_jump_is_marked(tmp_path: Path) -> None:
    """A price that more than doubles, or falls below half, is marked."""
    draft = drafted(tmp_path, model("one", money(input_mtok="0.99", output_mtok="8")))
    assert [c.jump for c in draft.changes] == [True]


def test_ours_from_elsewhere_is_kept(tmp_path: Path) -> None:
    """A line of ours that came from another source is not touched."""
    draft = drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="9")))
    assert [(c.what, c.line) for c in draft.changes] == [("kept", "output")]
    assert draft.after == draft.before


def test_list_that_lags_changes_nothing(tmp_path: Path) -> None:
    """A list that still says what held before our newest price does not bring it back."""
    newer = OURS.replace(
        'amount: "2", src: g}',
        'amount: "2", src: g}, {from: 2026-06-01T00:00:00Z, amount: "4", src: g}',
    ).replace(' "2", src: g}]', ' "2", src: g}, {from: 2026-06-01T00:00:00Z, amount: "4", src: g}]')
    draft = drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="8")), ours=newer)
    assert [c.what for c in draft.changes] == ["past"]
    assert draft.after == draft.before


def test_new_model(tmp_path: Path) -> None:
    """Dates, tiers and contexts of a new model become dated prices, bands and lines."""
    tiers = TieredPrices(base=Decimal(1), tiers=[Tier(start=200_000, price=Decimal(2))])
    dated = [
        ConditionalPrice(constraint=None, prices=money(input_mtok="9")),
        ConditionalPrice(
            constraint=StartDateConstraint(start_date=date(2026, 3, 1)),
            prices=ModelPrice(input_mtok=tiers, output_mtok=Decimal(5)),
        ),
    ]
    batch = PriceVariant(
        when={"processing": "batch"},
        prices=ModelPrice(input_mtok=Decimal("0.5")),
        constraint=StartDateConstraint(start_date=date(2026, 4, 1)),
    )
    listed = model("two", dated, price_variants=[batch])
    draft = drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="8")), listed)
    assert {c.what for c in draft.changes} == {"new", "left out"}
    two = {"model": "two", "output_tokens": 0}
    for at, tokens, tier, expected in (
        ("2026-02-28T23:59:59Z", 10**5, None, "before_history"),
        ("2026-03-01T00:00:00Z", 200_000, None, "0.2"),
        ("2026-03-01T00:00:00Z", 200_001, None, "0.400002"),
        ("2026-04-01T00:00:00Z", 10**5, "batch", "0.05"),
        ("2026-04-01T00:00:00Z", 200_001, "batch", "no_line"),
    ):
        row = {**two, "input_tokens": tokens, "service_tier": tier}
        assert cost(tmp_path, at, **row) == expected, (at, tokens, tier)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (model("x", money(input_mtok="1"), ClauseContains("x")), "by a part of them"),
        (
            model("x", money(input_mtok="1"), price_comments="Imported from OpenRouter pricing"),
            "copied from another seller",
        ),
        (model("x", ModelPrice(input_text_messages_kcount=Decimal(4))), "price key"),
    ],
)
def test_left_out_with_a_reason(tmp_path: Path, listed: ModelInfo, why: str) -> None:
    """What a list only guesses, or we cannot count, is named and not drafted."""
    draft = drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="8")), listed)
    assert any(c.what == "left out" and why in c.theirs for c in draft.changes)
    assert "contains" not in draft.after


def test_prefix_means_dated_names_only(tmp_path: Path) -> None:
    """A prefix of the list answers to the name and its dated versions, to nothing longer."""
    listed = model(
        "two", money(input_mtok="1"), ClauseOr(or_=[ClauseStartsWith("two"), ClauseEquals("zwei")])
    )
    drafted(tmp_path, model("one", money(input_mtok="2", output_mtok="8")), listed)
    for name, expected in (
        ("two", "1"),
        ("two-2026-05-01", "1"),
        ("two-preview", "1"),
        ("zwei", "1"),
        ("two-mini", "no_sku"),
        ("twofold", "no_sku"),
    ):
        told = cost(tmp_path, "2026-11-23T00:00:00Z", model=name, input_tokens=10**6)
        assert told == expected, name
