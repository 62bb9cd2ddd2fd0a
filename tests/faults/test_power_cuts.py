"""Power cuts: of what was not synced anything may be lost or torn; what was acknowledged is there
once all the same."""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import store
from tests.faults.clones import STRACE, Call, Disk, calls
from tests.faults.crew import Crew

pytestmark = pytest.mark.slow

PARTS = range(4)
CLONES = int(os.environ.get("CLONES", "200"))
SEED = int(os.environ.get("SEED", "6"))
KILLS = (*(f"fsync:{n}" for n in (3, 6, 9, 12, 16)), "fdatasync:2")
"""The sync before which the second process of each recorded history is killed: what it wrote is
then seen by the third, and was never synced by it."""

FIRST, SECOND, THIRD = [1, 2, 3], [4, 5], [6]
ALL = [*FIRST, *SECOND, *THIRD]


@dataclass(frozen=True)
class History:
    """All calls of three processes, one after the other, below one folder."""

    root: Path
    calls: list[Call]


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[History]]:
    """From the very first start on: three deliveries, a process that is killed, one after it."""
    with Crew() as crew:
        yield [recorded(crew, tmp_path_factory.mktemp("history"), kill) for kill in KILLS]


def recorded(crew: Crew, root: Path, kill: str) -> History:
    call, _, number = kill.partition(":")
    runs = [crew.run(root / "data", FIRST, *STRACE)]
    strike = f"inject={call}:signal=KILL:when={number}"
    runs.append(crew.run(root / "data", SECOND, *STRACE, "-e", strike))
    assert [run.code for run in runs] == [0, -9]
    left = [number for number in SECOND if number not in runs[1].acknowledged]
    runs.append(crew.run(root / "data", [*left, *THIRD], *STRACE))
    return History(root, [call for run in runs for call in calls(run.trace)])


def cut(history: History, source: random.Random, to: Path, syncs: bool = True) -> set[int]:
    """Writes to the new folder `to` what is left at a random call; what was acknowledged then."""
    disk = Disk(history.root, syncs)
    acknowledged: set[int] = set()
    for call in history.calls[: source.randrange(1, len(history.calls) + 1)]:
        disk.play(call)
        if call.acknowledged:
            acknowledged.add(call.acknowledged)
    disk.root.write_out(to, source)
    return acknowledged


def started_again(root: Path, acknowledged: set[int]) -> None:
    """After the power is back: senders send again what they were not told of; then all is there."""
    with store.Service(root / "data") as service:
        for number in ALL:
            if number not in acknowledged:
                service.receive(number)
        service.settle()
    store.check(root / "data", ALL)


def test_the_model_is_the_disk(histories, tmp_path):
    """Without a power cut the model holds, byte for byte, what the real folder holds."""
    for number, history in enumerate(histories):
        disk = Disk(history.root)
        for call in history.calls:
            disk.play(call)
        disk.root.write_out_now(tmp_path / str(number))
        assert tree(tmp_path / str(number) / "data") == tree(history.root / "data")


def tree(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith("-shm")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_acknowledged_is_lost_to_a_power_cut(histories, tmp_path, part):
    """Cut at a random call, a random part of what was not synced is lost, and no more than that."""
    store.warm(ALL)
    for number in range(part, CLONES, len(PARTS)):
        source = random.Random(f"{SEED} {number}")
        root = tmp_path / str(number)
        acknowledged = cut(histories[number % len(histories)], source, root)
        try:
            started_again(root, acknowledged)
        except Exception as error:
            raise AssertionError(f"SEED={SEED} clone {number}: {error}") from error
        shutil.rmtree(root)


def test_a_store_that_does_not_sync_is_found_out(histories, tmp_path):
    """The harness can fail: with every fsync left out, acknowledged deliveries are lost."""
    lost = 0
    for number in range(20):
        root = tmp_path / str(number)
        acknowledged = cut(histories[0], random.Random(number), root, syncs=False)
        try:
            started_again(root, acknowledged)
        except Exception:
            lost += 1
    assert lost
