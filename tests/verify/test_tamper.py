"""What somebody with write access to the files changes, is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.log import log_entry
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.ledger.seals import file_digest, seal_files
from agentcost_collector.verify import Finding, verify_seals
from tests.ledger.tables import DAY, NOW, entries_table, entry, spans_table
from tests.verify.sealed import (
    BATCHES,
    JOURNAL,
    NAME,
    audited,
    file_of,
    fill,
    ledger_files,
    rewrite,
    with_column,
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ledger = tmp_path_factory.mktemp("sealed") / "ledger"
    fill(ledger)
    return ledger


@pytest.fixture
def ledger(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "ledger"))


def findings(ledger: Path, *anchors: dict[str, object]) -> list[Finding]:
    return verify_seals(ledger, anchors, lambda done, total: None).findings


def chain(ledger: Path) -> Path:
    return ledger / "seals" / f"{NAME}.jsonl"


def test_a_sound_ledger_has_no_findings(ledger: Path) -> None:
    """Nothing is found where nothing was changed, by us or by the SQL of the auditor."""
    found = verify_seals(ledger, [], lambda done, total: None)
    assert found.findings == []
    assert (found.seals, found.batches, found.entries) == (BATCHES, BATCHES, BATCHES * 12)
    assert audited(ledger) == {(NAME, n): True for n in range(1, BATCHES + 1)}


def edited_cost(rows: pa.Table) -> pa.Table:
    costs = rows["cost_usd"].to_pylist()
    row = next(n for n, cost in enumerate(costs) if cost)
    return with_column(rows, "cost_usd", [*costs[:row], costs[row] * 2, *costs[row + 1 :]])


def swapped_costs(rows: pa.Table) -> pa.Table:
    """The total stays the same."""
    return with_column(rows, "cost_usd", rows["cost_usd"].to_pylist()[::-1])


def other_feature(rows: pa.Table) -> pa.Table:
    return with_column(rows, "feature", ["mine"] * rows.num_rows)


def moved_tab(rows: pa.Table) -> pa.Table:
    """One value loses its tab and the one before it gets it: the same characters in all."""
    return with_column(rows, "name", ["\\N"] * rows.num_rows)


ROWS: list[Callable[[pa.Table], pa.Table]] = [
    edited_cost,
    swapped_costs,
    other_feature,
    moved_tab,
    lambda rows: rows.slice(1),
    lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]),
    lambda rows: with_column(rows, "row_no", rows["row_no"].to_pylist()[::-1]),
    lambda rows: with_column(
        rows, "labels", ["" if v is None else v for v in rows["labels"].to_pylist()]
    ),
]


@pytest.mark.parametrize("change", ROWS)
def test_changed_rows_are_found_in_their_batch(
    ledger: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    """Edited, removed, repeated, swapped: the batch and its file are named, no other batch is, and
    the auditor's SQL says the same of the batch."""
    file = file_of(ledger, 2)
    rewrite(file, change)
    found = findings(ledger)
    assert {(each.journal, each.batch_seq) for each in found} == {(NAME, 2)}
    assert {each.check for each in found} == {"rows", "files"}
    assert str(file) in {each.file for each in found if each.check == "rows"}
    assert {each.file for each in found if each.check == "files"} == {str(file)}
    assert audited(ledger) == {(NAME, n): n != 2 for n in range(1, BATCHES + 1)}


def test_rows_are_found_though_the_digest_of_the_file_was_mended(ledger: Path) -> None:
    """Whoever also writes the new digest into the seal breaks the seal itself."""
    rewrite(file_of(ledger, 2), edited_cost)
    (wrong,) = {each.file for each in findings(ledger) if each.check == "files"}
    lines = [json.loads(line) for line in chain(ledger).read_bytes().splitlines()]
    name = Path(str(wrong)).name
    lines[1]["files"] = [f if name not in f else "0" * 64 + f[64:] for f in lines[1]["files"]]
    chain(ledger).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert {each.check for each in findings(ledger)} == {"rows", "files", "seals"}
    assert audited(ledger)[NAME, 2] is False


@pytest.mark.parametrize(
    "name", ["rows", "cost_usd", "batch_hash", "sealed_at", "prev", "seal", "files"]
)
def test_an_edited_seal_is_found(ledger: Path, name: str) -> None:
    """Every field of a seal is covered, for us and for the auditor."""
    lines = [json.loads(line) for line in chain(ledger).read_bytes().splitlines()]
    value = lines[1][name]
    lines[1][name] = value + 1 if isinstance(value, int) else value[::-1]
    chain(ledger).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [each for each in findings(ledger) if each.check == "seals"]
    assert {(each.journal, each.file) for each in found} == {(NAME, str(chain(ledger)))}
    assert 2 in {each.batch_seq for each in found}
    assert audited(ledger)[NAME, 2] is False


def test_a_removed_seal_is_found(ledger: Path) -> None:
    """The line after it does not follow the line before it, and its entries have no seal."""
    lines = chain(ledger).read_bytes().splitlines(keepends=True)
    chain(ledger).write_bytes(lines[0] + lines[2])
    found = findings(ledger)
    assert {each.check for each in found} == {"seals", "rows", "files"}
    assert {each.batch_seq for each in found if each.check != "files"} == {2, 3}
    assert audited(ledger) == {(NAME, 1): True, (NAME, 2): False, (NAME, 3): False}


def test_a_missing_file_of_seals_is_found(ledger: Path) -> None:
    """The log still holds the seals; that the file is gone is said all the same."""
    chain(ledger).unlink()
    assert [each.file for each in findings(ledger)] == [str(chain(ledger))]


def test_a_removed_batch_is_found(ledger: Path) -> None:
    """A ledger put back to its state before the last batch misses what the seal names."""
    log_entry(ledger / "ledger", LedgerReader(ledger).snapshot().version).unlink()
    found = findings(ledger)
    assert {(each.check, each.batch_seq) for each in found} == {("rows", BATCHES)}
    assert len({each.file for each in found}) >= 1
    assert audited(ledger)[NAME, BATCHES] is False


def test_a_dropped_tail_is_found_with_an_anchor(ledger: Path) -> None:
    """Without the last batch, its seal and its log entry all is consistent, and was once true: only
    a head that was kept elsewhere tells."""
    head = json.loads(chain(ledger).read_bytes().splitlines()[-1])
    (ledger / "state.json").unlink()
    log_entry(ledger / "ledger", LedgerReader(ledger).snapshot().version).unlink()
    lines = chain(ledger).read_bytes().splitlines(keepends=True)
    chain(ledger).write_bytes(b"".join(lines[:-1]))
    assert findings(ledger) == []
    (found,) = findings(ledger, {"journal": NAME, "batch_seq": BATCHES, "seal": head["seal"]})
    assert (found.journal, found.batch_seq) == (NAME, BATCHES)
    assert head["seal"] in found.sentence


def test_a_file_of_evidence_nobody_sealed_is_found(ledger: Path) -> None:
    """Changed evidence is found by the digest of its file."""
    file = Path(LedgerReader(ledger).snapshot().span_files[0])
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert [each.file for each in findings(ledger)] == [str(file)]


def test_evidence_that_the_log_forgot_is_found(ledger: Path) -> None:
    """One turned bit makes `add` an action that readers skip: a file is there, and in no table."""
    entry = log_entry(ledger / "spans", LedgerReader(ledger).snapshot().version)
    entry.write_bytes(entry.read_bytes().replace(b'"add"', b'"aed"'))
    found = findings(ledger)
    assert {(each.check, each.batch_seq) for each in found} == {("files", BATCHES)}


def test_a_merged_file_is_as_good(ledger: Path) -> None:
    """Whoever merges files keeps the seals: rows count, not files; even in any order of rows."""
    for order in ("trace_id", "step_id"):
        live = [Path(file) for file in ledger_files(ledger)]
        by_part: dict[Path, list[Path]] = {}
        for file in live:
            by_part.setdefault(file.parent, []).append(file)
        merge(by_part, order)
        found = [each for each in findings(ledger) if each.check != "files"]
        assert found == []
        assert all(audited(ledger).values())


def test_many_entries_are_hashed_as_the_page_says(tmp_path: Path) -> None:
    """Of a batch so large that equal rows are looked for, in one file or in row groups of batches
    that are mixed with each other, all are found as they were sealed, and one that was changed."""
    ledger = tmp_path / "ledger"
    with Ledger.open(ledger, JOURNAL, Config()) as writer:
        for batch in (1, 2):
            rows = [many(batch, n) for n in range(2500)]
            writer.commit(spans_table([]), entries_table(rows), {"position": batch}, NOW)
    assert audited(ledger) == {(NAME, 1): True, (NAME, 2): True}
    first, second = map(Path, sorted(ledger_files(ledger)))
    both = [pq.ParquetFile(file).read() for file in (first, second)]
    rows = pa.concat_tables(both).sort_by([("trace_id", "ascending")])
    pq.write_table(rows, first, row_group_size=700)
    pq.write_table(rows.slice(0, 0), second)
    assert {each.check for each in findings(ledger)} == {"files"}
    assert all(audited(ledger).values())
    at = rows.num_rows // 2
    other = [None if n == at else text for n, text in enumerate(rows["model"].to_pylist())]
    pq.write_table(with_column(rows, "model", other), first)
    wrong = {each.batch_seq for each in findings(ledger) if each.check == "rows"}
    assert wrong == {rows["batch_seq"][at].as_py()}


def many(batch: int, number: int) -> dict[str, object]:
    """An entry whose columns are alike, or not, or NULL, in many ways."""
    return entry(
        number // 3,
        batch * 10_000 + number,
        cost=None if number % 3 == 2 else Decimal(7 ** (number % 20) * (-1) ** number) / 10**12,
        model=f"model\t{number % 7}" if number % 4 else None,
        feature=f"feature {number % 11}" if number % 5 else None,
        cache_write_long_tokens=-number if number % 13 else None,
        reasoning_tokens=None if number % 2 else -number,
        units=Decimal(number % 3) / 8 if number % 6 else None,
        duration_ms=Decimal(number) / 1000,
        response_id=f"response\\{number}" if number % 3 else None,
    )


def test_who_merges_and_changes_is_found(ledger: Path) -> None:
    """The digest of a merged file proves nothing about its entries, which are compared one by one:
    also where somebody has noted the digest of his own file as the collector does."""
    fill(ledger, 3, first=BATCHES + 1)
    with Ledger.open(ledger, JOURNAL, Config()) as writer:
        for piece in writer.upkeep(NOW + 60 * DAY):
            assert not piece.refused
    assert findings(ledger) == []
    file = next(f for f in map(Path, ledger_files(ledger)) if f.name.startswith("merged-"))
    rewrite(file, edited_cost)
    seal_files(ledger, {file.relative_to(ledger).as_posix(): file_digest(file)}, NOW)
    assert {each.check for each in findings(ledger)} == {"rows"}


def merge(by_part: dict[Path, list[Path]], order: str) -> None:
    """Puts all rows of a partition into its first file, none into the others."""
    for files in by_part.values():
        rows = pa.concat_tables([pq.ParquetFile(file).read() for file in files])
        rows = rows.sort_by([(order, "ascending"), ("batch_seq", "ascending")])
        for file in files:
            pq.write_table(rows if file == files[0] else rows.slice(0, 0), file)
