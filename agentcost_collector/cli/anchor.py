"""`agentcost anchor`: the heads of the seals, to be kept where the ledger's owner cannot write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.model.errors import ConfigError


def anchor(
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Append them to a file.")
    ] = None,
    command: Annotated[
        str | None,
        typer.Option("--command", metavar="CMD", help="Give them to a shell command as its input."),
    ] = None,
    http: Annotated[
        str | None, typer.Option("--http", metavar="URL", help="Post them to an address.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Print the newest seal of each journal, or put it away; `agentcost verify --anchor` wants it.

    The service does the same by itself where the settings anchor.file, anchor.command or
    anchor.http are set.
    """
    import time

    from pydantic import ValidationError

    from agentcost_collector.anchor import heads, put
    from agentcost_collector.anchor_config import Config

    settings = reading(settings_from(config, data))
    try:
        places = Config(file=file, command=command, http=http)
    except ValidationError as invalid:
        raise ConfigError(f"--http {http}: {invalid.errors()[0]['msg']}") from invalid
    text = heads(settings.ledger_path, time.time_ns())
    if not text:
        raise ConfigError(
            f"{settings.ledger_path}: nothing is sealed yet; there is nothing to keep"
        )
    if places.wanted:
        put(text, places)
    else:
        typer.echo(text, nl=False)
