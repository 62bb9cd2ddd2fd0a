"""The sample rules of Prometheus are valid, and raise their alerts when they should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from tests.support.recordings import ROOT

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "alerts.yaml"
CASES = Path(__file__).with_name("alert_cases.yaml")


def _promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sample_files_are_valid(tmp_path: Path) -> None:
    """promtool finds no fault in the rules, nor in the configuration that loads them."""
    count = len(_rules())
    assert f"{count} rules found" in _promtool("check", "rules", RULES)
    assert f"{count} rules found" in _promtool("check", "config", DEPLOY / "prometheus.yaml")


def test_every_rule_is_raised_by_its_cause_and_by_nothing_else(tmp_path: Path) -> None:
    """promtool plays metrics through the rules: each alert comes in its own case, none where all
    is well, and a rule without a case fails."""
    shutil.copy(RULES, tmp_path)
    shutil.copy(CASES, tmp_path)
    _promtool("test", "rules", tmp_path / CASES.name)
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    raised, quiet = set(), set()
    for test in cases["tests"]:
        for case in test["alert_rule_test"]:
            (raised if case.get("exp_alerts") else quiet).add(case["alertname"])
    assert raised == quiet == _rules()


def _rules() -> set[str]:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
