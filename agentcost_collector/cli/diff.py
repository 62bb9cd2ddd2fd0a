"""`agentcost diff`: what a change makes recorded traces cost."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.check import percent
from agentcost_collector.cli.options import (
    ConfigOption,
    PolicyOption,
    RateCardsOption,
    settings_from,
)
from agentcost_collector.cli.replay import replay_progress
from agentcost_collector.cli.text import amount, printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from decimal import Decimal

    import pyarrow as pa

    from agentcost_collector.settings import Settings


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


HeadArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="HEAD",
        help="Those to compare with.  [default: BASE, by the cards or policy for it]",
        show_default=False,
    ),
]
HeadCardsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--head-rate-cards",
        metavar="DIR",
        help="As --rate-cards, for HEAD alone.  [default: as for BASE]",
        show_default=False,
    ),
]
HeadPolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--head-policy",
        metavar="FILE",
        help="As --policy, for HEAD alone.  [default: as for BASE]",
        show_default=False,
    ),
]
MaxIncreaseOption = Annotated[
    str | None,
    typer.Option(
        "--max-increase",
        metavar="PERCENT",
        help="Exit with 1 where a run, of all or of one feature, costs more by this.",
        show_default=False,
    ),
]


def diff(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="Recorded traces: a file, folder or glob.")
    ],
    head: HeadArgument = None,
    rate_cards: RateCardsOption = None,
    policy: PolicyOption = None,
    head_rate_cards: HeadCardsOption = None,
    head_policy: HeadPolicyOption = None,
    config: ConfigOption = None,
    max_increase: MaxIncreaseOption = None,
    allow_unpriced: Annotated[
        bool,
        typer.Option("--allow-unpriced", help="With --max-increase: compare what has a price."),
    ] = False,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="markdown fits a summary or comment in CI.")
    ] = Format.TABLE,
) -> None:
    """Compare what two sets of recorded traces cost, or one by two sets of cards or policies.

    In all, by feature, model and tool; nothing is kept. Costs a run are compared, so that the two
    sides may hold different numbers of runs. Exit code 1 where a recording cannot be read whole,
    --max-increase is exceeded, or cannot be judged because a step has no price.
    """
    from agentcost_collector.check import compared
    from agentcost_collector.telemetry import configure_logging

    allowed = percent("--max-increase", max_increase)
    if head is None and head_rate_cards is None and head_policy is None:
        raise ConfigError("nothing to compare with; give HEAD, --head-rate-cards or --head-policy")
    before = settings_from(config, None, rate_cards, policy=policy)
    after = settings_from(config, None, head_rate_cards or rate_cards, policy=head_policy or policy)
    configure_logging("warning")
    (base_costs, base_faults), (head_costs, head_faults) = (
        _costs(base, before),
        _costs(base if head is None else head, after),
    )
    table = compared(base_costs, head_costs)
    _write(table, format)
    faults = [*base_faults, *(head_faults if head is not None else ())]
    if allowed is not None:
        faults += [*(() if allow_unpriced else _unpriced(table)), *_dearer(table, allowed)]
    for fault in faults:
        typer.echo(printable(f"agentcost: {fault}"), err=True)
    if faults:
        raise typer.Exit(1)


def _costs(path: str, settings: Settings) -> tuple[pa.Table, tuple[str, ...]]:
    """COSTS, and what of the recordings could not be used."""
    from agentcost_collector.check import costs, tried
    from agentcost_collector.recordings import find_recordings

    files = find_recordings([path])
    with replay_progress() as progress, tried(files, settings, progress) as trial:
        return costs(trial.connection), trial.faults


def _dearer(table: pa.Table, allowed: Decimal) -> list[str]:
    from agentcost_collector.check import grown

    return [
        f"{'all' if growth.feature is None else growth.feature}: a run costs"
        f" ${amount(growth.head)}, more than {amount(allowed)} percent above"
        f" ${amount(growth.base)}"
        for growth in grown(table, allowed)
    ]


def _unpriced(table: pa.Table) -> list[str]:
    from agentcost_collector.check import TOTAL

    totals = (row for row in table.to_pylist() if row["dimension"] == TOTAL)
    return [
        f"{side.upper()}: {row[f'unpriced_steps_{side}']} steps have no full price, so the change"
        " is not known; add rate cards for what has none, or --allow-unpriced"
        for row in totals
        for side in ("base", "head")
        if row[f"unpriced_steps_{side}"]
    ]


_SHOWN = (
    *("dimension", "name", "steps_base", "steps_head", "tokens_base", "tokens_head"),
    *("usd_per_run_base", "usd_per_run_head", "change_usd", "change_percent"),
    "unpriced_steps_head",
)
"""Columns for people; files have all of them."""


def _write(table: pa.Table, format: Format) -> None:  # noqa: A002
    from agentcost_collector.cli import formats

    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
        Format.MARKDOWN: formats.write_markdown,
    }
    shown = table if format in (Format.CSV, Format.JSON) else table.select(_SHOWN)
    write[format](shown.to_reader(), sys.stdout)
