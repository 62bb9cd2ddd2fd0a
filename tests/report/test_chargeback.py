"""Who worked for whom, and what nobody pays for, to the last decimal."""

from __future__ import annotations

import tempfile
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.report.views import open_views
from tests.report.ledgers import booked, reversed_of, write_ledger

D = Decimal


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def test_the_matrix_has_a_row_and_a_column_without_a_team(tmp_path: Path) -> None:
    """One row per owner, payer and month of the filing day; nobody is a team like others."""
    write_ledger(
        tmp_path,
        [
            [
                booked(step_id="1", owner_team="search", team="shop", cost_usd=D(2)),
                booked(step_id="2", owner_team="search", team="shop", cost_usd=None)
                | {"cost_status": "unpriced"},
                booked(step_id="3", owner_team="search", team=None, cost_usd=D(3)),
                booked(step_id="4", owner_team=None, team="shop", cost_usd=D(5)),
                booked(step_id="5", owner_team=None, team="shop", cost_usd=D(7))
                | {"date": date(2026, 2, 28)},
            ]
        ],
    )
    assert _rows(open_views(tmp_path), "FROM chargeback ORDER BY cost_usd") == [
        ("search", "shop", "2026-03", 2, D(2), 1),
        ("search", None, "2026-03", 1, D(3), 0),
        (None, "shop", "2026-03", 1, D(5), 0),
        (None, "shop", "2026-02", 1, D(7), 0),
    ]


def test_what_nobody_pays_for(tmp_path: Path) -> None:
    """Money and steps per service and reason, with their share of all spend, rounded half up."""
    nobody = {"feature": None, "service": "rag", "unattributed_reason": "no_tag"}
    missing = {**nobody, "unattributed_reason": "root_missing"}
    write_ledger(
        tmp_path,
        [
            [
                booked(step_id="1", cost_usd=D(2), unattributed_reason="required_tag_missing"),
                booked(step_id="2", cost_usd=D(1), **nobody),
                booked(step_id="3", cost_usd=None, **nobody) | {"cost_status": "partial"},
                booked(step_id="4", cost_usd=D("0.00001"), **missing),
                booked(step_id="5", cost_usd=None, **{**nobody, "service": None}),
            ]
        ],
    )
    assert _rows(open_views(tmp_path), "FROM unattributed ORDER BY ALL") == [
        ("rag", "no_tag", 2, D(1), 1, D("0.333332")),
        ("rag", "root_missing", 1, D("0.00001"), 0, D("0.000003")),
        (None, "no_tag", 1, None, 0, D(0)),
    ]


def test_without_spend_there_is_no_share(tmp_path: Path) -> None:
    """Nothing divided by nothing is not known, and no amount is too large for the view."""
    write_ledger(tmp_path / "none", [[booked(feature=None, cost_usd=None)]])
    assert _rows(open_views(tmp_path / "none"), "SELECT share FROM unattributed") == [(None,)]
    most = D("9" * 26 + "." + "9" * 12)
    write_ledger(tmp_path / "most", [[booked(feature=None, cost_usd=most)]])
    assert _rows(open_views(tmp_path / "most"), "SELECT cost_usd, share FROM unattributed") == [
        (most, None)
    ]


teams = st.sampled_from([None, "a", "b"])
amounts = st.none() | st.decimals(0, 10**12, places=12, allow_nan=False)
contents = st.lists(
    st.tuples(teams, teams, st.sampled_from([None, "f"]), st.integers(1, 4), amounts), max_size=8
)


@settings(max_examples=8, deadline=None)
@given(contents, contents)
def test_rows_columns_and_months_add_up_to_the_ledger(first: list, last: list) -> None:
    """Whatever was corrected: every way through the matrix, and both halves, give the total."""
    old = [_entry(1, n, *content) for n, content in enumerate(first)]
    new = [_entry(2, n, *content) for n, content in enumerate(last)]
    with tempfile.TemporaryDirectory() as folder:
        write_ledger(
            Path(folder), [b for b in (old, [*(reversed_of(e, 2) for e in old), *new]) if b]
        )
        connection = open_views(Path(folder))
        total = sum((Fraction(e["cost_usd"] or 0) for e in new), Fraction(0))
        for keys in ("owner_team", "team", "period", "owner_team, team"):
            query = f"SELECT sum(cost_usd), sum(steps) FROM chargeback GROUP BY {keys}"
            rows = _rows(connection, query)
            assert sum((Fraction(cost or 0) for cost, _ in rows), Fraction(0)) == total
            assert sum(int(steps) for _, steps in rows) == len(new)
        cell = "SELECT sum(cost_usd) FROM chargeback WHERE team IS NULL AND owner_team = 'a'"
        assert Fraction(_rows(connection, cell)[0][0] or 0) == sum(
            Fraction(e["cost_usd"] or 0) for e in new if (e["team"], e["owner_team"]) == (None, "a")
        )
        nobody = [e for e in new if e["feature"] is None]
        lost = sum((Fraction(e["cost_usd"] or 0) for e in nobody), Fraction(0))
        (found,) = _rows(connection, "SELECT sum(cost_usd), sum(steps) FROM unattributed")
        assert (Fraction(found[0] or 0), found[1] or 0) == (lost, len(nobody))
        for share, cost in _rows(connection, "SELECT share, cost_usd FROM unattributed"):
            exact = Fraction(cost or 0) / total if total else None
            assert (share is None) == (exact is None)
            assert exact is None or abs(Fraction(share) - exact) <= Fraction(1, 2 * 10**6)


def _entry(
    batch: int, number: int, team: object, owner: object, feature: object, month: int, cost: object
) -> dict:
    return booked(
        batch,
        step_id=f"{batch}/{number}",
        team=team,
        owner_team=owner,
        feature=feature,
        date=date(2026, month, 28),
        cost_usd=cost,
    )
