"""`agentcost nightly`: every step, what fails alone, and a night that is cut short anywhere."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from random import Random

import openpyxl
import pytest

from agentcost_collector.alert.record import Record
from agentcost_collector.report.views import open_views
from tests.alert.doors import inbox
from tests.check.recorded import CARDS, record
from tests.cli.command import agentcost, refusal
from tests.cli.dying import Mortals

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
YESTERDAY = NOON - timedelta(days=1)
MONTH = f"{YESTERDAY:%Y-%m}"
KILLS = 5


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


def published(data):
    """Reports, what was raised, and what the ledger says: all that a night leaves."""
    folder = data / "reports" / MONTH
    files = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in (".json", ".csv", ".html") and path.name != "summary.json"
    }
    books = {
        path.name: [
            [c.value for c in row] for sheet in openpyxl.load_workbook(path) for row in sheet
        ]
        for path in folder.glob("[!.]*.xlsx")
    }
    record = Record(data)
    record.refresh()
    with open_views(data) as connection:
        days = sorted(map(repr, connection.sql("FROM days").to_arrow_table().to_pylist()))
        entries = sorted(map(repr, connection.sql("FROM ledger").to_arrow_table().to_pylist()))
    raised = [(raised.number, raised.alert) for raised in record.raised]
    return files, books, raised, days, entries


@pytest.fixture
def uncompacted(data):
    """With several files of the day before yesterday, which compaction merges."""
    start_ns = int((YESTERDAY - timedelta(days=2)).timestamp()) * 10**9
    for number in range(4):
        path = data.parent / f"more{number}.json"
        recording = record(path, {"search": 1}, start_ns=start_ns + number * 10**9)
        done = agentcost("replay", recording, "--data", data, "--rate-cards", CARDS)
        assert done.returncode == 0, done.stderr
    return data


@pytest.mark.slow
def test_killed_anywhere_it_is_run_again(uncompacted, tmp_path):
    """kill -9 before some change of a file, drawn from all of them; the second run ends as one that
    was never killed: files, workbooks, alerts, cubes and entries."""
    more = budgets(uncompacted, "0.008")
    with inbox() as manager, Mortals() as mortals:
        more |= {"AGENTCOST_ALERTS__ALERTMANAGER": f"http://{manager.address}"}

        def night_of(name, dies_at=0):
            data = tmp_path / name
            if not data.exists():
                shutil.copytree(uncompacted, data)
            at = {"folder": data, "dies_at": dies_at, **more}
            return data, *mortals.run("nightly", "--data", data, **at)

        whole, code, changes = night_of("whole")
        assert (code, changes > 60) == (1, True)
        wanted = published(whole)
        random = Random(7)
        for dies_at in (1, changes, *random.sample(range(2, changes), KILLS - 2)):
            data, code, _ = night_of(str(dies_at), dies_at)
            assert code == -9, f"change {dies_at} of {changes} was not reached"
            _, code, _ = night_of(str(dies_at))
            assert code == 1
            assert published(data) == wanted, f"killed at change {dies_at} of {changes}"
            assert agentcost("verify", "--data", data).returncode == 0
            shutil.rmtree(data)


def test_what_a_killed_night_left_goes(data):
    """A half-written report of an hour ago is removed by the next night, a fresh one is left to
    whoever writes it."""
    folder = data / "reports" / MONTH
    folder.mkdir(parents=True)
    old, fresh = folder / ".showback.html.77", folder / ".showback.html.78"
    for path in (old, fresh):
        path.write_text("<html")
    hour_ago = time.time() - 3601
    os.utime(old, (hour_ago, hour_ago))
    night(data)
    assert [path.name for path in folder.glob(".*")] == [fresh.name]


def test_wrong_settings_are_told_before_anything_is_done(data):
    """One sentence, exit code 2, no folder."""
    assert "not a period" in refusal("nightly", "--data", data, "--period", "soon")
    broken = {"AGENTCOST_BUDGETS": str(data / "none.yaml")}
    assert "cannot be read" in refusal("nightly", "--data", data, **broken)
    assert not (data / "reports").exists()
