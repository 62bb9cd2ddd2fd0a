"""Settling in any order and any number of parts ends in the same ledger."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from agentcost_collector.ledger import Ledger
from agentcost_collector.pipeline import Rulebook, Settler
from agentcost_collector.report import open_views
from agentcost_collector.settings import Settings
from tests.support.recordings import names, requests_of
from tests.support.walked import decode

NOW_NS = 1_795_400_000_000_000_000


@pytest.fixture(scope="module")
def spans() -> pa.Table:
    return decode(body for name in names() for body in requests_of(name))


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return Rulebook.of(Settings())


def settle(data: Path, rulebook: Rulebook, parts: list[pa.Table]) -> None:
    settings = Settings(data=data)
    with Ledger.open(settings.ledger_path, "test", settings.ledger) as ledger:
        settler = Settler(ledger, rulebook, settings)
        for part in parts:
            settler.settle(part, {}, NOW_NS)


def steps_of(data: Path) -> pa.Table:
    order = "trace_id, started_at, step_id"
    return open_views(data).sql(f"SELECT * FROM steps ORDER BY {order}").to_arrow_table()


def test_a_late_root_ends_in_the_same_steps(tmp_path, rulebook, spans):
    """Children settle as orphans, the root comes later: reversed, booked again, byte-equal."""
    roots = pa.compute.is_null(spans.column("parent_span_id"))
    settle(tmp_path / "whole", rulebook, [spans])
    late = [spans.filter(pa.compute.invert(roots)), spans.filter(roots)]
    settle(tmp_path / "late", rulebook, late)
    assert steps_of(tmp_path / "late").equals(steps_of(tmp_path / "whole"))
    reasons = dict(
        open_views(tmp_path / "late")
        .sql("SELECT entry_reason || ' ' || sign, count(*) FROM ledger GROUP BY 1")
        .fetchall()
    )
    assert reasons["late -1"] > 50
    assert reasons["first 1"] > 100


def test_any_split_and_order_ends_in_the_same_steps(tmp_path, rulebook, spans):
    """Spans of all recordings in random parts, some of them sent twice."""
    settle(tmp_path / "whole", rulebook, [spans])
    source = random.Random(3)
    rows = list(range(spans.num_rows))
    source.shuffle(rows)
    cuts = sorted(source.sample(range(1, len(rows)), 7))
    parts = [spans.take(rows[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    settle(tmp_path / "parts", rulebook, [*parts, parts[2], parts[5]])
    assert steps_of(tmp_path / "parts").equals(steps_of(tmp_path / "whole"))


def test_settling_again_writes_nothing(tmp_path, rulebook, spans):
    """A replay finds everything kept and booked."""
    settings = Settings(data=tmp_path)
    with Ledger.open(settings.ledger_path, "test", settings.ledger) as ledger:
        settler = Settler(ledger, rulebook, settings)
        assert settler.settle(spans, {}, NOW_NS) == (spans.num_rows, 197)
        assert settler.settle(spans, {}, NOW_NS) == (0, 0)
