"""The views as SQL text. No `/` and no AVG on money: both would leave DECIMAL.

ledger    row = entry, as booked; a reversal has sign -1 and negative quantities and money
steps     row = step that stands: entries net of reversals
runs      row = run: steps with the same parent_run_id, else of the same trace
sessions  row = session_id; NULL holds all steps without one, so that sums agree
chargeback    row = owner_team x team x month; NULL is a row and a column of its own
unattributed  row = service and reason for which steps have no feature that pays
spans     row = span kept as evidence
seals     row = seal of a committed batch
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from agentcost_collector.model.schemas import ENTRIES, MONEY, SIGNED, SPANS, TOKENS

_BOOKING = ("sign", "entry_reason", "booked_at", "journal", "batch_seq", "row_no")
SEALS = {
    "journal": "VARCHAR",
    "batch_seq": "BIGINT",
    "rows": "BIGINT",
    "cost_usd": "DECIMAL(38,12)",
    "batch_hash": "VARCHAR",
    "files": "VARCHAR[]",
    "sealed_at": "TIMESTAMP",
    "prev": "VARCHAR",
    "seal": "VARCHAR",
}
"""Columns of the view `seals`."""
_PARTITIONS = {"environment": "VARCHAR", "date": "DATE"}
_STEP_KEY = ("date", "trace_id", "step_id")
_STEP_COLUMNS = [name for name in ENTRIES.names if name not in _BOOKING]

LEDGER_COLUMNS = ENTRIES
SPAN_COLUMNS = pa.schema([*SPANS, ("environment", pa.string()), ("date", pa.date32())])

ALL_TOKENS = [name for name in TOKENS if name != "reasoning_tokens"]  # those are in output_tokens

NOT_FULLY_PRICED = "cost_status IN ('unpriced', 'partial')"
UNATTRIBUTED = "feature IS NULL"


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def files_view(name: str, files: Sequence[str], columns: pa.Schema, types: Sequence[str]) -> str:
    """View over exactly `files`; partition values come from their paths. No files: no rows."""
    if not files:
        typed = ", ".join(
            f'CAST(NULL AS {of_type}) AS "{column}"'
            for column, of_type in zip(columns.names, types, strict=True)
        )
        return f"CREATE VIEW {name} AS SELECT {typed} WHERE false"
    listed = ", ".join(quoted(file) for file in files)
    partitions = ", ".join(f"{key}: {of_type}" for key, of_type in _PARTITIONS.items())
    return (
        f"CREATE VIEW {name} AS SELECT {', '.join(columns.names)} FROM read_parquet("
        f"[{listed}], hive_partitioning = true, hive_types = {{{partitions}}})"
    )


def seals_view(files: Sequence[str]) -> str:
    """View over the chains of seals in `files`."""
    if not files:
        typed = ", ".join(f"CAST(NULL AS {of_type}) AS {name}" for name, of_type in SEALS.items())
        return f"CREATE VIEW seals AS SELECT {typed} WHERE false"
    as_text = {"cost_usd": "VARCHAR", "sealed_at": "VARCHAR"}
    columns = ", ".join(f"{name}: '{as_text.get(name, of)}'" for name, of in SEALS.items())
    typed = ", ".join(
        f"strptime({name}, '%Y-%m-%dT%H:%M:%SZ') AS {name}"
        if name == "sealed_at"
        else f"CAST({name} AS {of_type}) AS {name}"
        for name, of_type in SEALS.items()
    )
    return (
        f"CREATE VIEW seals AS SELECT {typed} FROM read_json("
        f"[{', '.join(map(quoted, files))}], format = 'newline_delimited', columns = {{{columns}}})"
    )


def steps_view() -> str:
    """What stands. Only steps that were ever reversed are grouped; the rest pass as they are.

    A reversal is filed under the day and the trace of what it reverses. Joins, not ANTI and SEMI
    joins: what a query asks of these columns is then asked of both sides, so that a run or a day is
    found without reading the others.
    """
    unsigned = ", ".join(
        f"CASE WHEN sign < 0 THEN -{name} ELSE {name} END AS {name}" if name in SIGNED else name
        for name in _STEP_COLUMNS
    )
    columns = ", ".join(_STEP_COLUMNS)
    corrected = f"(SELECT DISTINCT {', '.join(_STEP_KEY)} FROM ledger WHERE sign < 0)"
    same = " AND ".join(f"entry.{name} = reversed.{name}" for name in _STEP_KEY)
    return f"""
CREATE VIEW steps AS
SELECT {", ".join(f"entry.{name}" for name in _STEP_COLUMNS)}
FROM ledger AS entry LEFT JOIN {corrected} AS reversed ON {same} WHERE reversed.step_id IS NULL
UNION ALL
SELECT {columns}
FROM (SELECT {unsigned}, sign FROM ledger JOIN {corrected} USING ({", ".join(_STEP_KEY)}))
GROUP BY {columns}
HAVING sum(sign) <> 0"""


def runs_view() -> str:
    """Steps per run."""
    return f"""
CREATE VIEW runs AS
SELECT coalesce(parent_run_id, trace_id) AS run_id, max(parent_run_id) AS parent_run_id,
    {_measures()}
FROM steps GROUP BY coalesce(parent_run_id, trace_id)"""


def sessions_view() -> str:
    """Steps per session."""
    return f"""
CREATE VIEW sessions AS
SELECT session_id, count(DISTINCT coalesce(parent_run_id, trace_id)) AS runs, {_measures()}
FROM steps GROUP BY session_id"""


def chargeback_view() -> str:
    """Steps per team that did the work, team that pays, and month of the day they are filed under.

    Rows, columns and months each add up to the ledger.
    """
    return f"""
CREATE VIEW chargeback AS
SELECT owner_team, team, strftime(date, '%Y-%m') AS period,
    count(*) AS steps,
    sum(cost_usd) AS cost_usd,
    count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps
FROM steps GROUP BY owner_team, team, strftime(date, '%Y-%m')"""


def unattributed_view() -> str:
    """Steps that no feature pays for, and their share of all that was spent.

    `share` is a decimal fraction, computed in integers; NULL where nothing was spent.
    """
    part = _pico("coalesce(sum(cost_usd), 0)")
    whole = _pico("(SELECT coalesce(sum(cost_usd), 0) FROM steps)")
    return f"""
CREATE VIEW unattributed AS
SELECT service, unattributed_reason, steps, cost_usd, unpriced_steps,
    CASE WHEN whole > 0 THEN CAST(
        TRY(sign(part) * ((2 * abs(part) * 1000000 + whole) // (2 * whole))) AS DECIMAL(18,0)
    ) * 0.000001 END AS share
FROM (
    SELECT service, unattributed_reason,
        count(*) AS steps,
        sum(cost_usd) AS cost_usd,
        count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps,
        {part} AS part, {whole} AS whole
    FROM steps WHERE {UNATTRIBUTED} GROUP BY ALL)"""


def token_sum(names: Sequence[str]) -> str:
    """Sum of token columns over a group of steps; NULL where none of them was reported."""
    # adding up sums, not rows, takes half the time
    sums = [f"sum({name})" for name in names]
    whole = " + ".join(f"coalesce({each}, 0)" for each in sums)
    return f"CAST(CASE WHEN coalesce({', '.join(sums)}) IS NOT NULL THEN {whole} END AS BIGINT)"


def _pico(usd: str) -> str:
    """An amount as an integer of its smallest digit. Multiplying it could overflow."""
    return f"CAST(replace(CAST({usd} AS VARCHAR), '.', '') AS HUGEINT)"


def _measures() -> str:
    return ", ".join(
        [
            "count(DISTINCT trace_id) AS traces",
            "count(*) AS steps",
            *(f"{_distinct(tag)} AS {tag}s" for tag in ("feature", "team", "tenant")),
            "min(started_at) AS started_at",
            "max(ended_at) AS ended_at",
            *(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in TOKENS),
            f"{token_sum(ALL_TOKENS)} AS tokens",
            *(f"sum({name}) AS {name}" for name in (*MONEY, "reported_cost_usd")),
            f"count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps",
            f"count(*) FILTER ({UNATTRIBUTED}) AS unattributed_steps",
        ]
    )


def _distinct(tag: str) -> str:
    return f"list_sort(list(DISTINCT {tag}) FILTER ({tag} IS NOT NULL))"
