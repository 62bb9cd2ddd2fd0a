"""The fixture `agentcost` in a user's own tests: pytest is run on them as the user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.check.recorded import CARDS, record
from tests.cli.command import environment

HEAD = f"""
from decimal import Decimal
from pathlib import Path
import pytest
CARDS = [Path({str(CARDS)!r})]
"""


@pytest.fixture
def project(tmp_path):
    """A folder with recordings: one run of 3 calls ($0.009), of which search pays 2 and chat 1."""
    record(tmp_path / "runs.json", {"search": 2, "chat": 1})
    record(tmp_path / "new.json", {"search": 1}, model="new-model")
    return tmp_path


def run(project: Path, test: str, *options: str) -> str:
    (project / "test_user.py").write_text(HEAD + test)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "."]
    done = subprocess.run(
        command, cwd=project, env=environment(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_costs_can_be_asserted(project):
    """In all, by feature, model and tool; exact."""
    test = """
def test_it(agentcost):
    cost = agentcost.cost_of("runs.json", rate_cards=CARDS)
    assert cost.usd == Decimal("0.009")
    assert (cost.total.runs, cost.total.steps, cost.total.tokens) == (1, 3, 3300)
    assert cost.by_feature["search"].usd == Decimal("0.006")
    assert cost.by_model["own-model"].steps == 3
    agentcost.check("runs.json", rate_cards=CARDS, max_usd="0.009", max_unattributed=0,
                    max_usd_per_run={"search": "0.006", "chat": Decimal("0.003")})
"""
    assert "1 passed" in run(project, test)


def test_what_costs_too_much_fails_with_the_reason(project):
    """The message of the assertion names run, feature, figures and the dearest parts."""
    test = """
def test_it(agentcost):
    agentcost.check("runs.json", rate_cards=CARDS, max_usd_per_run={"search": "0.005"})
"""
    said = run(project, test)
    assert "1 failed" in said
    assert f"search: run {1:032x}: $0.006, $0.005 allowed (dearest: own-model x 2 $0.006)" in said


def test_no_sum_where_a_price_is_missing(project):
    """Then nobody knows what it cost: the assertion fails instead of comparing a part."""
    test = """
def test_it(agentcost):
    cost = agentcost.cost_of("new.json", rate_cards=CARDS)
    assert cost.by_feature["search"].priced_usd is None
    assert cost.usd < 1
"""
    assert "AssertionError: 1 of 1 steps have no full price" in run(project, test)


def test_inexact_and_missing_limits_are_refused(project):
    """A float, and a check of nothing."""
    test = """
def test_it(agentcost):
    with pytest.raises(TypeError, match="not exact"):
        agentcost.check("runs.json", rate_cards=CARDS, max_usd=0.1)
    with pytest.raises(TypeError, match="nothing to check"):
        agentcost.check("runs.json", rate_cards=CARDS)
"""
    assert "1 passed" in run(project, test)


def test_a_pytest_that_does_not_use_it_does_not_pay_for_it(project):
    """None of the heavy packages is imported by having the plugin."""
    test = """
import sys
def test_it():
    assert not {"pyarrow", "duckdb", "numpy", "pydantic", "deltalake"} & sys.modules.keys()
"""
    assert "1 passed" in run(project, test)
