"""`agentcost token`: who may use the doors of the service."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    reading,
    settings_from,
    utf8,
    writing,
)
from agentcost_collector.cli.text import printable
from agentcost_collector.model.access import Binding, Scope
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.access.token import Token

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tokens that open the doors of the service. As soon as there is one, every door asks.",
)

_DAYS = re.compile(r"^(\d{1,5})d$", re.ASCII)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whom it is for.", show_default=False, callback=utf8)],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            "--scope",
            help="What it is for; may be repeated. ingest: send spans; read: scrape metrics;"
            " admin: everything.  [default: ingest]",
            show_default=False,
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            help="Tenant of all that is sent with it, whatever the spans say.",
            show_default=False,
            callback=utf8,
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment",
            help="Environment of all that is sent with it, whatever the spans say.",
            show_default=False,
            callback=utf8,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="90d|TIME",
            help="When it ends: after so many days, or at a time such as 2027-01-31T00:00:00Z.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Make a token and print it, once: only its digest is kept.

    It counts at once, without a restart. To replace a token, make the new one, hand it out, then
    revoke the old one: both are good meanwhile.
    """
    from agentcost_collector.access.token import new_token
    from agentcost_collector.access.token_file import change_tokens

    now = datetime.now(UTC)
    scopes = tuple(dict.fromkeys(scope or [Scope.INGEST]))
    ends = None if expires is None else _end(expires, now)
    try:
        text, stored = new_token(name, scopes, Binding(tenant, environment), now, ends)
    except ValueError as invalid:  # pydantic's ValidationError is one
        raise ConfigError(_reason(invalid)) from invalid
    settings = writing(settings_from(config, data))
    with change_tokens(settings.tokens_path) as tokens:
        tokens[stored.id] = stored
    typer.echo(text)
    typer.echo(
        f"agentcost: token {stored.id} is kept in {printable(str(settings.tokens_path))} as a"
        " digest; it is not shown again",
        err=True,
    )


@app.command("list")
def list_tokens(config: ConfigOption = None, data: DataOption = None) -> None:
    """Show all tokens, without what opens a door."""
    from agentcost_collector.access.token_file import read_tokens

    settings = reading(settings_from(config, data))
    now = datetime.now(UTC)
    rows = [_HEADINGS, *(_row(t, now) for t in read_tokens(settings.tokens_path).values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


@app.command("revoke")
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `list` shows it.", show_default=False)
    ],
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """End a token now. The next request with it is refused, and its sender drops the spans."""
    from agentcost_collector.access.token_file import change_tokens

    settings = writing(reading(settings_from(config, data)))
    with change_tokens(settings.tokens_path) as tokens:
        token = tokens.get(token_id)
        if token is None:
            raise ConfigError(f"{token_id!r} is no token of {settings.tokens_path}; see token list")
        if token.revoked_at is None:
            now = datetime.now(UTC).replace(microsecond=0)
            tokens[token_id] = token.model_copy(update={"revoked_at": now})
    typer.echo(f"agentcost: token {token_id} is revoked", err=True)


_HEADINGS = ["id", "name", "state", "scopes", "tenant", "environment", "created", "expires"]


def _row(token: Token, now: datetime) -> list[str]:
    return [
        token.id,
        printable(token.name),
        token.state(now),
        ",".join(token.scopes),
        printable(token.tenant or "-"),
        printable(token.environment or "-"),
        token.created_at.isoformat(),
        token.expires_at.isoformat() if token.expires_at else "never",
    ]


def _end(text: str, now: datetime) -> datetime:
    days = _DAYS.match(text)
    try:
        if days:
            return (now + timedelta(days=int(days[1]))).replace(microsecond=0)
        end = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--expires {text!r}: should be like 90d or 2027-01-31T00:00:00Z"
        ) from None
    if end.tzinfo is None:
        raise ConfigError(f"--expires {text!r}: has no time zone; add Z for UTC")
    if end <= now:
        raise ConfigError(f"--expires {text!r}: is in the past")
    return end


def _reason(invalid: ValueError) -> str:
    from pydantic import ValidationError

    if not isinstance(invalid, ValidationError):
        return str(invalid)
    error = invalid.errors(include_url=False)[0]
    return f"{'.'.join(map(str, error['loc']))}: {error['msg'].removeprefix('Value error, ')}"
