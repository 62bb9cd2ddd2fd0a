"""`agentcost rates check`, `import` and `diff`."""

from __future__ import annotations

import json
import shutil
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.command import FIXTURES, agentcost, refusal
from tests.price.acme import card_file, sku

BUNDLED = Path(__file__).parents[2] / "rate_cards"
PRICE = (
    '{{id: {0}, kind: token.{0}, prices: [{{from: 2026-01-01T00:00:00Z, amount: "{1}", src: s}}]}}'
)
GOOD = sku("m", PRICE.format("input", "2"))


def test_sound_cards_pass(tmp_path: Path) -> None:
    """A folder without faults: exit code 0, and how much of it is not released."""
    done = agentcost("rates", "check", card_file(tmp_path, GOOD))
    assert (done.returncode, done.stderr) == (0, "")
    assert "not released yet: 2" in done.stdout


@pytest.mark.parametrize(
    ("skus", "said"),
    [
        (GOOD.replace('"2"', "2.5"), "acme.yaml:12: 2.5 is a floating point number"),
        (GOOD.replace("src: s}", "src: s, src: s}"), "acme.yaml:12: key 'src' is given twice"),
        (GOOD + GOOD, "acme.yaml:13: sku 'acme/m' is also at"),
        (
            GOOD.replace("amount", "to: 2026-02-01T00:00:00Z, amount").replace(
                "src: s}]", 'src: s}, {from: 2026-03-01T00:00:00Z, amount: "3", src: s}]'
            ),
            "acme.yaml:12: line 'input' of 'acme/m' has no price from 2026-02-01",
        ),
        (
            GOOD
            + sku(
                "n",
                PRICE.format("input", "2"),
                match="provider: [acme], operation: [chat], model: {regex: ['^m(-\\d{8})?$']}",
            ),
            "model 'm' matches 'acme/n' and 'acme/m'",
        ),
    ],
)
def test_faults_are_named(tmp_path: Path, skus: str, said: str) -> None:
    """Floats, keys and SKUs given twice, gaps, and names of two SKUs: with file and line."""
    assert said in refusal("rates", "check", card_file(tmp_path, skus))


def test_edit_of_a_released_line(tmp_path: Path) -> None:
    """--release notes what is there; an edit is then a fault, an appended price is none."""
    folder = card_file(tmp_path, GOOD)
    assert agentcost("rates", "check", folder, "--release").stdout == "released: 2\n"
    path = folder / "acme.yaml"
    text = path.read_text()
    path.write_text(text.replace('amount: "2"', 'amount: "2.1"'))
    assert "acme.yaml:12: acme/m input 2026-01-01" in refusal("rates", "check", folder)
    more = 'src: s}, {from: 2026-03-01T00:00:00Z, amount: "3", src: s}]'
    path.write_text(text.replace("src: s}]", more))
    done = agentcost("rates", "check", folder)
    assert (done.returncode, done.stderr) == (0, "")
    path.write_text(text.replace("id: input", "id: in"))
    assert "was released and is gone" in agentcost("rates", "check", folder).stderr


def test_import_writes_drafts_only(tmp_path: Path) -> None:
    """A draft is a whole card with the differences appended; the cards in use stay as they are."""
    cards = tmp_path / "cards"
    cards.mkdir()
    own = (BUNDLED / "cohere.yaml").read_text().replace("command-light", "another")
    own = own.replace('amount: "0.5"', 'amount: "0.4"')
    (cards / "cohere.yaml").write_text(own)
    arguments = ("rates", "import", "genai-prices", "--provider", "cohere", "--rate-cards", cards)
    shown = agentcost(*arguments)
    assert shown.returncode == 0
    assert "new       cohere/command-light input" in shown.stdout
    assert "changed   cohere/c4ai-aya-expanse-8b input  0.4 from 20" in shown.stdout
    assert "+  - sku: cohere/command-light" in shown.stdout
    done = agentcost(*arguments, "--output", tmp_path / "draft")
    draft = (tmp_path / "draft" / "cohere.yaml").read_text()
    assert f"wrote {tmp_path}/draft/cohere.yaml" in done.stdout
    assert (cards / "cohere.yaml").read_text() == own
    assert 'amount: "0.4", src: g}, {from:' in draft
    assert agentcost("rates", "check", tmp_path / "draft").returncode == 0
    assert "is the card in use" in agentcost(*arguments, "--output", cards).stderr


def test_import_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown list or provider, and a package that is not installed, are told in a sentence."""
    assert "is no price list" in refusal("rates", "import", "other")
    unknown = refusal("rates", "import", "genai-prices", "--provider", "acme")
    assert "has no provider 'acme'" in unknown
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert "agentcost-collector[import]" in refusal("rates", "import", "genai-prices")


def test_diff_is_what_a_replay_would_have_cost_more(tmp_path: Path) -> None:
    """The total is the exact difference of two ledgers, each filled with one set of cards; steps
    that no price changes are not in the way."""
    new = Path(shutil.copytree(BUNDLED, tmp_path / "new"))
    for name in ("openai", "anthropic"):
        text = (new / f"{name}.yaml").read_text()
        (new / f"{name}.yaml").write_text(text.replace('amount: "', 'amount: "7'))
    totals = []
    for data, more in ((tmp_path / "a", ()), (tmp_path / "b", ("--rate-cards", new))):
        recordings = [FIXTURES / n for n in ("pydantic_ai_delegation", "oinf_llamaindex")]
        assert agentcost("replay", *recordings, "--data", data, *more).returncode == 0
        query = "SELECT sum(cost_usd) AS total FROM ledger"
        done = agentcost("sql", query, "--data", data, "--format", "json")
        totals.append(Decimal(json.loads(done.stdout)[0]["total"]))
    shown = agentcost("rates", "diff", BUNDLED, new, "--data", tmp_path / "a", "--format", "json")
    *groups, total = json.loads(shown.stdout)
    assert totals[1] > totals[0] > 0
    assert (Decimal(total["old_usd"]), Decimal(total["new_usd"])) == tuple(totals)
    assert Decimal(total["change_usd"]) == totals[1] - totals[0]
    assert sum(Decimal(group["change_usd"]) for group in groups) == totals[1] - totals[0]
    assert all(group["change_usd"] != "0" or group["unpriced_old"] for group in groups)
    same = agentcost(
        "rates", "diff", BUNDLED, BUNDLED, "--data", tmp_path / "b", "--format", "json"
    )
    assert Decimal(json.loads(same.stdout)[-1]["change_usd"]) == 0
