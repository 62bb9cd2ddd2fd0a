"""`agentcost allocate` books shared costs beside what spans cost, once and to the last decimal."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from agentcost_collector.report.showback import totals
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost, parse_facts, refusal
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import LOOPBACK, free_ports, running
from tests.support.recordings import path_of
from tests.support.scrape import scrape

MONTHS = """\
schema: agentcost.shared/v1
costs:
  - id: vectors
    name: Vector database
    owner: {team: search, service: vectors}
    from: 2026-01-01
    to: 2099-01-01
    amount: "AMOUNT"
    method: proportional
    driver: tokens
  - id: future
    period: 2098-12
    amount: "5"
    method: even
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A ledger of some recorded runs."""
    folder = tmp_path / "data"
    assert agentcost("replay", path_of("mcp_two_processes"), "--data", folder).returncode == 0
    return folder


def _file(tmp_path: Path, amount: str = "100") -> Path:
    path = tmp_path / "shared.yaml"
    path.write_text(MONTHS.replace("AMOUNT", amount), encoding="utf-8")
    return path


def _allocate(data: Path, file: Path, *more: str) -> dict[str, str]:
    done = agentcost("allocate", file, "--data", data, *more)
    assert done.returncode == 0, done.stderr
    assert "future begins on 2098-12-01: not shared out yet\n" in done.stderr
    return parse_facts(done.stdout[done.stdout.index("shares ") :])


def _one(data: Path, query: str) -> tuple:
    (row,) = open_views(data).execute(query).fetchall()
    return row


ALLOCATED = "FROM ledger WHERE kind = 'allocated'"


def test_twice_is_once_and_late_steps_move_shares(data: Path, tmp_path: Path) -> None:
    """The amount is booked once; the same run again books nothing; after new steps the shares are
    others and the sum the same; another amount books the difference."""
    file = _file(tmp_path)
    before = _one(data, "SELECT sum(cost_usd), count(*) FROM steps")
    assert _allocate(data, file)["shared out"] == "$100"
    assert _allocate(data, file)["booked"] == "0 entries, $0"
    assert _one(data, f"SELECT sum(cost_usd) {ALLOCATED}") == (100,)
    assert _one(data, "SELECT sum(cost_usd), count(*) FROM steps WHERE kind <> 'allocated'") == (
        before
    )
    features = _one(data, f"SELECT list(DISTINCT feature) {ALLOCATED} AND sign > 0")[0]
    assert agentcost("replay", path_of("crewai"), "--data", data).returncode == 0
    late = _allocate(data, file)["booked"]
    assert late.endswith("entries, $0")
    assert not late.startswith("0 ")
    more = _one(data, f"SELECT list(DISTINCT feature) {ALLOCATED} AND sign > 0")[0]
    assert set(features) < set(more)
    assert _one(data, f"SELECT sum(cost_usd) {ALLOCATED}") == (100,)
    assert _allocate(data, _file(tmp_path, "-0.000000000007"))["booked"].endswith(
        "entries, $-100.000000000007"
    )
    assert _one(data, f"SELECT sum(cost_usd) {ALLOCATED}") == (Decimal("-0.000000000007"),)
    assert totals(open_views(data)).agree
    assert _allocate(data, _file(tmp_path, "0"))["shares"] == "0"
    assert _one(data, "SELECT count(*) FROM steps WHERE kind = 'allocated'") == (0,)


def test_shares_follow_the_driver(data: Path, tmp_path: Path) -> None:
    """Each payer's share is that of its tokens, as counted with another query."""
    _allocate(data, _file(tmp_path, "1000000"))
    tokens = "input_tokens + output_tokens + coalesce(cache_read_tokens, 0)"
    spans, shares = "kind <> 'allocated'", "kind = 'allocated'"
    query = f"""
WITH used AS (SELECT feature, sum({tokens}) AS part FROM steps WHERE {spans} GROUP BY feature),
     paid AS (SELECT feature, sum(cost_usd) AS share FROM steps WHERE {shares} GROUP BY feature)
SELECT part, (SELECT sum(part) FROM used), share FROM used JOIN paid USING (feature)"""
    rows = open_views(data).execute(query).fetchall()
    assert rows
    for part, whole, share in rows:
        assert abs(int(share * 10**12) * whole - part * 10**18) < whole


def test_a_dry_run_writes_nothing(data: Path, tmp_path: Path) -> None:
    """It shows the same shares and what would be booked, and leaves every file of the ledger as it
    is; only the audit log says that it ran."""
    ledger = data / "ledger"
    files = {p: p.stat().st_mtime_ns for p in ledger.rglob("*") if p.is_file()}
    facts = _allocate(data, _file(tmp_path), "--dry-run")
    assert facts["would book"].endswith("entries, $100")
    assert files
    assert {p: p.stat().st_mtime_ns for p in ledger.rglob("*") if p.is_file()} == files


def test_the_shares_as_csv_and_json(data: Path, tmp_path: Path) -> None:
    """One row per share on stdout, exact; the summary goes to stderr."""
    arguments = ("allocate", _file(tmp_path), "--data", data, "--format")
    plain = agentcost(*arguments, "json")
    shares = json.loads(plain.stdout)
    assert sum(Decimal(share["cost_usd"]) for share in shares) == 100
    assert {share["cost"] for share in shares} == {"Vector database"}
    assert {(share["from"], share["through"]) for share in shares} == {("2026-01-01", "2098-12-31")}
    assert "booked" in plain.stderr
    rows = list(csv.DictReader(io.StringIO(agentcost(*arguments, "csv").stdout)))
    assert [row["cost_usd"] for row in rows] == [share["cost_usd"] for share in shares]


def test_changed_dates_replace_what_they_overlap(data: Path, tmp_path: Path) -> None:
    """A month that is cut in two, or gets another first day, is not paid twice; other periods of
    the same cost stay."""
    row = "id,from,to,amount,method\n"
    file = tmp_path / "shared.csv"
    total = f"SELECT sum(cost_usd), count(DISTINCT trace_id) FROM steps {ALLOCATED[11:]}"
    for rows, expected in (
        ("a,2025-09,2025-10,1,even\n", (1, 1)),
        ("a,2025-10,2025-11,10,even\n", (11, 2)),
        ("a,2025-10-01,2025-10-11,3,even\na,2025-10-11,2025-11-01,8,even\n", (12, 3)),
        ("a,2025-10-02,2025-11-01,20,even\n", (21, 2)),
        ("a,2025-10,2025-11,10,even\n", (11, 2)),
    ):
        file.write_text(row + rows)
        assert agentcost("allocate", file, "--data", data).returncode == 0
        assert _one(data, total) == expected


def test_only_the_asked_period(data: Path, tmp_path: Path) -> None:
    """--period, --from and --to choose costs whose period they touch."""
    file = tmp_path / "shared.csv"
    file.write_text(
        "id,from,to,amount,method\na,2025-09,2025-10,1,even\nb,2025-10,2025-11,2,even\n"
        "c,2025-10-31,2025-11-02,4,even\n"
    )

    def shared_out(*asked: str) -> str:
        done = agentcost("allocate", file, "--data", data, "--dry-run", *asked)
        assert done.returncode == 0, done.stderr
        return parse_facts(done.stdout[done.stdout.index("shares ") :])["shared out"]

    assert shared_out() == "$7"
    assert shared_out("--period", "2025-10") == "$6"
    assert shared_out("--from", "2025-11-01") == "$4"
    assert shared_out("--to", "2025-10-01") == "$1"
    assert shared_out("--from", "2025-09-30", "--to", "2025-10-02") == "$3"


def test_an_idle_line_stays_with_the_owner(data: Path, tmp_path: Path) -> None:
    """Reserved capacity: what was not used is a marked share of the owner's."""
    file = tmp_path / "shared.csv"
    file.write_text(
        "id,owner.team,owner.feature,from,to,amount,method,driver,capacity\n"
        "gpu,ml,serving,2026-01,2027-01,1000,usage,calls,1000\n"
    )
    assert agentcost("allocate", file, "--data", data).returncode == 0
    steps = _one(data, "SELECT count(*) FROM steps WHERE kind <> 'allocated'")[0]
    query = "SELECT feature, team, owner_team, cost_usd FROM steps WHERE usage_role = 'idle'"
    assert _one(data, query) == ("serving", "ml", "ml", 1000 - steps)


def test_what_it_refuses(data: Path, tmp_path: Path) -> None:
    """Faults of the file with its line, wrong days, nothing to do, no data: one sentence each."""
    file = _file(tmp_path)
    assert "shared.yaml:8: costs.0.amount: not a decimal" in refusal(
        "allocate", _file(tmp_path, "much"), "--data", data
    )
    _file(tmp_path)
    arguments = ("allocate", file, "--data", data)
    assert "one of them" in refusal(*arguments, "--period", "2026-10", "--to", "2026-11-01")
    assert "is a month such as 2026-10" in refusal(*arguments, "--period", "October")
    assert "--to must be after" in refusal(*arguments, "--from", "2026-10-02", "--to", "2026-10-02")
    assert "no cost has a period" in refusal(*arguments, "--to", "2025-01-01")
    assert "cannot be read" in refusal("allocate", tmp_path / "no.yaml", "--data", data)
    assert "no such folder" in refusal("allocate", file, "--data", tmp_path / "gone")


@pytest.mark.slow
def test_a_running_service_gives_way(data: Path, tmp_path: Path) -> None:
    """Costs are shared out while the service runs; it goes on settling after, and its metrics
    count them."""
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    quick = {"assemble__settle_ms": "50", "assemble__idle_ms": "200", "metrics": address}
    with running(data, **quick) as collector:
        assert _allocate(data, _file(tmp_path))["shared out"] == "$100"
        before = span_rows(data)
        assert agentcost("send", path_of("crewai"), "--endpoint", collector.grpc).returncode == 0
        until(lambda: span_rows(data) == before + 9, "settled spans")
        until(lambda: _differs(address, data) < 1e-9, "spend in the metrics")
        assert collector.stop() == 0
    assert _one(data, f"SELECT sum(cost_usd) {ALLOCATED}") == (100,)
    assert totals(open_views(data)).agree


def _differs(address: str, data: Path) -> float:
    """Between the metrics and the ledger; entries become visible after their spans."""
    samples = scrape(address)
    shown = sum(v for name, v in samples.items() if name.startswith("agentcost_spend_usd"))
    return abs(shown - float(_one(data, "SELECT sum(cost_usd) FROM steps")[0]))
