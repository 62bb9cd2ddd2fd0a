"""`agentcost rates quote`: what would this call cost?"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, RateCardsOption, settings_from
from agentcost_collector.model.errors import ConfigError


class Format(StrEnum):
    """How the answers are written."""

    TABLE = "table"
    JSON = "json"


ContextOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="What else decides the price, such as service_tier=flex, region=eu or account=..;"
        " may be repeated.",
        show_default=False,
    ),
]
FileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Quotes as JSON lines {id, provider, model, at, usage: {kind: n}, context: {}};"
        " - is standard input. Lines that cannot be read are named, the others answered.",
        show_default=False,
    ),
]


def quote(
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who sells it, such as openai.", show_default=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model or deployment.", show_default=False)
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the call ended, ISO 8601; UTC where it names no zone.  [default: now]",
            show_default=False,
        ),
    ] = None,
    usage: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=N,...",
            help="How much of what, such as token.input=1000,token.output=100: leaf kinds of the"
            " rate cards, or token columns of the ledger. The kinds are disjoint.",
            show_default=False,
        ),
    ] = None,
    context: ContextOption = None,
    file: FileOption = None,
    format: Annotated[  # noqa: A002
        Format, typer.Option("--format", help="json: one line of JSON for each quote.")
    ] = Format.TABLE,
    rate_cards: RateCardsOption = None,
    config: ConfigOption = None,
) -> None:
    """Say what a call costs, exactly, with the lines of the rate cards that decide it.

    A cost that cannot be known is null, with a status and a reason, never 0. Exit code 1 where a
    line of FILE cannot be read.
    """
    from agentcost_collector.cli import quotes
    from agentcost_collector.price.load import load_rate_book

    now = datetime.now(UTC)
    if (file is None) == (usage is None):
        raise ConfigError("say what was used with --usage KIND=N,... or give --file FILE")
    if file is None:
        stated: dict[str, object] = {"provider": provider, "model": model, "at": at}
        stated["usage"] = _pairs("--usage", (usage or "").split(","))
        stated["context"] = _pairs("--context", context or [])
        asked = [quotes.read_quote(stated, now)]
    elif provider or model or at or context:
        raise ConfigError("--file says everything itself; leave the other options out")
    else:
        asked = quotes.read_lines(file, now)
    book = load_rate_book(settings_from(config, rate_cards=rate_cards).rate_card_directories())
    answers = quotes.answer(asked, book)
    if format is Format.JSON:
        quotes.write_json(answers, sys.stdout)
    else:
        quotes.write_table(answers, sys.stdout)
    for line in asked:
        if line.fault:
            typer.echo(f"agentcost: {line.fault}", err=True)
    if any(line.fault for line in asked):
        raise typer.Exit(1)


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip()) or key.strip() in found:
            raise ConfigError(f"{option}: '{text}' should be one name=value for each name")
        found[key.strip()] = value.strip()
    return found
