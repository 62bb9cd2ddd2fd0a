"""Every entry and file against the seals of its batch, and the seals against each other."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentcost_collector.ledger.batches import BatchKey, StoredBatch, StoredBatches
from agentcost_collector.ledger.canonical import batch_hash
from agentcost_collector.ledger.layout import ENTRY_ROWS, SEALS, SPAN_ROWS, origin_of
from agentcost_collector.ledger.log import read_actions
from agentcost_collector.ledger.reader import LedgerReader, Snapshot
from agentcost_collector.ledger.seals import (
    FILES,
    FIRST,
    Seal,
    chain_lines,
    file_digest,
    log_seals,
)
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.verify.findings import Finding

_RESTORE = "restore it from a backup"


@dataclass
class Sealed:
    """What was found about the seals of a ledger."""

    seals: int = 0
    batches: int = 0
    """Batches with entries."""
    entries: int = 0
    files: int = 0
    """Live data files of both tables."""
    unsealed: int = 0
    """Of these, evidence of a commit that a crash cut off; it is sealed with the next one."""
    findings: list[Finding] = field(default_factory=list)


def verify_seals(
    directory: Path, anchors: Sequence[Mapping[str, object]], progress: Callable[[int, int], None]
) -> Sealed:
    """Checks the ledger in `directory`; `anchors` as `read_anchors` gives them.

    Files that are byte for byte those that were sealed hold what was sealed. The entries of all
    other batches, that is of merged and of changed files, are read and hashed.
    `progress(files done, files in all)`. Memory: some row groups, and some hundred bytes a batch.
    """
    found = Sealed()
    chains = {name: _chain(directory, name, lines, found) for name, lines in _lines(directory)}
    snapshot = LedgerReader(directory).snapshot()
    written = {origin.journal for file in snapshot.ledger_files if (origin := origin_of(file))}
    for journal in written | set(chains):
        _complete(directory, snapshot, journal, chains.setdefault(journal, {}), found)
    actual = _digests(directory, snapshot, progress, found)
    intact = _intact(directory, snapshot, chains, actual)
    passed = {path for seal in intact.values() for path in seal.digests()}
    stored = _stored(directory, snapshot, passed)
    for journal in {key.journal for key in stored.batches} - set(chains):
        _complete(directory, snapshot, journal, chains.setdefault(journal, {}), found)
    found.seals = sum(map(len, chains.values()))
    found.entries = stored.entries + sum(seal.rows for seal in intact.values())
    found.batches = len(stored.batches.keys() | {key for key, seal in intact.items() if seal.rows})
    _compare_rows(chains, intact, stored, found)
    _compare_files(directory, snapshot, chains, actual, found)
    changed = stored.damaged or any(each.check == "rows" for each in found.findings)
    if snapshot.ledger_rows != found.entries and not changed:
        sentence = f"counts {snapshot.ledger_rows} entries, its files hold {found.entries}"
        log = str(directory / ENTRY_ROWS.name / "_delta_log")
        found.findings.append(Finding("files", None, None, log, f"{sentence}; {_RESTORE}"))
    for file, fault in sorted(stored.damaged.items()):
        found.findings.append(Finding("files", None, None, file, f"{fault}; {_RESTORE}"))
    found.findings += _compare_anchors(chains, anchors)
    found.findings.sort(key=lambda each: tuple(str(value) for value in each.__dict__.values()))
    return found


def read_anchors(given: str) -> list[dict[str, object]]:
    """From a seal in hex, or a file that `agentcost anchor` wrote; ConfigError for neither."""
    if len(given) == 64 and all(digit in "0123456789abcdef" for digit in given):
        return [{"seal": given}]
    try:
        heads = [json.loads(line) for line in Path(given).read_bytes().splitlines() if line.strip()]
        if heads and all(isinstance(head["seal"], str) for head in heads):
            return heads
    except OSError as fault:
        raise ConfigError(
            f"{given}: cannot be read: {fault.strerror}; give a file of agentcost anchor or a seal"
        ) from fault
    except (ValueError, KeyError, TypeError):
        pass
    raise ConfigError(f"{given}: is not what agentcost anchor writes; give such a file or a seal")


def _lines(directory: Path) -> Iterator[tuple[str, list[bytes]]]:
    yield from chain_lines(directory).items()


def _chain(directory: Path, name: str, lines: list[bytes], found: Sealed) -> dict[int, Seal]:
    """The seals of one file by batch; complains about lines that are damaged, edited or missing."""
    file = str(directory / SEALS / f"{name}.jsonl")
    chain: dict[int, Seal] = {}
    last, number = FIRST, 0
    for count, line in enumerate(lines, start=1):
        if not line and count == len(lines):
            break  # what follows the last line feed
        try:
            seal = Seal.parse(line)
        except ValueError:
            sentence = f"line {count} is not a seal; {_RESTORE}"
            found.findings.append(Finding("seals", name, None, file, sentence))
            continue
        at = Finding("seals", name, seal.batch_seq, file, "")
        if seal.digest() != seal.seal or seal.journal != name:
            found.findings.append(_say(at, f"line {count} was edited; {_RESTORE}"))
        if seal.prev != last or seal.batch_seq <= number:
            found.findings.append(
                _say(at, f"line {count} does not follow the line before it; {_RESTORE}")
            )
        chain[seal.batch_seq] = seal
        last, number = seal.seal, seal.batch_seq
    return chain


def _complete(
    directory: Path, snapshot: Snapshot, journal: str, chain: dict[int, Seal], found: Sealed
) -> None:
    """Adds what only the log has: the seal of a commit that is being made, or was cut off."""
    if journal == FILES or snapshot.version < 0:
        return
    last = max(chain, default=0)
    missing = log_seals(directory / ENTRY_ROWS.name, snapshot.version, journal, last)
    if len(missing) > 1:
        file = str(directory / SEALS / f"{journal}.jsonl")
        sentence = f"ends before this batch, which was committed; {_RESTORE}"
        found.findings.append(Finding("seals", journal, missing[0].batch_seq, file, sentence))
    chain.update({seal.batch_seq: seal for seal in missing})


def _digests(
    directory: Path, snapshot: Snapshot, progress: Callable[[int, int], None], found: Sealed
) -> dict[str, str | None]:
    """Digest of each live file, by its path below the ledger; None where it cannot be read."""
    root = directory.absolute()
    actual: dict[str, str | None] = {}
    files = (*snapshot.ledger_files, *snapshot.span_files)
    for done, file in enumerate(map(Path, files), start=1):
        path = file.relative_to(root).as_posix()
        try:
            actual[path] = file_digest(file)
        except OSError as fault:
            actual[path] = None
            sentence = f"is named by the log and cannot be read: {fault.strerror}; {_RESTORE}"
            found.findings.append(Finding("files", None, None, str(file), sentence))
        progress(done, len(files))
    return actual


def _intact(
    directory: Path,
    snapshot: Snapshot,
    chains: Mapping[str, Mapping[int, Seal]],
    actual: Mapping[str, str | None],
) -> dict[BatchKey, Seal]:
    """Batches of which every file of entries is live once and is the file that was sealed.

    A merged file is none: its digest was noted when no entry of it was sealed.
    """
    root = directory.absolute()
    live = Counter(Path(file).relative_to(root).as_posix() for file in snapshot.ledger_files)
    found = {}
    for journal in chains.keys() - {FILES}:
        for number, seal in chains[journal].items():
            sealed = {path: one for path, one in seal.digests().items() if _is_entries(path)}
            same = all(live[path] == 1 and actual[path] == one for path, one in sealed.items())
            if sealed and same and seal.digest() == seal.seal:
                found[BatchKey(journal, number)] = seal
    return found


def _stored(directory: Path, snapshot: Snapshot, passed: set[str]) -> StoredBatches:
    """All entries but those of the files in `passed`, partition by partition."""
    root = directory.absolute()
    parts: dict[str, list[Path]] = defaultdict(list)
    for file in map(Path, snapshot.ledger_files):
        if file.relative_to(root).as_posix() not in passed:
            parts[file.parent.relative_to(root / ENTRY_ROWS.name).as_posix()].append(file)
    stored = StoredBatches()
    for part, files in sorted(parts.items()):
        stored.add(part, files)
    return stored


def _compare_rows(
    chains: Mapping[str, Mapping[int, Seal]],
    intact: Mapping[BatchKey, Seal],
    stored: StoredBatches,
    found: Sealed,
) -> None:
    sealed = {
        BatchKey(journal, number): seal
        for journal, chain in chains.items()
        for number, seal in chain.items()
    }
    for key in sorted(stored.batches.keys() - sealed.keys()):
        for file in sorted(stored.batches[key].files):
            sentence = "holds entries of a batch that has no seal: one of them was tampered with"
            found.findings.append(Finding("rows", *key, file, sentence))
    nothing = StoredBatch()
    for key, seal in sorted(sealed.items()):
        batch = stored.batches.get(key, nothing)
        if key in intact:
            more = seal.rows + batch.rows
            wrong = f"the batch has {more} entries, {seal.rows} were sealed" if batch.rows else None
        else:
            wrong = _difference(seal, batch)
        if not wrong:
            continue
        files = sorted(batch.files) or [path for path in seal.digests() if _is_entries(path)]
        found.findings += (Finding("rows", *key, file, f"{wrong}; {_RESTORE}") for file in files)


def _is_entries(path: str) -> bool:
    return path.startswith(f"{ENTRY_ROWS.name}/")


def _difference(seal: Seal, batch: StoredBatch) -> str | None:
    if batch.rows != seal.rows:
        return f"the batch has {batch.rows} entries, {seal.rows} were sealed"
    if batch.cost_usd != seal.cost_usd:
        return f"its entries cost {batch.cost_usd}, {seal.cost_usd} was sealed"
    digest = batch.digest() if batch.rows else batch_hash({})
    return None if digest == seal.batch_hash else "its entries are not those that were sealed"


def _compare_files(
    directory: Path,
    snapshot: Snapshot,
    chains: Mapping[str, Mapping[int, Seal]],
    actual: Mapping[str, str | None],
    found: Sealed,
) -> None:
    digests: dict[str, tuple[str, Seal]] = {}
    for chain in chains.values():
        for seal in chain.values():
            digests |= {path: (digest, seal) for path, digest in seal.digests().items()}
    found.findings += _lost(directory, snapshot, digests)
    root = directory.absolute()
    found.files = len(actual)
    for path, digest in actual.items():
        if digest is None:
            continue
        file = root / path
        if path not in digests:
            found.findings += _unknown(file, path, chains, found)
        elif digests[path][0] != digest:
            seal = digests[path][1]
            sentence = f"is not the file that was sealed; {_RESTORE}"
            found.findings.append(
                Finding("files", seal.journal, seal.batch_seq, str(file), sentence)
            )


def _lost(
    directory: Path, snapshot: Snapshot, sealed: Mapping[str, tuple[str, Seal]]
) -> Iterator[Finding]:
    """Evidence that was sealed and lies there, but that the log neither names nor ever removed."""
    root = directory.absolute()
    live = {Path(file).relative_to(root).as_posix() for file in snapshot.span_files}
    lost = [path for path in sealed if path.startswith(SPAN_ROWS.name) and path not in live]
    lost = [path for path in lost if (root / path).exists()]
    if not lost:
        return
    log = root / SPAN_ROWS.name / "_delta_log"
    actions = [each for entry in log.glob("*.json") for each in read_actions(entry) or []]
    removed = {f"{SPAN_ROWS.name}/{each['remove']['path']}" for each in actions if "remove" in each}
    for path in sorted(set(lost) - removed):
        seal = sealed[path][1]
        sentence = f"was sealed, but the log does not name it; restore {log} from a backup"
        yield Finding("files", seal.journal, seal.batch_seq, str(root / path), sentence)


def _unknown(
    file: Path, path: str, chains: Mapping[str, Mapping[int, Seal]], found: Sealed
) -> Iterable[Finding]:
    """A file without a digest. Entries are known by their rows; evidence is not."""
    if not path.startswith(SPAN_ROWS.name):
        return
    journal = file.name.split("-")[1] if file.name.count("-") == 3 else ""
    if journal and int(file.name.split("-")[2]) > max(chains.get(journal, {}), default=0):
        found.unsealed += 1
        return
    yield Finding("files", journal, None, str(file), "was never sealed; somebody else wrote it")


def _compare_anchors(
    chains: Mapping[str, Mapping[int, Seal]], anchors: Sequence[Mapping[str, object]]
) -> Iterator[Finding]:
    known = {
        seal.seal: (journal, number)
        for journal, chain in chains.items()
        for number, seal in chain.items()
    }
    for anchor in anchors:
        if anchor["seal"] not in known:
            journal = str(anchor["journal"]) if "journal" in anchor else None
            number = anchor.get("batch_seq")
            yield Finding(
                "seals",
                journal,
                number if isinstance(number, int) else None,
                None,
                f"the anchored seal {anchor['seal']} is not in any chain: what was sealed up to"
                f" then was changed or removed; {_RESTORE}",
            )


def _say(at: Finding, sentence: str) -> Finding:
    return Finding(at.check, at.journal, at.batch_seq, at.file, sentence)
