"""No step, price or verdict of a recording changes unseen."""

import pytest

from agentcost_collector.kernel import Rulebook
from agentcost_collector.settings import Settings
from tests.golden.rewrite import FOLDER, golden_text
from tests.support.recordings import names


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return Rulebook.of(Settings())


@pytest.mark.parametrize("name", names())
def test_steps_prices_and_verdicts_are_as_recorded(name, rulebook):
    """`make golden` rewrites the files; the diff shows what a change does."""
    assert golden_text(name, rulebook) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")
