"""`agentcost rates diff`: what a change of rate cards would have cost."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.progress import progress_bar

OldArgument = Annotated[
    Path, typer.Argument(metavar="OLD", help="Folder of rate cards.", show_default=False)
]
NewArgument = Annotated[
    Path,
    typer.Argument(metavar="NEW", help="Folder of rate cards to compare with.", show_default=False),
]


class Format(StrEnum):
    """How the result is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write the result.")]


def diff(
    old: OldArgument,
    new: NewArgument,
    data: DataOption = None,
    config: ConfigOption = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """Price the steps of a ledger by the cards of two folders and show the difference.

    Each folder is taken as the whole set of cards, without the bundled ones. By provider, model
    and feature, the greatest change first; the last row is the total. Nothing is written.
    """
    from agentcost_collector.cli import formats
    from agentcost_collector.price.load import load_rate_book
    from agentcost_collector.price_change import price_change

    settings = reading(settings_from(config, data))
    before, after = load_rate_book([old]), load_rate_book([new])
    with progress_bar("rates diff", "files") as progress:
        change = price_change(settings.ledger_path, before, after, progress)
    write = {
        Format.TABLE: formats.write_table,
        Format.CSV: formats.write_csv,
        Format.JSON: formats.write_json,
    }
    write[format](change.to_reader(), sys.stdout)
