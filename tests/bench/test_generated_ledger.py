"""The ledger that benchmarks generate."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

from agentcost_collector.report.views import open_views
from agentcost_collector.verify import verify_seals
from tests.bench.generate_ledger import generate, last_day

STEPS = 2_000


def test_generated_ledger_is_sealed_and_nets_to_its_steps(tmp_path: Path) -> None:
    """Every seal holds, every step stands once although some were corrected, sums agree."""
    generate(tmp_path, date(2026, 10, 2), 2, STEPS, seed=7)
    generate(tmp_path, date(2026, 10, 3), 1, STEPS, seed=7)

    sealed = verify_seals(tmp_path / "ledger", [], lambda _done, _all: None)
    assert not sealed.findings
    views = open_views(tmp_path)
    steps, distinct, cost = asked(
        tmp_path, "SELECT count(*), count(DISTINCT step_id), sum(cost_usd) FROM steps"
    )
    assert (steps, distinct) == (3 * STEPS, 3 * STEPS)
    assert cost == views.execute("SELECT sum(cost_usd) FROM ledger").fetchall()[0][0]
    assert isinstance(cost, Decimal)
    assert cost > 0
    (reversals,) = asked(tmp_path, "SELECT count(*) FROM ledger WHERE sign < 0")
    assert 0 < reversals < 3 * STEPS // 20
    assert sealed.entries == 3 * STEPS + 2 * reversals
    assert last_day(tmp_path) == date(2026, 10, 3)


def test_generated_ledger_is_the_same_for_a_seed(tmp_path: Path) -> None:
    """Seed and days decide every entry."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, date(2026, 10, 2), 1, STEPS, seed)
    hashes = [batch_hashes(tmp_path / name) for name in ("a", "b", "c")]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def batch_hashes(data: Path) -> list[object]:
    views = open_views(data)
    return views.execute("SELECT batch_hash FROM seals ORDER BY batch_seq").fetchall()


def asked(data: Path, query: str) -> tuple[object, ...]:
    (row,) = open_views(data).execute(query).fetchall()
    return tuple(row)
