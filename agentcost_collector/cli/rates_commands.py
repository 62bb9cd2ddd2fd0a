"""`agentcost rates`: everything about rate cards."""

from __future__ import annotations

import typer

from agentcost_collector.cli import rates_check, rates_diff, rates_import, rates_quote, rates_settle

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check rate cards, draft new ones, and see what a change of prices would cost.",
)
app.command("check")(rates_check.check)
app.command("diff")(rates_diff.diff)
app.command("import")(rates_import.import_)
app.command("quote")(rates_quote.quote)
app.command("settle")(rates_settle.settle)
