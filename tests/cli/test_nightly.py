"""`agentcost nightly`: every step, what fails alone, and a night that is cut short anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import openpyxl
import pytest

from tests.check.recorded import CARDS, record
from tests.cli.command import COMMAND, agentcost, environment, refusal

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
YESTERDAY = NOON - timedelta(days=1)
MONTH = f"{YESTERDAY:%Y-%m}"


@pytest.fixture
def data(tmp_path):
    """Yesterday $0.009 of search and $0.003 of chat."""
    start_ns = int(YESTERDAY.timestamp()) * 10**9
    recording = record(tmp_path / "runs.json", {"search": 3, "chat": 1}, start_ns=start_ns)
    done = agentcost("replay", recording, "--data", tmp_path / "data", "--rate-cards", CARDS)
    assert done.returncode == 0, done.stderr
    return tmp_path / "data"


def budgets(data, cap):
    path = data.parent / "budgets.yaml"
    path.write_text(
        "schema: agentcost.budgets/v1\nbudgets:\n"
        f'  - {{name: s, owner: o, feature: search, period: year, usd: "{cap}"}}\n'
    )
    return {"AGENTCOST_BUDGETS": str(path)}


def night(data, **more):
    done = agentcost("nightly", "--data", data, "--format", "json", **more)
    return done, {step["name"]: step for step in json.loads(done.stdout)["steps"]}


def test_a_night(data):
    """All steps, in their order; reports of the month of yesterday; the summary as a file too."""
    done, steps = night(data, **budgets(data, "0.009"))
    assert done.returncode == 0, done.stderr
    assert list(steps) == ["rollup", "budgets", "variance", "reports", "alerts", "compaction"]
    assert {step["status"] for step in steps.values()} == {"done"}
    folder = data / "reports" / MONTH
    assert json.loads((folder / "summary.json").read_text()) == json.loads(done.stdout)
    (status,) = json.loads((folder / "budgets.json").read_text())
    assert status["spent"] == "0.009000000000"
    totals = {
        row["name"]: row["actual_usd"]
        for row in json.loads((folder / "variance-feature.json").read_text())
    }
    assert totals == {
        "search": "0.009000000000",
        "chat": "0.003000000000",
        "total": "0.012000000000",
    }
    assert openpyxl.load_workbook(folder / "showback.xlsx").sheetnames
    assert "<html" in (folder / "chargeback.html").read_text()


def test_a_passed_cap_is_an_exit_code(data):
    """1, with the budget's name, and everything else is done."""
    done, steps = night(data, **budgets(data, "0.008"))
    assert done.returncode == 1
    assert steps["budgets"]["status"] == "cap_passed"
    assert "over their caps: s" in done.stderr
    assert steps["compaction"]["status"] == "done"


def test_what_fails_does_not_stop_the_rest(data):
    """A door that nobody opens: the alert stays to be sent, the rest is done; exit code 1."""
    more = budgets(data, "0.008") | {"AGENTCOST_ALERTS__ALERTMANAGER": "http://127.0.0.1:9"}
    done, steps = night(data, **more)
    assert done.returncode == 1
    assert steps["alerts"]["status"] == "failed"
    assert steps["alerts"]["facts"]["new"] >= 1
    assert (steps["reports"]["status"], steps["compaction"]["status"]) == ("done", "done")
    _, again = night(data, **more)
    assert again["alerts"]["facts"]["new"] == 0


def test_without_budgets_they_are_left_out(data):
    """And that is no fault."""
    done, steps = night(data)
    assert (done.returncode, steps["budgets"]["status"]) == (0, "left_out")


def results(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".json", ".csv", ".html") and path.name != "summary.json"
    }


@pytest.mark.slow
@pytest.mark.parametrize("after", ["variance-team.csv", "chargeback.html", "unattributed.json"])
def test_killed_anywhere_it_is_run_again(data, after):
    """kill -9 as soon as a file is there; the second run ends as one that was never killed."""
    whole = data.parent / "whole"
    shutil.copytree(data, whole)
    more = budgets(data, "0.009")
    assert agentcost("nightly", "--data", whole, **more).returncode == 0
    folder = data / "reports" / MONTH
    process = subprocess.Popen(
        [*COMMAND, "nightly", "--data", str(data)],
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (folder / after).exists() and process.poll() is None:
        pass
    process.kill()
    process.wait()
    assert (folder / after).exists()
    assert not (folder / "summary.json").exists()
    done = agentcost("nightly", "--data", data, **more)
    assert done.returncode == 0, done.stderr
    assert results(folder) == results(whole / "reports" / MONTH)


def test_wrong_settings_are_told_before_anything_is_done(data):
    """One sentence, exit code 2, no folder."""
    assert "not a period" in refusal("nightly", "--data", data, "--period", "soon")
    broken = {"AGENTCOST_BUDGETS": str(data / "none.yaml")}
    assert "cannot be read" in refusal("nightly", "--data", data, **broken)
    assert not (data / "reports").exists()
