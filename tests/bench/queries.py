"""How long twelve usual questions take on a large ledger, without cubes and with them.

Each is asked of a connection that is open, as the dashboard has it; opening is measured apart. The
first answer, which may wait for the disk, counts like the others.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from agentcost_collector.report.config import Config
from agentcost_collector.report.query import select
from agentcost_collector.report.roll_up import roll_up
from agentcost_collector.report.views import open_views

_MONTH = "strftime({day}, '%Y-%m') AS month"
_SUMS = (
    "sum({steps}) AS steps, sum(cost_usd) AS cost_usd,"
    " sum({steps}) FILTER (cost_status IN ('unpriced', 'partial')) AS unpriced_steps"
)

QUESTIONS = {
    "by feature and month": f"SELECT feature, {_MONTH}, {_SUMS} FROM {{payers}} GROUP BY ALL",
    "chargeback": f"SELECT owner_team, team, {_MONTH}, {_SUMS} FROM {{rows}} GROUP BY ALL",
    "top tenants": f"SELECT tenant, {_SUMS} FROM {{payers}} GROUP BY tenant"
    " ORDER BY cost_usd DESC NULLS LAST LIMIT 20",
    "one run": "SELECT * FROM steps WHERE trace_id = '{trace_id}' AND date = DATE '{date}'",
    "one session": "SELECT session_id, count(*), sum(cost_usd) FROM steps"
    " WHERE session_id = '{session_id}' AND date = DATE '{date}' GROUP BY 1",
    "unattributed": f"SELECT service, unattributed_reason, {_SUMS} FROM {{rows}}"
    " WHERE feature IS NULL GROUP BY ALL",
    "by model and day": f"SELECT model, {{day}}, {_SUMS} FROM {{rows}} GROUP BY ALL",
    "dearest runs of a day": "SELECT trace_id, feature, count(*), sum(cost_usd) AS cost_usd"
    " FROM steps WHERE date = DATE '{date}' GROUP BY ALL ORDER BY cost_usd DESC"
    " NULLS LAST LIMIT 20",
    "by owner": f"SELECT owner_team, owner_service, tool, {_SUMS} FROM {{rows}} GROUP BY ALL",
    "unpriced": "SELECT provider, model, sum({steps}) AS steps FROM {rows}"
    " WHERE cost_status IN ('unpriced', 'partial') GROUP BY ALL",
    "features of this month": f"SELECT feature, {_SUMS} FROM {{payers}}"
    " WHERE {day} >= date_trunc('month', DATE '{date}') GROUP BY feature",
    "by hour of the last day": f"SELECT {{hour}}, {_SUMS} FROM {{hours}}"
    " WHERE {day} = DATE '{date}' GROUP BY 1",
}

BARE = {
    "rows": "ledger",
    "payers": "ledger",
    "hours": "ledger",
    "day": "date",
    "hour": "date_trunc('hour', ended_at)",
    "steps": "sign",
}
"""Without cubes: the entries themselves, which add up as they are."""
CUBED = {
    "rows": "days_by_work",
    "payers": "days_by_payer",
    "hours": "hours",
    "day": "day",
    "hour": "hour",
    "steps": "steps",
}


def main(arguments: list[str]) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.queries", description=__doc__)
    parser.add_argument("data", type=Path, help="data folder without cubes, which are made")
    parser.add_argument("--tries", type=int, default=7, help="of each question, default: 7")
    options = parser.parse_args(arguments)
    data: Path = options.data
    cubes = data / "rollups"
    if cubes.exists():
        sys.exit(f"{cubes} exists; remove it first, cubes are made again here")
    table = Table("seconds", "p50", "p95", "p50 with cubes", "p95 with cubes")
    for column in table.columns[1:]:
        column.justify = "right"
    bare = measured(data, options.tries, BARE)
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    roll_up(data, Config(), time.time_ns(), lambda _done, _all: None)
    took = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
    for name, with_cubes in measured(data, options.tries, CUBED).items():
        table.add_row(name, *shown(bare[name]), *shown(with_cubes))
    Console(width=100).print(table)
    Console().print("cubes made in {:.1f} s, {:.1f} s of processor time".format(*took))


def measured(data: Path, tries: int, asked: Mapping[str, str]) -> dict[str, list[float]]:
    """Seconds of each try of opening and of each question, `asked` of BARE or CUBED rows."""
    seconds = {"opening": [timed(lambda: open_views(data).close()) for _ in range(tries)]}
    connection = open_views(data)
    facts = {**last_run(connection), **asked}
    for name, question in QUESTIONS.items():
        ask = partial(_answer, connection, question.format(**facts))
        seconds[name] = [timed(ask) for _ in range(tries)]
    connection.close()
    return seconds


def _answer(connection: duckdb.DuckDBPyConnection, question: str) -> None:
    select(connection, question).read_all()


def last_run(connection: duckdb.DuckDBPyConnection) -> dict[str, object]:
    """Trace, session and date of some run of the last day."""
    rows = connection.sql(
        "SELECT trace_id, session_id, CAST(date AS VARCHAR) FROM ledger"
        " WHERE date = (SELECT max(date) FROM ledger) AND session_id IS NOT NULL LIMIT 1"
    ).fetchall()
    return dict(zip(("trace_id", "session_id", "date"), rows[0], strict=True))


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


def shown(seconds: list[float]) -> tuple[str, str]:
    """p50 and p95; of fewer than 20 tries the latter is the greatest."""
    ordered = sorted(seconds)
    return f"{statistics.median(ordered):.3f}", f"{ordered[int(len(ordered) * 0.95)]:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
