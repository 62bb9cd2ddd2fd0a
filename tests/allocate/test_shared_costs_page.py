"""The page on shared costs shows files that are read, and names every method, driver and column."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from agentcost_collector.allocate.config import Method
from agentcost_collector.model.schemas import DRIVERS, SHARED_BY
from agentcost_collector.shared_costs import read_shared_costs
from tests.support.recordings import ROOT

PAGE = (ROOT / "docs" / "shared-costs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("form", "costs"), [("yaml", 3), ("csv", 2)])
def test_the_examples_are_read(tmp_path: Path, form: str, costs: int) -> None:
    """As they stand on the page."""
    (example,) = re.findall(rf"^```{form}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / f"shared.{form}"
    path.write_text(example, encoding="utf-8")
    assert len(read_shared_costs(path)) == costs


def test_nothing_is_left_out_of_the_page() -> None:
    """Methods and drivers are the rows of its tables; columns are in one list."""
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [*get_args(Method), *DRIVERS]
    listed = re.search(r"takes the columns (.*?), each", PAGE, re.DOTALL)
    assert listed
    assert sorted(re.findall(r"`(\w+)`", listed[1])) == sorted(SHARED_BY)
