"""`agentcost explain`: why some traces cost what they cost."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agentcost_collector.cli.options import (
    DataOption,
    PolicyOption,
    RateCardsOption,
    reading,
    settings_from,
    utf8,
)
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from decimal import Decimal

    import duckdb
    import pyarrow as pa

    from agentcost_collector.cli.explanation import Explained
    from agentcost_collector.ledger.reader import LedgerReader

_PREFIX_MIN = 6
_LOOKUPS = (
    ("trace_id", "spans WHERE trace_id = lower(?) GROUP BY trace_id ORDER BY min(start_ns)"),
    ("parent_run_id", "steps WHERE parent_run_id = ? GROUP BY trace_id ORDER BY min(started_at)"),
    ("session_id", "steps WHERE session_id = ? GROUP BY trace_id ORDER BY min(started_at)"),
)
_PREFIX = "SELECT DISTINCT trace_id FROM spans WHERE starts_with(trace_id, lower(?)) LIMIT 2"


class Format(StrEnum):
    """How the explanation is written."""

    TREE = "tree"
    TEXT = "text"
    JSON = "json"
    FOLDED = "folded"
    SVG = "svg"


def explain(
    asked: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A trace id (or its first 6 digits or more), parent_run_id or session_id;"
            " a period (2026-05, last-month); feature:NAME.",
            show_default=False,
            callback=utf8,
        ),
    ],
    data: DataOption = None,
    format: Annotated[  # noqa: A002
        Format,
        typer.Option(
            "--format",
            help="text: total and drivers; tree: with every span; json: every fact, exact; "
            "folded: stacks with pico-dollars; svg: a flame graph.",
        ),
    ] = Format.TREE,
    period: Annotated[
        str,
        typer.Option("--period", metavar="PERIOD", help="Of feature:NAME.", callback=utf8),
    ] = "this-month",
    rate_cards: RateCardsOption = None,
    policy: PolicyOption = None,
) -> None:
    """Show a trace, run or session: what each step cost, and who pays.

    Of a period the features, of a feature the dearest runs: from the bill down to a step. With the
    rate line of each cost and where each tag was found; with the spans that were not
    counted, and why. Worked out again from the evidence, and compared with what is booked.
    """
    from agentcost_collector import kernel
    from agentcost_collector.cli import drill, explanation
    from agentcost_collector.ledger.reader import LedgerReader
    from agentcost_collector.report.period import FORMS
    from agentcost_collector.report.views import open_views

    settings = reading(settings_from(data=data, rate_cards=rate_cards, policy=policy))
    if asked.startswith(drill.FEATURE):
        chosen = drill.period_of(settings, period)
        if chosen is None:
            raise ConfigError(f"--period {period}: not a period; give {FORMS}")
        drill.feature_explained(settings, asked, chosen, format)
        return
    connection = open_views(settings.data)
    found = _find(connection, asked)
    named = None if found else drill.period_of(settings, asked)
    if named:
        drill.period_explained(settings, named, format)
        return
    found_by, trace_ids = found or _nothing(asked)
    spans = _evidence(LedgerReader(settings.ledger_path), trace_ids)
    charges, verdicts = kernel.explain(spans, kernel.Rulebook.of(settings))
    explained = explanation.explain_traces(
        trace_ids, spans, charges, verdicts, _booked(connection, trace_ids)
    )
    if format is Format.JSON:
        typer.echo(explanation.as_json(asked, found_by, explained))
    elif format in (Format.FOLDED, Format.SVG):
        _flame(asked, explained, format)
    else:
        _words(connection, asked, trace_ids, explained)
        if format is Format.TREE:
            explanation.print_tree(explained)


def _words(
    connection: duckdb.DuckDBPyConnection, asked: str, trace_ids: list[str], explained: Explained
) -> None:
    """Total, drivers, and what differs from the usual run of the feature that pays most of it."""
    from decimal import Decimal

    from agentcost_collector.cli import why
    from agentcost_collector.explain import break_down, usual
    from agentcost_collector.report.sql import ALL_TOKENS

    for line in why.sentences(asked, break_down(explained.charges)):
        typer.echo(line)
    paid: dict[str, Decimal] = {}
    for charge in explained.charges:
        if charge["feature"] is not None:
            cost = charge["cost_usd"] or Decimal(0)
            paid[charge["feature"]] = paid.get(charge["feature"], Decimal(0)) + cost
    if not paid:
        return
    feature = max(sorted(paid), key=lambda name: paid[name])
    mine = [charge for charge in explained.charges if charge["feature"] == feature]
    found = break_down(mine)
    tokens = sum(charge[name] or 0 for charge in mine for name in ALL_TOKENS)
    runs = len({charge["parent_run_id"] or charge["trace_id"] for charge in mine})
    before = usual(connection, feature, trace_ids, found.drivers)
    for line in why.compared(found, tokens, runs, before):
        typer.echo(line)


def _flame(asked: str, explained: Explained, format: Format) -> None:  # noqa: A002
    """The picture to stdout. Stacks stand there alone: what they do not hold goes to stderr."""
    from agentcost_collector.cli import why
    from agentcost_collector.explain import break_down, fold, folded_lines, svg

    stacks = fold(explained.charges)
    line = why.total(asked, break_down(explained.charges))
    if format is Format.SVG:
        typer.echo(svg(stacks, asked, [line]), nl=False)
        return
    for stack in folded_lines(stacks):
        typer.echo(stack)
    typer.echo(line, err=True)


def _find(connection: duckdb.DuckDBPyConnection, asked: str) -> tuple[str, list[str]] | None:
    """What `asked` is, and the traces that it names, oldest first; None where there are none."""
    for found_by, lookup in _LOOKUPS:
        rows = connection.execute(f"SELECT trace_id FROM {lookup}, trace_id", [asked]).fetchall()
        if rows:
            return found_by, [row[0] for row in rows]
    rows = connection.execute(_PREFIX, [asked]).fetchall() if len(asked) >= _PREFIX_MIN else []
    if len(rows) > 1:
        raise ConfigError(f"{asked}: several traces begin so; give more digits")
    return ("trace_id_prefix", [rows[0][0]]) if rows else None


def _nothing(asked: str) -> NoReturn:
    short = f"; a trace needs its first {_PREFIX_MIN} digits"
    more = "" if len(asked) >= _PREFIX_MIN else short
    raise ConfigError(f"{asked}: no settled trace, run or session has this id{more}")


def _evidence(ledger: LedgerReader, trace_ids: list[str]) -> pa.Table:
    """Spans of these traces and of those that they link to, which may say who pays."""
    import pyarrow as pa

    spans = ledger.spans_of(trace_ids)
    links = {link["trace_id"] for links in spans["links"].to_pylist() for link in links or ()}
    linked = ledger.spans_of(sorted(links - set(trace_ids) - {None}))
    return pa.concat_tables([spans, linked])


def _booked(connection: duckdb.DuckDBPyConnection, trace_ids: list[str]) -> Decimal | None:
    query = "SELECT sum(cost_usd) FROM steps WHERE trace_id IN (SELECT unnest(?))"
    row = connection.execute(query, [trace_ids]).fetchone()
    assert row is not None
    total: Decimal | None = row[0]
    return total
