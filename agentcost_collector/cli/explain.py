"""`agentcost explain`: why some traces cost what they cost."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import DataOption, RateCardsOption, reading, settings_from
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    import duckdb

_PREFIX_MIN = 6
_LOOKUPS = (
    ("trace_id", "SELECT trace_id, min(start_ns) FROM spans WHERE trace_id = lower(?)"),
    ("parent_run_id", "SELECT trace_id, min(started_at) FROM steps WHERE parent_run_id = ?"),
    ("session_id", "SELECT trace_id, min(started_at) FROM steps WHERE session_id = ?"),
)
_PREFIX = "SELECT DISTINCT trace_id FROM spans WHERE starts_with(trace_id, lower(?)) LIMIT 2"


class Format(StrEnum):
    """How the explanation is written."""

    TREE = "tree"
    JSON = "json"


def explain(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="TRACE_OR_RUN_OR_SESSION",
            help="A trace id (or its first 6 digits or more), parent_run_id or session_id.",
            show_default=False,
        ),
    ],
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="json holds every fact, exact.")
    ] = Format.TREE,
    rate_cards: RateCardsOption = None,
) -> None:
    """What each step cost, at which rate, who pays and how that was found; and what was not
    counted, and why. Recomputed from the evidence."""
    from agentcost_collector import pipeline
    from agentcost_collector.cli import explanation
    from agentcost_collector.ledger import LedgerReader
    from agentcost_collector.report import open_views

    settings = reading(settings_from(data=data, rate_cards=rate_cards))
    connection = open_views(settings.data)
    found_by, trace_ids = _find(connection, asked)
    spans = LedgerReader(settings.ledger_path).spans_of(trace_ids)
    kernel = pipeline.explain(spans, settings)
    explained = explanation.explain_traces(
        trace_ids, spans, kernel.charges, kernel.verdicts, _booked(connection, trace_ids)
    )
    if format is Format.JSON:
        typer.echo(explanation.as_json(asked, found_by, explained))
    else:
        explanation.print_tree(explained)


def _find(connection: duckdb.DuckDBPyConnection, asked: str) -> tuple[str, list[str]]:
    """What `asked` is, and the traces that it names, oldest first."""
    for found_by, lookup in _LOOKUPS:
        rows = connection.execute(f"{lookup} GROUP BY 1 ORDER BY 2, 1", [asked]).fetchall()
        if rows:
            return found_by, [row[0] for row in rows]
    rows = connection.execute(_PREFIX, [asked]).fetchall() if len(asked) >= _PREFIX_MIN else []
    if len(rows) > 1:
        raise ConfigError(f"{asked}: several traces begin so; give more digits")
    if not rows:
        raise ConfigError(f"{asked}: no settled trace, run or session has this id")
    return "trace_id_prefix", [rows[0][0]]


def _booked(connection: duckdb.DuckDBPyConnection, trace_ids: list[str]) -> object:
    query = "SELECT sum(cost_usd) FROM steps WHERE trace_id IN (SELECT unnest(?))"
    row = connection.execute(query, [trace_ids]).fetchone()
    assert row is not None
    return row[0]
