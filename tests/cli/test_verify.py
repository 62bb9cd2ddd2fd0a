"""`agentcost verify --prices`: every stored amount follows from the archived cards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agentcost_collector.ledger.reader import LedgerReader
from tests.cli.command import FIXTURES, agentcost, parse_facts, refusal

RECORDING = FIXTURES / "pydantic_ai_delegation"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("verify") / "data"
    assert agentcost("replay", RECORDING, "--data", data).returncode == 0
    return data


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "data"))


def archived(data: Path) -> Path:
    (path,) = (data / "ledger" / "cards").iterdir()
    return path


def test_sound_ledger(data: Path) -> None:
    """All entries of a fresh ledger are worked out again without a difference."""
    done = agentcost("verify", "--prices", "--data", data)
    facts = parse_facts(done.stdout)
    assert (done.returncode, done.stderr, facts["differing"]) == (0, "", "0")
    assert int(facts["priced"]) > 0
    assert int(facts["entries"]) == int(facts["priced"]) + int(facts["unpriced"])


def test_changed_card_is_named(data: Path) -> None:
    """An edit of the archive is named by its file; what it priced is no longer proven."""
    path = archived(data)
    cards = json.loads(path.read_bytes())
    cards["cards"][0]["skus"][0]["lines"][0]["per"] += 1
    path.write_text(json.dumps(cards))
    done = agentcost("verify", "--prices", "--data", data)
    assert done.returncode == 1
    assert str(path) in done.stderr


def test_missing_card_is_named(data: Path) -> None:
    """A card that is not in the archive is named by the digest on the rows."""
    archived(data).unlink()
    reader = LedgerReader(data / "ledger")
    rows = [
        r for f in reader.snapshot().ledger_files for t in reader.entries(f) for r in t.to_pylist()
    ]
    named = {d for r in rows if r["card_digest"] for d in r["card_digest"].split(",")}
    done = agentcost("verify", "--prices", "--data", data)
    assert done.returncode == 1
    assert named
    assert all(digest in done.stderr for digest in named)


def test_altered_amount_is_found(data: Path) -> None:
    """One changed amount of one row is found, with the row, the column and both values."""
    for file in LedgerReader(data / "ledger").snapshot().ledger_files:
        table = pq.ParquetFile(file).read()
        at = table.schema.get_field_index("input_tokens")
        if not any(table["cost_usd"].to_pylist()):
            continue
        row = next(i for i, c in enumerate(table["cost_usd"].to_pylist()) if c)
        counts = table["input_tokens"].to_pylist()
        counts[row] += 1
        trace = table["trace_id"][row].as_py()
        changed = table.set_column(at, table.schema.field(at), [counts])
        pq.write_table(changed, file)
        break
    done = agentcost("verify", "--prices", "--data", data)
    assert done.returncode == 1
    assert parse_facts(done.stdout)["differing"] == "1"
    assert f"trace {trace}" in done.stderr
    assert "cost_usd is" in done.stderr


def test_restated_history_is_proven_by_both_sets(data: Path, tmp_path: Path) -> None:
    """After a correction of a price and `restate` the old rows, their reversals and the new rows
    are all worked out again, each from its own card."""
    own = tmp_path / "own"
    shutil.copytree(Path(__file__).parents[2] / "rate_cards", own)
    models = {"openai": "gpt", "anthropic": "claude"}
    for issuer in models:
        text = (own / f"{issuer}.yaml").read_text()
        (own / f"{issuer}.yaml").write_text(text.replace('amount: "', 'amount: "1'))
    done = agentcost("restate", "--rate-cards", own, "--data", data, "--from", "2020-01-01")
    assert done.returncode == 0, done.stderr
    assert len(list((data / "ledger" / "cards").iterdir())) == 2
    done = agentcost("verify", "--prices", "--data", data)
    facts = parse_facts(done.stdout)
    assert (done.returncode, facts["differing"], done.stderr) == (0, "0", "")
    reader = LedgerReader(data / "ledger")
    signs = [
        s
        for f in reader.snapshot().ledger_files
        for t in reader.entries(f)
        for s in t["sign"].to_pylist()
    ]
    assert -1 in signs


def test_nothing_to_check_is_not_sound(tmp_path: Path) -> None:
    """Without a ledger all is not said to be well."""
    assert "no such folder" in refusal("verify", "--prices", "--data", tmp_path / "none")
