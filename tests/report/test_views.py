"""The views say what the ledger says, to the last decimal, and can do nothing else."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.money import USD
from agentcost_collector.model.schemas import ENTRIES, MONEY, SIGNED, SPANS
from agentcost_collector.report.views import BUDGETS, RATES, open_views, write_views
from tests.report.ledgers import STEP, booked, reversed_of, write_ledger, write_spans

VIEWS = (
    "ledger",
    "steps",
    "runs",
    "sessions",
    "chargeback",
    "unattributed",
    "hours",
    "days",
    "days_by_payer",
    "days_by_work",
    "spans",
    "rates",
    "budgets",
    "seals",
)
NOT_IN_STEPS = {"sign", "entry_reason", "booked_at", "journal", "batch_seq", "row_no"}


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[object, ...]]:
    return connection.execute(query).fetchall()


def test_an_empty_ledger_has_all_views(tmp_path: Path) -> None:
    """Without one commit every view exists, has no rows, and the documented columns and types."""
    connection = open_views(tmp_path / "nothing")
    for view in VIEWS:
        assert _rows(connection, f"SELECT count(*) FROM {view}") == [(0,)]
    tables = {v: connection.sql(f"FROM {v}").to_arrow_table() for v in VIEWS}
    assert tables["ledger"].schema.names == ENTRIES.names
    assert tables["steps"].schema.names == [n for n in ENTRIES.names if n not in NOT_IN_STEPS]
    assert tables["spans"].schema.names == [*SPANS.names, "environment", "date"]
    assert tables["rates"].schema.names == RATES.names
    assert tables["budgets"].schema.names == BUDGETS.names
    for name in ("ledger", "steps", "runs", "sessions"):
        assert all(tables[name].schema.field(m).type == USD for m in MONEY)


def test_types_do_not_depend_on_rows(tmp_path: Path) -> None:
    """A ledger with rows has the same columns and types as an empty one."""
    write_ledger(tmp_path, [[booked()]])
    write_spans(tmp_path, [{"trace_id": "a" * 32, "span_id": "1" * 16, "attributes": [("k", "v")]}])
    full, empty = open_views(tmp_path), open_views(tmp_path / "nothing")
    for view in VIEWS:
        assert full.sql(f"FROM {view}").types == empty.sql(f"FROM {view}").types
        assert full.sql(f"FROM {view}").columns == empty.sql(f"FROM {view}").columns


def test_a_row_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Every value of an entry, also the partition columns that are only in the path."""
    entry = booked(environment="other")
    write_ledger(tmp_path, [[entry]])
    (row,) = open_views(tmp_path).sql("FROM ledger").to_arrow_table().to_pylist()
    assert row == {name: entry.get(name) for name in ENTRIES.names}
    (step,) = open_views(tmp_path).sql("FROM steps").to_arrow_table().to_pylist()
    assert step == {n: v for n, v in row.items() if n not in NOT_IN_STEPS}


def test_steps_are_what_stands(tmp_path: Path) -> None:
    """A corrected step is there once with its last content, a withdrawn one is gone."""
    kept = booked(step_id="kept")
    first = booked(step_id="moved")
    moved = booked(2, step_id="moved", feature="chat", cost_usd=None, cost_status="unpriced")
    again = booked(4, step_id="moved", feature="search")  # back to what it was at first
    gone = booked(step_id="gone")
    write_ledger(
        tmp_path,
        [
            [kept, first, gone],
            [reversed_of(first, 2), moved],
            [reversed_of(gone, 3)],
            [reversed_of(moved, 4), again],
        ],
    )
    connection = open_views(tmp_path)
    standing = connection.sql("FROM steps ORDER BY step_id").to_arrow_table().to_pylist()
    assert [row["step_id"] for row in standing] == ["kept", "moved"]
    expected = {n: again.get(n) for n in ENTRIES.names if n not in NOT_IN_STEPS}
    assert standing[1] == expected
    assert _rows(connection, "SELECT sum(sign), count(*) FROM ledger") == [(2, 8)]


def test_runs_and_sessions(tmp_path: Path) -> None:
    """A run is a parent_run_id over all its traces, else one trace; no step is left out."""
    write_ledger(
        tmp_path,
        [
            [
                booked(step_id="1", parent_run_id="r1", session_id="x", feature="b"),
                booked(step_id="2", trace_id="b" * 32, parent_run_id="r1", session_id="x"),
                booked(step_id="3", trace_id="c" * 32, feature=None, cost_status="partial"),
                booked(step_id="4", trace_id="c" * 32, cost_usd=None, cost_status="unpriced"),
                booked(step_id="5", trace_id="d" * 32, cost_usd=None, cost_status="unmetered"),
            ]
        ],
    )
    connection = open_views(tmp_path)
    assert _rows(
        connection,
        "SELECT run_id, parent_run_id, traces, steps, features, cost_usd, tokens, unpriced_steps,"
        " unattributed_steps FROM runs ORDER BY run_id",
    ) == [
        ("c" * 32, None, 1, 2, ["search"], Decimal("0.000350000000"), 220, 2, 1),
        ("d" * 32, None, 1, 1, ["search"], None, 110, 0, 0),
        ("r1", "r1", 2, 2, ["b", "search"], Decimal("0.000700000000"), 220, 0, 0),
    ]
    assert _rows(connection, "SELECT session_id, runs, traces, steps FROM sessions ORDER BY 1") == [
        ("x", 1, 2, 2),
        (None, 2, 2, 3),
    ]


def test_tokens_leave_out_what_is_part_of_others(tmp_path: Path) -> None:
    """`tokens` adds the disjoint columns only; nothing reported is NULL, zero is zero."""
    none = {"input_tokens": None, "output_tokens": None}
    write_ledger(
        tmp_path,
        [
            [
                booked(parent_run_id="a", step_id="1", cache_read_tokens=7, reasoning_tokens=4),
                booked(parent_run_id="b", step_id="2", **none),
                booked(parent_run_id="c", step_id="3", input_tokens=0, output_tokens=None),
            ]
        ],
    )
    query = "SELECT tokens FROM runs ORDER BY run_id"
    assert _rows(open_views(tmp_path), query) == [(117,), (None,), (0,)]


amounts = st.none() | st.decimals(-(10**25), 10**25, places=12, allow_nan=False)
histories = st.lists(  # per step: its contents one after the other; None takes it away again
    st.lists(
        st.none()
        | st.tuples(amounts, st.none() | st.integers(0, 2**40), st.sampled_from([None, "a", "b"])),
        min_size=1,
        max_size=4,
    ),
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(histories)
def test_every_view_has_the_same_sums(contents: list[list[tuple | None]]) -> None:
    """Whatever was corrected how often: all sums agree, in all and under any filter."""
    batches: list[list[dict]] = [[] for _ in range(4)]
    standing = []
    for step, history in enumerate(contents):
        now = None
        for batch, content in enumerate(history):
            if now is not None:
                batches[batch].append(reversed_of(now, batch))
            now = None
            if content is not None:
                cost, tokens, feature = content
                now = booked(
                    batch,
                    step_id=f"s{step}",
                    trace_id=f"{step % 2}" * 32,
                    cost_usd=cost,
                    input_tokens=tokens,
                    feature=feature,
                )
                batches[batch].append(now)
        if now is not None:
            standing.append(now)
    with tempfile.TemporaryDirectory() as folder:
        write_ledger(Path(folder), [b for b in batches if b])
        connection = open_views(Path(folder))
        for where, kept in (
            ("true", standing),
            ("feature = 'a'", [s for s in standing if s["feature"] == "a"]),
            ("feature IS NULL", [s for s in standing if s["feature"] is None]),
            ("date < DATE '2026-01-01'", []),
        ):
            for view in ("ledger", "steps"):
                query = f"SELECT sum(cost_usd), sum(input_tokens) FROM {view} WHERE {where}"
                assert _exact(_rows(connection, query)[0]) == [
                    _exact_sum(kept, name) for name in ("cost_usd", "input_tokens")
                ]
        (total,) = _rows(connection, "SELECT sum(cost_usd), sum(steps) FROM runs")
        assert _exact(total) == [_exact_sum(standing, "cost_usd"), len(standing)]


def _exact_sum(rows: list[dict], name: str) -> Fraction:
    return sum((Fraction(r[name]) for r in rows if r[name] is not None), Fraction(0))


def _exact(row: tuple) -> list[Fraction]:
    return [Fraction(value or 0) for value in row]


def test_all_signed_columns_are_net(tmp_path: Path) -> None:
    """No column that a reversal negates comes back negative from a step that stands."""
    decimal = {f.name for f in ENTRIES if pa.types.is_decimal(f.type)}
    values = {name: Decimal(7) if name in decimal else 7 for name in SIGNED}
    first = booked(step_id="x", **values, target="old")
    last = booked(2, step_id="x", **values, target="new")
    write_ledger(tmp_path, [[first], [reversed_of(first, 2), last]])
    (step,) = open_views(tmp_path).sql("FROM steps").to_arrow_table().to_pylist()
    assert {name: step[name] for name in SIGNED} == values
    assert step["target"] == "new"


def test_only_files_of_the_log_count(tmp_path: Path) -> None:
    """A file beside the log (a crash left it, or it was compacted away) is never read."""
    write_ledger(tmp_path, [[booked()]])
    (part,) = (tmp_path / "ledger/ledger").rglob("*.parquet")
    part.with_name("part-orphan.parquet").write_bytes(part.read_bytes())
    assert _rows(open_views(tmp_path), "SELECT count(*) FROM ledger") == [(1,)]


def test_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """Quotes, spaces and glob characters in the path of the data folder are only a name."""
    odd = tmp_path / "it's the *data*? #1 é"
    write_ledger(odd, [[booked()]])
    assert _rows(open_views(odd), "SELECT count(*) FROM steps") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('{data}/**/*.parquet')",
        "COPY ledger TO '{data}/out.parquet'",
        "EXPORT DATABASE '{data}'",
        "ATTACH '{data}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "SELECT * FROM STEP",
    ],
)
def test_nothing_else_can_be_reached(tmp_path: Path, statement: str) -> None:
    """No other file is read, nothing is written, nothing set, no variable of ours seen."""
    write_ledger(tmp_path, [[booked()]])
    before = sorted(tmp_path.rglob("*"))
    assert STEP  # the last statement names it
    with pytest.raises(duckdb.Error):
        open_views(tmp_path).execute(statement.format(data=tmp_path)).fetchall()
    assert sorted(tmp_path.rglob("*")) == before


def test_rates_are_shown_as_given(tmp_path: Path) -> None:
    """The rate book's table is the view `rates`, amounts exact."""
    row = {"sku": "openai/gpt-4o", "amount": Decimal("2.500000000000000001"), "per": 10**6}
    rates = pa.Table.from_pylist([row], schema=RATES)
    query = "SELECT sku, amount, per FROM rates"
    assert _rows(open_views(tmp_path, rates), query) == [tuple(row.values())]


def test_a_file_for_other_clients(tmp_path: Path) -> None:
    """The written file answers the same from any folder, and is replaced when asked again."""
    data, output = tmp_path / "data", tmp_path / "out.duckdb"
    write_ledger(data, [[booked()]])
    write_views(data, output)
    write_ledger(data, [[booked(2, step_id="s2")]])
    query = "SELECT sum(cost_usd), count(*) FROM steps"
    with duckdb.connect(str(output), read_only=True) as connection:
        assert _rows(connection, query) == [(Decimal("0.000350000000"), 1)]
    write_views(data, output)
    with duckdb.connect(str(output), read_only=True) as connection:
        assert _rows(connection, query) == [(Decimal("0.000700000000"), 2)]
        assert {n for (n,) in _rows(connection, "SHOW TABLES")} == set(VIEWS)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_file_of_someone_else_is_kept(tmp_path: Path) -> None:
    """What we did not write is never replaced."""
    text, other = tmp_path / "notes.txt", tmp_path / "other.duckdb"
    text.write_text("mine")
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1")
    with pytest.raises(ConfigError, match="not a DuckDB file"):
        write_views(tmp_path, text)
    with pytest.raises(ConfigError, match="holds mine"):
        write_views(tmp_path, other)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_views(tmp_path, tmp_path / "no/such/folder.duckdb")
    assert text.read_text() == "mine"
