"""`agentcost rates check`: faults of rate cards, each with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, RateCardsOption, settings_from
from agentcost_collector.cli.text import printable
from agentcost_collector.model.errors import ConfigError

DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="Folder of rate cards.  [default: all that are configured]",
        show_default=False,
    ),
]
ReleaseOption = Annotated[
    bool,
    typer.Option(
        "--release",
        help="Note what is new in DIR as released: from then on an edit of it is a fault.",
    ),
]


def check(
    directory: DirectoryArgument = None,
    release: ReleaseOption = False,
    config: ConfigOption = None,
    rate_cards: RateCardsOption = None,
) -> None:
    """Look for faults in rate cards: exit code 0 where there are none, else 2.

    Keys given twice, floating point numbers, prices without source, names that two SKUs answer to,
    gaps between the prices of a line, and edits of what was released (`released.json` in the
    folder; --release adds what is new to it).
    """
    from agentcost_collector.price.check import faults_of
    from agentcost_collector.price.released import release as add_new
    from agentcost_collector.price.released import unreleased

    if release and directory is None:
        raise ConfigError("--release needs the folder of the cards; name it")
    settings = settings_from(config, None, rate_cards)
    directories = [directory] if directory else settings.rate_card_directories()
    faults = faults_of(directories)
    for fault in faults:
        typer.echo(printable(f"agentcost: {fault}"), err=True)
    if faults:
        raise typer.Exit(2)
    if release and directory:
        typer.echo(f"released: {add_new(directory)}")
    else:
        typer.echo(f"no faults; not released yet: {sum(len(unreleased(d)) for d in directories)}")
