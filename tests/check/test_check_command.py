"""`agentcost check`: limits on recorded traces of known cost."""

from __future__ import annotations

import json

import pytest

from tests.check.recorded import CARDS, record
from tests.cli.command import FIXTURES, agentcost, refusal


def checked(*arguments):
    return agentcost("check", *arguments, "--rate-cards", CARDS)


@pytest.fixture
def recording(tmp_path):
    """Two runs: one of 3 calls ($0.009) of which search pays 2 and chat 1, one of 1 ($0.003)."""
    return record(tmp_path / "runs.json", {"search": 2, "chat": 1}, {"search": 1})


@pytest.mark.parametrize(
    "limit",
    [
        ("--max-usd", "0.012"),
        ("--max-usd-per-run", "0.009"),
        ("--max-usd-per-run", "search=0.006"),
        ("--max-usd-per-run", "chat=$0.003"),
        ("--max-steps-per-run", "3"),
        ("--max-tokens-per-run", "3300"),
        ("--max-unattributed", "0"),
    ],
)
def test_what_is_just_allowed_passes(recording, limit):
    """A limit is the most that is allowed, not the least that is not."""
    done = checked(recording, *limit)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("2 runs, 4 steps, $0.012: passed\n")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-usd", "0.011999999999"), "all runs: $0.012, $0.011999999999 allowed"),
        (("--max-usd-per-run", "0.008"), f"run {1:032x}: $0.009, $0.008 allowed"),
        (("--max-usd-per-run", "search=0.005"), f"search: run {1:032x}: $0.006, $0.005 allowed"),
        (("--max-steps-per-run", "2"), f"run {1:032x}: 3 steps, 2 steps allowed"),
        (("--max-tokens-per-run", "chat=1099"), "1100 tokens, 1099 tokens allowed"),
        (("--max-usd-per-run", "serch=1"), "paid by this feature; recorded: chat, search"),
    ],
)
def test_what_is_more_fails(recording, limit, said):
    """Exit code 1, and which run is over which limit by what."""
    done = checked(recording, *limit)
    assert done.returncode == 1
    assert said in done.stdout
    assert done.stdout.endswith("2 runs, 4 steps, $0.012: failed\n")


def test_the_dearest_parts_are_named(recording):
    """So that one knows where to look."""
    done = checked(recording, "--max-usd-per-run", "search=0.001")
    assert "(dearest: own-model x 2 $0.006)" in done.stdout


def test_a_run_across_traces_is_one_run(tmp_path):
    """Recordings of the same run in two files add up."""
    record(tmp_path / "runs.json", {"search": 1}, {"search": 1})
    text = (tmp_path / "runs.json").read_text()
    parent = '{"key": "agentcost.parent_run_id", "value": {"stringValue": "r1"}}, '
    (tmp_path / "runs.json").write_text(text.replace('"attributes": [', f'"attributes": [{parent}'))
    done = checked(tmp_path, "--max-usd-per-run", "0.003")
    assert "run r1: $0.006, $0.003 allowed" in done.stdout


def test_money_that_no_feature_pays(tmp_path):
    """One of four calls has no feature: 25 percent."""
    recording = record(tmp_path / "runs.json", {"search": 3, None: 1})
    assert checked(recording, "--max-unattributed", "25%").returncode == 0
    done = checked(recording, "--max-unattributed", "24.9%")
    assert done.returncode == 1
    assert "$0.003 of $0.012 is paid by no feature, over 24.9 percent" in done.stdout


def test_a_step_without_price_proves_nothing(tmp_path):
    """Where dollars are limited it fails, unless that is allowed; counts can be checked."""
    recording = record(tmp_path / "runs.json", {"search": 1}, model="new-model")
    done = checked(recording, "--max-usd", "1")
    assert done.returncode == 1
    assert "1 of 1 steps have no full price: new-model" in done.stdout
    assert "1 step, 1 of them unpriced, unknown: failed" in done.stdout
    assert checked(recording, "--max-usd", "1", "--allow-unpriced").returncode == 0
    assert checked(recording, "--max-steps-per-run", "1").returncode == 0


def test_a_recording_that_is_cut_fails(tmp_path):
    """What is left of it is checked and shown; that something is missing is said."""
    (recorded,) = (FIXTURES / "openlit").glob("*.otlp.bin")
    (tmp_path / "cut.otlp.bin").write_bytes(recorded.read_bytes()[:-10])
    done = checked(tmp_path, "--max-usd", "1")
    assert done.returncode == 1
    assert "cut.otlp.bin" in done.stdout


def test_nothing_billable_fails(tmp_path):
    """A test that records nothing any more does not pass unnoticed."""
    done = checked(record(tmp_path / "none.json"), "--max-usd", "1")
    assert done.returncode == 1
    assert "the recordings hold no billable step" in done.stdout


def test_json_holds_everything_exact(recording):
    """Findings and costs for programs; money as text with all digits."""
    done = checked(recording, "--max-usd-per-run", "0.004", "--format", "json")
    facts = json.loads(done.stdout)
    assert facts["passed"] is False
    (finding,) = facts["findings"]
    assert finding["actual"] == "0.009000000000"
    assert finding["most"] == "0.004"
    assert finding["drivers"] == [{"what": "own-model", "calls": 3, "usd": "0.009000000000"}]
    total, *parts = facts["costs"]
    assert (total["runs"], total["steps"], total["cost_usd"]) == (2, 4, "0.012000000000")
    features = {row["name"]: row["cost_usd"] for row in parts if row["dimension"] == "feature"}
    assert features == {"search": "0.009000000000", "chat": "0.003000000000"}


def test_markdown_shows_names_as_they_are(tmp_path):
    """A feature with markup in its name makes no link, image, mention or row of its own."""
    hostile = "[x](http://e.org) ![y](z) @all | <b>\n| more"
    recording = record(tmp_path / "runs.json", {hostile: 1})
    text = checked(recording, "--max-usd", "0", "--format", "markdown").stdout
    assert text.startswith("### Cost check: failed\n\n1 run, 1 step, $0.003.\n")
    for mark in ("[x]", "![", "@all", "<b>"):
        assert mark not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {9}


def test_the_users_ledger_stays_as_it_is(recording, tmp_path, monkeypatch):
    """Nothing is kept, whatever folder the settings name."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert checked(recording, "--max-usd", "1").returncode == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_usage(recording):
    """One sentence each."""
    assert "nothing to check; give a limit" in refusal("check", recording)
    assert "should be a number" in refusal("check", recording, "--max-usd", "much")
    assert "should be a number" in refusal("check", recording, "--max-usd-per-run", "a=-1")
    assert "should be a number" in refusal("check", recording, "--max-unattributed", "nan")
    assert "is for all recordings" in refusal("check", recording, "--max-usd", "search=1")
    assert "no such file" in refusal("check", "nowhere", "--max-usd", "1")
