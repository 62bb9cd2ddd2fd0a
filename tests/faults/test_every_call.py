"""Every system call by which a delivery gets to the disk, struck: nothing acknowledged is lost,
nothing is there twice. One delivery is a journal append, a commit of both tables with checkpoint,
index and state, and a trim."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import store
from tests.faults.calls import WRITING, Point, points
from tests.faults.crew import Crew, Run

pytestmark = pytest.mark.slow

PARTS = range(4)
EVERY = os.environ.get("FAULTS") == "all"
"""All errors at all points (`make faults-night`); else each point has its turn with one error."""

ERRORS = ("EIO", "ENOSPC+", "EDQUOT", "EIO+", "EMFILE", "EINTR", "ENOSPC", "EDQUOT+", "EMFILE+")
"""Once, or with a + for good. EINTR only once: whoever meets it tries again, as he should."""


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew() as crew:
        yield crew


@pytest.fixture(scope="module")
def before(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three deliveries, all settled."""
    data = tmp_path_factory.mktemp("before") / "data"
    assert crew.run(data, [1, 2, 3]).acknowledged == [1, 2, 3]
    store.check(data, [1, 2, 3])
    return data


@pytest.fixture(scope="module")
def found(crew: Crew, before: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """The points of the fourth delivery."""
    data = shutil.copytree(before, tmp_path_factory.mktemp("recorded") / "data")
    run = crew.run(data, [4], "-e", f"trace={WRITING}")
    assert (run.code, run.acknowledged) == (0, [4])
    return points(run.trace, data)


def struck(crew: Crew, before: Path, to: Path, point: Point, fault: str) -> Run:
    """The fourth delivery with one point struck; what it left is then opened again as after a
    restart, the sender sends again what was not acknowledged, and everything is there once."""
    data = shutil.copytree(before, to / "data")
    run = crew.run(data, [4], *point.strike(data, fault))
    with store.Service(data) as service:
        if not run.acknowledged:
            service.receive(4)
        service.settle()
    store.check(data, [1, 2, 3, 4])
    shutil.rmtree(data)
    return run


def test_all_kinds_of_calls_are_struck(found):
    """The points are those of a whole delivery: journal, both tables, checkpoint, index, state."""
    assert {point.call for point in found} >= {
        *("write", "pwrite64", "fsync", "fdatasync", "rename", "linkat", "unlink", "openat"),
        *("mkdir", "ftruncate"),
    }
    paths = " ".join(point.path for point in found)
    for name in ("journal.sqlite-wal", "trimmed", "index.db", "state.json", "_last_checkpoint"):
        assert name in paths
    assert len(found) > 80
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("part", PARTS)
def test_killed_before_any_call(crew, before, found, tmp_path, part):
    """kill -9 before each of them, in turn."""
    for number, point in enumerate(found[part :: len(PARTS)]):
        run = struck(crew, before, tmp_path / str(number), point, "signal=KILL")
        assert run.code == -9, f"{point} was not reached"


@pytest.mark.parametrize("part", PARTS)
def test_refused_at_any_call(crew, before, found, tmp_path, part):
    """Each of them fails, once or from then on: it is tried again or the process ends with a
    sentence, what is not durable is not acknowledged, no sync that failed is believed later."""
    strikes = [
        (point, error)
        for at, point in enumerate(found)
        for turn, error in enumerate(ERRORS)
        if EVERY or turn == at % len(ERRORS)
    ]
    for number, (point, error) in enumerate(strikes[part :: len(PARTS)]):
        run = struck(crew, before, tmp_path / str(number), point, f"error={error}")
        assert "INJECTED" in run.trace, f"{point} was not reached"
        assert run.code in (0, 1), f"{point} {error}: {run.complaint}"
