"""What shared costs go by is what stands in the ledger, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from agentcost_collector.model.schemas import ENTRIES, PAYER_TAGS, SHARED_BY, USES
from agentcost_collector.report.uses import allocated_entries, uses_of
from agentcost_collector.report.views import open_views
from tests.report.ledgers import booked, reversed_of, write_ledger

D = Decimal
MARCH = (date(2026, 3, 1), date(2026, 4, 1))
OCTOBER_1 = datetime(2026, 10, 1, tzinfo=UTC)
LAST = datetime(2026, 10, 31, 23, 59, 59, 999999, tzinfo=UTC)


def _uses(data: Path, columns: list[str], days: tuple[date, date] = MARCH) -> list[dict]:
    table = uses_of(open_views(data), *days, columns)
    assert table.schema.equals(USES)
    rows = [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]
    return sorted(rows, key=str)


TAGS = {"feature": "search", "team": "core", "tenant": "acme", "environment": "production"}


def test_like_steps_are_added_up(tmp_path: Path) -> None:
    """Money, tokens without the reasoning part, steps, seconds and units, each exact; steps that
    differ in a column that was asked for are apart, other columns are not."""
    write_ledger(
        tmp_path,
        [
            [
                booked(
                    step_id="1", service="rag", cost_usd=D("1.000000000001"), list_cost_usd=D(2)
                ),
                booked(step_id="2", service="rag", model="other", reasoning_tokens=5),
                booked(
                    step_id="3",
                    service="bot",
                    cost_usd=None,
                    input_tokens=None,
                    output_tokens=2**62,
                    cache_read_tokens=2**62,
                    gpu_seconds=D("0.000000001"),
                    units=D("2.5"),
                ),
            ]
        ],
    )
    assert _uses(tmp_path, ["service"]) == [
        {**TAGS, "service": "bot", "tokens": D(2**63), "calls": D(1)}
        | {"gpu_seconds": D("0.000000001"), "units": D("2.5")},
        {**TAGS, "service": "rag", "tokens": D(220), "calls": D(2)}
        | {"cost": D("1.000350000001"), "list_cost": D(2)},
    ]
    assert len(_uses(tmp_path, [])) == 1
    assert len(_uses(tmp_path, list(SHARED_BY))) == 3
    assert [row["calls"] for row in _uses(tmp_path, [])] == [3]


def test_only_what_stands_on_these_days(tmp_path: Path) -> None:
    """Corrected steps count once, withdrawn ones and other days do not, allocated ones never."""
    wrong = booked(step_id="1", feature="wrong")
    gone = booked(step_id="2", feature="gone")
    write_ledger(
        tmp_path,
        [
            [wrong, gone, booked(step_id="3", date=date(2026, 4, 1), feature="later")],
            [reversed_of(wrong, 2), booked(2, step_id="1", feature="right"), reversed_of(gone, 2)],
            [booked(3, step_id="4", date=date(2026, 3, 31), feature="last")],
            [booked(4, step_id="5", kind="allocated", feature="bill")],
        ],
    )
    assert [row["feature"] for row in _uses(tmp_path, [])] == ["last", "right"]
    assert _uses(tmp_path, [], (date(2026, 3, 2), date(2026, 3, 31))) == []
    assert set(PAYER_TAGS) <= set(USES.names)


def test_an_empty_ledger_has_no_uses(tmp_path: Path) -> None:
    """No rows, the same columns."""
    assert _uses(tmp_path, ["model"]) == []
    assert allocated_entries(open_views(tmp_path), [("shared/a", *MARCH)]).schema.equals(ENTRIES)


def test_booked_entries_of_overlapping_periods(tmp_path: Path) -> None:
    """All entries of the same cost whose period touches the asked one, of whatever sign; not its
    other periods, not other costs whose id begins alike, not steps."""
    common = {"kind": "allocated", "started_at": OCTOBER_1, "ended_at": LAST}
    ours = booked(step_id="1", rate_id="shared/a@2026-10-01", **common)
    write_ledger(
        tmp_path,
        [
            [
                ours,
                booked(step_id="2", rate_id="shared/ab@2026-10-01", **common),
                booked(step_id="3", rate_id="shared/a@2026-10-01", **{**common, "kind": "llm"}),
            ],
            [reversed_of(ours, 2)],
        ],
    )

    def found(sku: str, first: date, until: date) -> pa.Table:
        return allocated_entries(open_views(tmp_path), [("x", first, until), (sku, first, until)])

    rows = found("shared/a", date(2026, 10, 31), date(2026, 12, 1))
    assert rows.schema.equals(ENTRIES)
    assert sorted(rows["sign"].to_pylist()) == [-1, 1]
    assert {row["step_id"] for row in rows.to_pylist()} == {"1"}
    assert found("shared/a", date(2026, 9, 1), date(2026, 10, 1)).num_rows == 0
    assert found("shared/a", date(2026, 11, 1), date(2026, 12, 1)).num_rows == 0
    assert found("shared/a", date(2026, 9, 1), date(2026, 10, 2)).num_rows == 2
    assert allocated_entries(open_views(tmp_path), []).num_rows == 0
