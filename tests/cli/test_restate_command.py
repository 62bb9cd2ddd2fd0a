"""`agentcost restate`: what it prints, what it refuses, how it is interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

import pyarrow.compute as pc
import pytest

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from tests.cli.command import COMMAND, FIXTURES, agentcost, environment, parse_facts, refusal
from tests.end_to_end.waiting import until
from tests.support.cards import with_output_price
from tests.support.copies import copies
from tests.support.recordings import names, requests_of
from tests.support.trees import START_NS
from tests.support.walked import decode
from tests.test_restate import settle

SINCE = "2026-01-01"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording, replayed. Only to be copied."""
    data = tmp_path_factory.mktemp("replayed") / "data"
    assert agentcost("replay", FIXTURES / "crewai", "--data", data).returncode == 0
    return data


@pytest.fixture
def data(tmp_path: Path, replayed: Path) -> Path:
    """A copy of `replayed` that a test may write to."""
    return shutil.copytree(replayed, tmp_path / "data")


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """Output of gpt-4o-mini costs a tenth more since a day before the recordings."""
    return with_output_price(tmp_path / "cards", "0.66", "2026-01-01T00:00:00Z")


def test_a_dry_run_then_the_run_then_nothing(data, cards):
    """The same figures three ways; the money moved is the difference of the ledger's sums."""
    flags = ("--from", SINCE, "--data", data, "--rate-cards", cards)
    tried = agentcost("restate", *flags, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    facts = parse_facts(tried.stdout.partition("\n\n")[0])
    before = cost(data)
    done = json.loads(agentcost("restate", *flags, "--format", "json").stdout)
    assert (done["dry_run"], done["interrupted"]) == (False, False)
    assert int(facts["entries to write"]) == done["entries"] > 0
    assert Decimal(done["difference_usd"]) == cost(data) - before > 0
    assert Decimal(facts["difference"].removeprefix("$")) == Decimal(done["difference_usd"])
    moved = sum(Decimal(row["difference_usd"]) for row in done["moves"])
    assert moved == Decimal(done["difference_usd"])
    again = agentcost("restate", *flags)
    assert parse_facts(again.stdout)["entries written"] == "0"


def cost(data: Path) -> Decimal:
    done = agentcost(
        "sql", "SELECT sum(cost_usd) AS c FROM ledger", "--data", data, "--format=json"
    )
    return Decimal(json.loads(done.stdout)[0]["c"])


def test_csv_holds_what_was_moved(data, cards):
    """One header, one row per cause and payers."""
    done = agentcost(
        "restate", "--from", SINCE, "--data", data, "--rate-cards", cards, "--format", "csv"
    )
    header, *rows = done.stdout.splitlines()
    assert header.split(",")[0].strip('"') == "cause"
    assert all(row.startswith('"price",') for row in rows)
    assert rows


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--from", "yesterday"], "--from yesterday: should be a day (2026-11-01) or an instant"),
        (["--from", SINCE, "--to", "2026-02-30"], "--to 2026-02-30: should be a day"),
        (["--from", "2026-02-01", "--to", "2026-02-01T00:00+00:00"], "is not before"),
    ],
)
def test_dates_that_are_none(data, flags, said):
    """One sentence that names the option and shows how a date is written."""
    assert said in refusal("restate", *flags, "--data", data)


def test_dates_are_utc_days_and_instants(data):
    """A day begins at midnight UTC; an offset counts; the end is not in the period."""
    first = LedgerReader(data / "ledger").spans_of(trace_ids(data))["start_ns"]
    [second] = {start // 10**9 for start in [min(first.to_pylist())]}
    day = agentcost(
        "sql", f"SELECT to_timestamp({second})::DATE AS d", "--data", data, "--format=json"
    )
    date = json.loads(day.stdout)[0]["d"][:10]
    for since, traces in ((date, 1), (f"{date}T00:00:00Z", 1), (f"{date}T23:59:59-00:00", 0)):
        done = agentcost("restate", "--from", since, "--data", data, "--dry-run", "--format=json")
        assert json.loads(done.stdout)["traces"] == traces
    before = agentcost("restate", "--from", SINCE, "--to", date, "--data", data, "--dry-run")
    assert parse_facts(before.stdout)["traces"] == "0"


def trace_ids(data: Path) -> list[str]:
    done = agentcost("sql", "SELECT DISTINCT trace_id FROM spans", "--data", data, "--format=json")
    return [row["trace_id"] for row in json.loads(done.stdout)]


def started(data: Path, *flags: object, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "restate", "--from", SINCE, "--data", str(data), *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**settings),
    )


@pytest.mark.slow
def test_interrupted_while_it_waits(data):
    """It says for whom it waits; Ctrl-C ends it with 130, and the other still has the ledger."""
    with Ledger.open(data / "ledger", "other", Config()) as ledger, started(data) as process:
        assert process.stderr is not None
        assert "(journal other), which has the ledger" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (130, "")
        assert not ledger.wanted


@pytest.mark.slow
def test_interrupted_half_way(tmp_path, cards):
    """Ctrl-C: what is done is said and stays, exit code 130; run again it does the others."""
    data = tmp_path / "data"
    spans = decode(body for name in names() for body in requests_of(name))
    spans = copies(spans, 12, 0, START_NS, 10**9)
    settle(data, [spans])
    traces = len(pc.unique(spans["trace_id"]))
    before = LedgerReader(data / "ledger").snapshot()
    with started(
        data, "--rate-cards", cards, "--format", "json", AGENTCOST_SETTLE_SPANS_MAX="1"
    ) as process:
        until(
            lambda: LedgerReader(data / "ledger").snapshot().version > before.version, "correction"
        )
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    first = json.loads(output)
    assert process.returncode == 130, errors
    assert first["interrupted"]
    assert 0 < first["traces"] < traces
    assert f"{first['traces']} of {traces} traces are done; run it again" in errors
    written = LedgerReader(data / "ledger").snapshot().ledger_rows - before.ledger_rows
    assert written == first["entries"]
    rest = agentcost("restate", "--from", SINCE, "--data", data, "--rate-cards", cards)
    assert int(parse_facts(rest.stdout.partition("\n\n")[0])["entries written"]) > 0
    last = agentcost("restate", "--from", SINCE, "--data", data, "--rate-cards", cards)
    assert parse_facts(last.stdout)["entries written"] == "0"
