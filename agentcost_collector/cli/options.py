"""Options that several commands share, and the settings that come of them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcost_collector.cli.text import printable
from agentcost_collector.cli.trail import begin
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.settings import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file (YAML).", show_default=False),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the journal and the ledger.  [default: ./data]",
        show_default=False,
    ),
]
RateCardsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--rate-cards",
        metavar="DIR",
        help="Folder of rate cards that add to the bundled ones or replace them; may be repeated.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Policy (YAML): where tags are found and who pays.",
        show_default=False,
    ),
]


def settings_from(
    config: Path | None = None,
    data: Path | None = None,
    rate_cards: list[Path] | None = None,
    **more: Any,
) -> Settings:
    """Settings with the flags that were given on top."""
    from agentcost_collector.settings import load_settings

    flags = {"data": data, "rate_cards": rate_cards or None, **more}
    return load_settings(config, {k: v for k, v in flags.items() if v is not None})


INSTANT = "a day (2026-11-01) or an instant (2026-11-01T12:00:00Z); without an offset it is UTC"


def instant_ns(option: str, text: str) -> int:
    """Unix nanoseconds of INSTANT."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {printable(text)}: should be {INSTANT}") from error
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since_1970 = at - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (since_1970.days * 86_400 + since_1970.seconds) * 10**6 + since_1970.microseconds
    return micros * 1000


def utf8(value: Any) -> Any:
    """An argument for an engine that takes UTF-8 only; ConfigError for anything else."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{str(value)!r} is not valid UTF-8") from None
    return value


def writing(settings: Settings) -> Settings:
    """`settings` whose data folder is there and can be written to; it is made where it is
    missing. Noted in the audit log."""
    path = settings.data.absolute()
    there = next(p for p in (path, *path.parents) if os.path.exists(p))
    if not there.is_dir():
        raise ConfigError(f"{settings.data}: cannot hold data: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"{settings.data}: cannot hold data: {there} is not writable")
    path.mkdir(parents=True, exist_ok=True)
    begin(settings, changes=True)
    return settings


def reading(settings: Settings) -> Settings:
    """`settings` whose data folder exists: for commands that only read. Noted in the audit log."""
    if not settings.data.is_dir():
        raise ConfigError(
            f"{settings.data}: there is no such folder; --data names the one that `agentcost serve`"
            " or `agentcost replay` filled"
        )
    begin(settings, changes=False)
    return settings
