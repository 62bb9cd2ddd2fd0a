"""The command `agentcost`: one module per command; errors are one sentence on stderr.

Exit codes: 0 done; 1 a check failed or the service broke; 2 wrong usage, settings or input;
130 interrupted. Heavy imports are made inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from agentcost_collector import __version__
from agentcost_collector.cli import (
    alert,
    allocate,
    anchor,
    budget,
    check,
    children,
    compact,
    diff,
    duckdb_file,
    explain,
    ledger_commands,
    nightly,
    policy,
    quarantine,
    rates_commands,
    replay,
    report,
    restate,
    rollup,
    scrub,
    send,
    serve,
    sql,
    status,
    token,
    variance,
    verify,
)
from agentcost_collector.cli.text import printable
from agentcost_collector.cli.trail import recorded
from agentcost_collector.model.errors import AgentcostError, ConfigError, PermanentError


class _Group(TyperGroup):
    """Answers `--help` of its commands without pydantic, which typer would load to learn that a
    group's own `--help`, None where it is not given, was not given."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, false where it is not given."""
        option = super().get_help_option(ctx)
        if option:
            option.default = False
        return option


class _Commands(_Group):
    """Turns what went wrong in any command into a sentence and an exit code, and leaves its trail
    in the audit log."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remembers them all for the audit log."""
        ctx.obj = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with recorded(ctx.obj):
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        try:
            if not __debug__:
                raise ConfigError(
                    "python -O leaves out checks that protect the ledger; run without"
                )
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader (head, a pager) has seen enough
            _drop_output()
            raise typer.Exit(0) from None
        except AgentcostError as error:
            typer.echo(f"agentcost: {printable(str(error))}", err=True)
            users = isinstance(error, ConfigError | PermanentError)
            raise typer.Exit(2 if users else 1) from error
        except OSError as fault:  # such as a full disk beneath stdout
            _drop_output()
            where = f"{fault.filename}: " if fault.filename else ""
            text = f"agentcost: {where}{fault.strerror or fault}"
            typer.echo(printable(text), err=True)
            raise typer.Exit(1) from fault
        return result


app = typer.Typer(
    name="agentcost",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: a third of the time to show it
    help="What every step of your agents costs, and which feature pays for it.",
)
app.command("serve")(serve.serve)
app.command("replay")(replay.replay)
app.command("check")(check.check)
app.command("diff")(diff.diff)
app.command("restate")(restate.restate)
app.command("send")(send.send)
app.command("sql", cls=sql.SqlCommand)(sql.sql)
app.command("duckdb")(duckdb_file.duckdb_file)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("rollup")(rollup.rollup)
app.command("nightly")(nightly.nightly)
app.command("status")(status.status)
app.command("allocate")(allocate.allocate)
app.add_typer(alert.app, cls=_Group, name="alert")
app.add_typer(policy.app, cls=_Group, name="policy")
app.add_typer(budget.app, cls=_Group, name="budget")
app.command("variance")(variance.variance)
app.command("compact")(compact.compact)
app.add_typer(quarantine.app, cls=_Group, name="quarantine")
app.command("verify")(verify.verify)
app.command("scrub")(scrub.scrub)
app.command("anchor")(anchor.anchor)
app.add_typer(ledger_commands.app, cls=_Group, name="ledger")
app.add_typer(rates_commands.app, cls=_Group, name="rates")
app.add_typer(token.app, cls=_Group, name="token")
app.command(children.RECEIVER, hidden=True)(children.receiver)
app.command(children.PIPELINE, hidden=True)(children.pipeline)


def main() -> None:
    """Entry point of the command."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know fewer characters
    app(prog_name="agentcost")


def _drop_output() -> None:
    """What is still buffered for stdout goes nowhere, so that the end of the process is quiet."""
    out = sys.__stdout__
    if out is not None and sys.stdout is out:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agentcost {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass
