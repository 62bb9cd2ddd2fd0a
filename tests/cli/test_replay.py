"""`agentcost replay` settles recorded files, once however often they come."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from agentcost_collector.replay import replay
from agentcost_collector.settings import Settings
from tests.cli.command import FIXTURES, agentcost, agentcost_process, parse_facts, refusal


def test_replaying_twice_changes_nothing(tmp_path: Path) -> None:
    """All recordings settle in one call; the second call books nothing and all totals agree."""
    first = agentcost_process("replay", FIXTURES, "--data", tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    facts = parse_facts(first.stdout)
    assert int(facts["files"]) == len(list(FIXTURES.glob("*/")))
    assert int(facts["entries"]) > 0
    again = parse_facts(
        agentcost_process("replay", f"{FIXTURES}/*/*.bin", "--data", tmp_path).stdout
    )
    assert again == {**facts, "kept": "0", "entries": "0"}
    query = "SELECT (SELECT sum(cost_usd) FROM {0}) AS cost"
    totals = {
        agentcost("sql", query.format(view), "--data", tmp_path, "--format", "csv").stdout
        for view in ("ledger", "steps", "runs")
    }
    assert len(totals) == 1


def test_a_damaged_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """What can be read is settled; what cannot is named, and the exit code is 1."""
    (tmp_path / "in").mkdir()
    good = (FIXTURES / "crewai/crewai.otlp.bin").read_bytes()
    (tmp_path / "in/good.otlp.bin").write_bytes(good)
    (tmp_path / "in/cut.otlp.bin").write_bytes(good[:-7])
    done = agentcost_process("replay", tmp_path / "in", "--data", tmp_path / "data")
    assert done.returncode == 1
    assert done.stderr.count("cut.otlp.bin") == 1
    assert "should hold" in done.stderr
    assert "Traceback" not in done.stderr
    assert parse_facts(done.stdout)["kept"] == "9"  # the recording has 9 spans


def test_nothing_to_replay(tmp_path: Path) -> None:
    """A path without recordings is the user's error, and no data folder is made."""
    (tmp_path / "empty").mkdir()
    data = tmp_path / "data"
    for path, says in (("gone", "no such file"), ("empty", "no recorded trace")):
        done = agentcost_process("replay", tmp_path / path, "--data", data)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"agentcost: {tmp_path / path}: {says}")
    assert not data.exists()


def test_a_folder_that_cannot_hold_data(tmp_path: Path) -> None:
    """A file in the place of the data folder, or of one above it, is named; exit code 2."""
    file = tmp_path / "file"
    file.write_text("mine")
    for data in (file, file / "data"):
        for command in (["replay", str(FIXTURES / "crewai")], ["serve"]):
            says = refusal(*command, "--data", data)
            assert says == f"agentcost: {data}: cannot hold data: {file} is not a folder\n"
    assert file.read_text() == "mine"
    for data in ("data\udcff", "da[ta"):  # the first is what a name in Latin-1 becomes
        assert "choose another folder" in refusal("serve", "--data", tmp_path / data)


def test_progress_within_a_file(tmp_path: Path) -> None:
    """A bar moves while one large file is read, never falls, and ends at the end."""
    whole = (FIXTURES / "crewai/crewai.otlp.bin").read_bytes()
    (tmp_path / "one.otlp.bin").write_bytes(whole)
    (tmp_path / "two.otlp.bin.gz").write_bytes(gzip.compress(whole))
    paths = sorted(tmp_path.glob("*.otlp.bin*"))
    settings = Settings(data=tmp_path / "data", read_bytes_max=1)
    told: list[tuple[int, int]] = []
    replay(paths, settings, lambda done, of: told.append((done, of)))
    size = sum(path.stat().st_size for path in paths)
    done = [at for at, _ in told]
    assert done == sorted(done)
    assert told[-1] == (size, size)
    assert len([at for at in done if 0 < at < len(whole)]) > 1


def test_a_collector_file_of_json_lines(tmp_path: Path) -> None:
    """OTLP/JSON as the Collector writes it counts like the protobuf that it is a copy of."""
    span = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "name": "chat own-model",
        "startTimeUnixNano": "1772366400000000000",
        "endTimeUnixNano": "1772366401000000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "own-model"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": 3}},
        ],
    }
    line = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    (tmp_path / "traces.jsonl").write_text(f"{line}\n{line}\n")
    agentcost_process("replay", tmp_path / "traces.jsonl", "--data", tmp_path / "data")
    query = "SELECT trace_id, input_tokens, output_tokens FROM steps"
    done = agentcost("sql", query, "--data", tmp_path / "data", "--format", "json")
    assert json.loads(done.stdout) == [
        {"trace_id": "5b8efff798038103d269b633813fc60c", "input_tokens": 7, "output_tokens": 3}
    ]
