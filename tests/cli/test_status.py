"""`agentcost status` counts what arrived, what is settled and what is not known."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from agentcost_collector.journal.config import Config
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.schemas import REJECTS, SPANS
from tests.cli.command import agentcost, parse_facts, refusal
from tests.report.ledgers import booked, write_ledger, write_spans


def _spans(count: int) -> pa.Table:
    rows = [
        {"trace_id": "a" * 32, "span_id": f"{n:016x}", "start_ns": 1, "end_ns": 2}
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SPANS)


def test_every_count(tmp_path: Path) -> None:
    """Journal, pipeline and ledger each say their part, and the shares are of steps and money."""
    journal = Journal.open(tmp_path / "journal", Config())
    rejects = pa.Table.from_pylist([{"reason": "trace_id_invalid"}], schema=REJECTS)
    journal.append(_spans(5), rejects)
    journal.append(_spans(2), REJECTS.empty_table())
    journal.close()
    noted = {"position": 1, "spans_read": 5, "spans_open": 2, "traces_open": 1}
    noted |= {"spans_settled": 3, "spans_repeated": 1, "batch_seq": 9}
    (tmp_path / "progress.json").write_text(json.dumps(noted))
    write_spans(tmp_path, [{"trace_id": "a" * 32, "span_id": f"{n:016x}"} for n in range(3)])
    write_ledger(
        tmp_path,
        [
            [
                booked(step_id="1", cost_usd=Decimal(2)),
                booked(step_id="2", cost_usd=Decimal(1), feature=None),
                booked(step_id="3", cost_usd=None, cost_status="unpriced"),
            ]
        ],
    )
    done = agentcost("status", "--data", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert parse_facts(done.stdout) == {
        "journal position": "2",
        "read to position": "1",
        "kept from position": "1",
        "spans acknowledged": "7",
        "spans waiting": "2",
        "spans open": "2",
        "spans settled": "3",
        "spans stored": "0",
        "spans repeated": "1",
        "conservation": "DIFFERENCE",
        "spans quarantined": "1",
        "in quarantine": "1",
        "released from quarantine": "0",
        "repeated in quarantine": "0",
        "dropped from quarantine": "0",
        "quarantine adds up": "ok",
        "traces open": "1",
        "ledger version": "0",
        "ledger entries": "3",
        "evidence spans": "3",
        "evidence spans retired": "0",
        "data files": "1 ledger, 1 spans",
        "log entries": "2",
        "to compact": "0 files into 0, 0 spans to retire",
        "steps": "3",
        "cost": "$3",
        "unpriced steps": "1 (33.3 %)",
        "unattributed steps": "1 (33.3 %)",
        "unattributed cost": "$1 (33.3 %)",
        "totals": "agree",
    }


def test_a_ledger_without_a_journal(tmp_path: Path) -> None:
    """What only replay filled has no journal to speak of."""
    write_ledger(tmp_path, [[booked()]])
    facts = parse_facts(agentcost("status", "--data", tmp_path).stdout)
    assert "journal position" not in facts
    assert (facts["steps"], facts["unpriced steps"]) == ("1", "0 (0.0 %)")


def test_no_data(tmp_path: Path) -> None:
    """An empty folder has nothing in it, a missing one is named."""
    facts = parse_facts(agentcost("status", "--data", tmp_path).stdout)
    assert (facts["steps"], facts["ledger version"]) == ("0", "none yet")
    assert "no such folder" in refusal("status", "--data", tmp_path / "gone")


def test_a_damaged_ledger(tmp_path: Path) -> None:
    """A data file or log entry that is cut or gone is named by every command that reads; exit code
    1, no traceback, and nothing is shown as if it were all."""
    write_ledger(tmp_path, [[booked()]])
    (data_file,) = (tmp_path / "ledger/ledger").rglob("*.parquet")
    (entry,) = (tmp_path / "ledger/ledger/_delta_log").glob("*.json")
    commands = (
        ["status"],
        ["sql", "SELECT 1 FROM steps"],
        ["explain", "abcdef"],
        ["duckdb", "--output", tmp_path / "views.duckdb"],
    )
    for damaged, content in ((entry, b'{"add": {"pa'), (data_file, b"PAR1"), (data_file, None)):
        before = damaged.read_bytes()
        damaged.unlink() if content is None else damaged.write_bytes(content)
        for command in commands:
            done = agentcost(*command, "--data", tmp_path)
            assert (done.returncode, done.stdout) == (1, ""), command
            assert "ledger" in done.stderr
            assert done.stderr.count("\n") == 1
        damaged.write_bytes(before)
    assert not list(tmp_path.glob("*views*"))
    shutil.rmtree(entry.parent)
    entry.parent.symlink_to(entry.parent)  # it is there, and nobody can look into it
    for command in commands:
        says = refusal(*command, "--data", tmp_path)
        assert f"{tmp_path}/ledger/ledger: cannot be read" in says


def test_a_damaged_note(tmp_path: Path) -> None:
    """A progress note that cannot be read is named, with what to do, and is no user error."""
    Journal.open(tmp_path / "journal", Config()).close()
    (tmp_path / "progress.json").write_text('{"posit')
    done = agentcost("status", "--data", tmp_path)
    assert done.returncode == 1
    assert "progress.json: is damaged; remove it" in done.stderr
