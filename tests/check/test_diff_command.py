"""`agentcost diff`: two sets of recordings, cards or policies side by side."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.check.recorded import CARDS, record
from tests.cli.command import agentcost, refusal


def compared(*arguments):
    done = agentcost("diff", *arguments, "--rate-cards", CARDS, "--format", "json")
    rows = json.loads(done.stdout)
    return done, {(row["dimension"], row["name"]): row for row in rows}


@pytest.fixture
def base(tmp_path):
    """Two runs of 2 calls each, both of search: $0.012."""
    return record(tmp_path / "base.json", {"search": 2}, {"search": 2})


def test_two_sets_of_recordings(base, tmp_path):
    """One run of 3 calls of search and 1 of chat: more a run, though less in all would be wrong."""
    head = record(tmp_path / "head.json", {"search": 3, "chat": 1})
    done, rows = compared(base, head)
    assert done.returncode == 0
    total = rows["total", None]
    assert (total["runs_base"], total["runs_head"]) == (2, 1)
    assert (total["cost_usd_base"], total["cost_usd_head"]) == ("0.012000000000",) * 2
    assert total["change_usd"] == "0.000000000000"
    assert (total["usd_per_run_base"], total["usd_per_run_head"]) == (
        "0.006000000000",
        "0.012000000000",
    )
    assert total["change_percent"] == "100.0"
    search, chat = rows["feature", "search"], rows["feature", "chat"]
    assert (search["tokens_base"], search["tokens_head"]) == (4400, 3300)
    assert search["change_percent"] == "50.0"
    assert (chat["steps_base"], chat["usd_per_run_base"], chat["change_percent"]) == (0, None, None)
    assert rows["model", "own-model"]["steps_head"] == 4


def test_the_same_twice_is_no_change(base):
    """By recordings that are the same file."""
    done, rows = compared(base, base, "--max-increase", "0")
    assert done.returncode == 0
    assert {row["change_usd"] for row in rows.values()} == {"0.000000000000"}


@pytest.mark.parametrize(("allowed", "code"), [("100", 0), ("100%", 0), ("99.9", 1)])
def test_a_run_may_cost_so_much_more(base, tmp_path, allowed, code):
    """Of all, and of each feature: 100 percent and 50."""
    head = record(tmp_path / "head.json", {"search": 4})
    done, _ = compared(base, head, "--max-increase", allowed)
    assert done.returncode == code
    said = "agentcost: all: a run costs $0.012, more than 99.9 percent above $0.006"
    assert (said in done.stderr) == bool(code)


def test_two_sets_of_cards(base, tmp_path):
    """The same recordings where a million tokens in cost 3 dollars, not 2: $0.001 more a call."""
    dearer = tmp_path / "cards"
    dearer.mkdir()
    card = (CARDS / "own.yaml").read_text(encoding="utf-8")
    (dearer / "own.yaml").write_text(card.replace('amount: "2"', 'amount: "3"'), encoding="utf-8")
    _, rows = compared(base, "--head-rate-cards", dearer)
    assert Decimal(rows["total", None]["change_usd"]) == Decimal("0.004")
    assert rows["total", None]["change_percent"] == "33.3"


def test_two_policies(tmp_path):
    """What nobody pays without a policy is paid by a feature with one."""
    base = record(tmp_path / "base.json", {None: 2})
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "schema: agentcost.policy/v1\nrules:\n  - when: kind = 'llm'\n    set: {feature: find}\n"
    )
    done, rows = compared(base, "--head-policy", policy)
    assert done.returncode == 0, done.stderr
    assert rows["total", None]["change_usd"] == "0.000000000000"
    assert rows["feature", None]["change_usd"] == "-0.006000000000"
    assert rows["feature", "find"]["change_usd"] == "0.006000000000"


def test_a_change_to_what_has_no_price_does_not_pass(base, tmp_path):
    """A model without a price looks cheaper and is not known to be."""
    head = record(tmp_path / "head.json", {"search": 2}, model="new-model")
    done, _ = compared(base, head, "--max-increase", "10")
    assert done.returncode == 1
    assert "agentcost: HEAD: 2 steps have no full price" in done.stderr
    assert compared(base, head, "--max-increase", "10", "--allow-unpriced")[0].returncode == 0
    assert compared(base, head)[0].returncode == 0


def test_people_see_what_fits(base, tmp_path):
    """A table and Markdown leave columns out; CSV has them all."""
    head = record(tmp_path / "head.json", {"search": 3})
    run = ("diff", base, head, "--rate-cards", CARDS, "--format")
    assert "usd_per_run_head" in agentcost(*run, "table").stdout
    assert "runs_base" not in agentcost(*run, "markdown").stdout
    assert "runs_base" in agentcost(*run, "csv").stdout


def test_wrong_usage(base):
    """One sentence each."""
    assert "nothing to compare with" in refusal("diff", base)
    assert "no such file" in refusal("diff", base, "nowhere")
    assert "should be a number" in refusal("diff", base, base, "--max-increase", "x")
