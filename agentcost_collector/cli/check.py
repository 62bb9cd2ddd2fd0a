"""`agentcost check`: do recorded traces stay within what they may cost?"""

from __future__ import annotations

import json
import sys
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    PolicyOption,
    RateCardsOption,
    settings_from,
)
from agentcost_collector.cli.replay import PathsArgument, replay_progress
from agentcost_collector.cli.text import amount, counted, printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agentcost_collector.check import Cost, Finding, Limit, Measure, Trial


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


_PER_RUN = "[FEATURE=]{}"

UsdOption = Annotated[
    str | None,
    typer.Option("--max-usd", metavar="USD", help="All recordings together.", show_default=False),
]
UsdPerRunOption = Annotated[
    list[str] | None,
    typer.Option(
        "--max-usd-per-run",
        metavar=_PER_RUN.format("USD"),
        help="Each run, or what FEATURE pays of it; may be repeated.",
        show_default=False,
    ),
]
StepsPerRunOption = Annotated[
    list[str] | None,
    typer.Option(
        "--max-steps-per-run",
        metavar=_PER_RUN.format("N"),
        help="Billable steps, likewise.",
        show_default=False,
    ),
]
TokensPerRunOption = Annotated[
    list[str] | None,
    typer.Option(
        "--max-tokens-per-run",
        metavar=_PER_RUN.format("N"),
        help="Tokens of all kinds, likewise.",
        show_default=False,
    ),
]
UnattributedOption = Annotated[
    str | None,
    typer.Option(
        "--max-unattributed",
        metavar="PERCENT",
        help="Share of the cost that no feature pays.",
        show_default=False,
    ),
]


def check(
    paths: PathsArgument,
    max_usd: UsdOption = None,
    max_usd_per_run: UsdPerRunOption = None,
    max_steps_per_run: StepsPerRunOption = None,
    max_tokens_per_run: TokensPerRunOption = None,
    max_unattributed: UnattributedOption = None,
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="Steps without a price break no limit.")
    ] = False,
    config: ConfigOption = None,
    rate_cards: RateCardsOption = None,
    policy: PolicyOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="markdown fits a summary or comment in CI.")
    ] = Format.TABLE,
) -> None:
    """Check what recorded traces cost, as a test in CI. Nothing is kept.

    Exit code 1 where a limit is broken, a step has no price though dollars are limited, or a
    recording cannot be read whole; 2 for wrong usage.
    """
    from agentcost_collector.check import Measure, findings, tried
    from agentcost_collector.recordings import find_recordings
    from agentcost_collector.telemetry import configure_logging

    limits = [
        *_limits(Measure.USD, [max_usd] if max_usd else []),
        *_limits(Measure.USD_PER_RUN, max_usd_per_run or []),
        *_limits(Measure.STEPS_PER_RUN, max_steps_per_run or []),
        *_limits(Measure.TOKENS_PER_RUN, max_tokens_per_run or []),
    ]
    unattributed = percent("--max-unattributed", max_unattributed)
    if not limits and unattributed is None:
        raise ConfigError("nothing to check; give a limit, as --max-usd-per-run 0.05")
    files = find_recordings(paths)
    settings = settings_from(config, None, rate_cards, policy=policy)
    configure_logging("warning")
    with replay_progress() as progress, tried(files, settings, progress) as trial:
        found = findings(trial, limits, unattributed, allow_unpriced)
        _write(trial, found, format)
    if found:
        raise typer.Exit(1)


def percent(option: str, text: str | None) -> Decimal | None:
    """What a user gives as 5 or 5%. ConfigError for anything else."""
    return None if text is None else _number(option, text.removesuffix("%"))


def _limits(measure: Measure, texts: Sequence[str]) -> Iterable[Limit]:
    from agentcost_collector.check import Limit, Measure

    for text in texts:
        feature, named, most = text.rpartition("=")
        option = f"--{measure}"
        if named and measure is Measure.USD:
            raise ConfigError(f"{option} {text}: is for all recordings; give one amount in dollars")
        yield Limit(measure, _number(option, most), feature if named else None)


def _number(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value < 0 or value >= 10**20:
        raise ConfigError(f"{option} {printable(text)}: should be a number, 0 or more")
    return value


def _write(trial: Trial, found: Sequence[Finding], format: Format) -> None:  # noqa: A002
    from agentcost_collector.check import NOTHING, TOTAL, cost_of, costs
    from agentcost_collector.cli import formats

    table = costs(trial.connection)
    total = cost_of(table).get((TOTAL, None), NOTHING)
    match format:
        case Format.JSON:
            rows = [{k: _plain(v) for k, v in row.items()} for row in table.to_pylist()]
            facts = {"passed": not found, "findings": [_facts(f) for f in found], "costs": rows}
            typer.echo(json.dumps(facts, indent=1))
        case Format.MARKDOWN:
            typer.echo(_markdown(total, found))
            typer.echo("")
            formats.write_markdown(table.to_reader(), sys.stdout)
        case Format.TABLE:
            formats.write_table(table.to_reader(), sys.stdout)
            typer.echo("")
            for finding in found:
                typer.echo(printable(f"FAILED  {finding}"))
            typer.echo(f"{_total(total)}: {'failed' if found else 'passed'}")


def _markdown(total: Cost, found: Sequence[Finding]) -> str:
    from agentcost_collector.cli.formats import markdown_text

    lines = [f"### Cost check: {'failed' if found else 'passed'}", "", f"{_total(total)}.", ""]
    return "\n".join([*lines, *(f"- {markdown_text(str(finding))}" for finding in found)])


def _total(total: Cost) -> str:
    known = "unknown" if total.priced_usd is None else f"${amount(total.priced_usd)}"
    left = f", {total.unpriced_steps} of them unpriced" if total.unpriced_steps else ""
    return f"{counted(total.runs, 'run')}, {counted(total.steps, 'step')}{left}, {known}"


def _facts(finding: Finding) -> dict[str, object]:
    return {
        "what": finding.what,
        "limit": finding.limit or None,
        "feature": finding.feature,
        "run": finding.run,
        "actual": _plain(finding.actual),
        "most": _plain(finding.most),
        "drivers": [
            {"what": d.what, "calls": d.calls, "usd": _plain(d.usd)} for d in finding.drivers
        ],
    }


def _plain(value: object) -> object:
    return format(value, "f") if isinstance(value, Decimal) else value
