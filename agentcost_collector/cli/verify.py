"""`agentcost verify`: whether the ledger is what it should be."""

from __future__ import annotations

from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.progress import progress_bar
from agentcost_collector.cli.text import aligned, printable
from agentcost_collector.model.errors import ConfigError

PricesOption = Annotated[
    bool,
    typer.Option(
        "--prices", help="Work out every stored amount again from the archived rate cards."
    ),
]


def verify(
    prices: PricesOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Check the ledger: exit code 0 where all is as it should be, else 1.

    With --prices every entry is priced again by the rate cards that its `card_digest` names, as
    they were archived in the ledger's folder `cards`, and compared to the last decimal. A card
    that is missing or was changed is named.
    """
    from agentcost_collector.verify import verify_prices

    if not prices:
        raise ConfigError("say what to check: --prices")
    settings = reading(settings_from(config, data))
    with progress_bar("verify", "files") as progress:
        found = verify_prices(settings.ledger_path, progress)
    names = ("entries", "priced", "unpriced", "allocated", "differing")
    typer.echo(aligned((name, getattr(found, name)) for name in names))
    cards = settings.ledger_path / "cards"
    for name in found.damaged:
        _complain(f"{cards}/{name}.json: is not the set of cards that was archived; restore it")
    for digest, entries in sorted(found.missing.items()):
        _complain(f"{cards}: card {digest} is not there; {entries} entries name it; restore it")
    for each in found.examples:
        _complain(
            f"trace {each.trace_id} step {each.step_id}: {each.column} is {each.stored}, the card"
            f" gives {each.worked_out}"
        )
    if not found.sound:
        raise typer.Exit(1)


def _complain(sentence: str) -> None:
    typer.echo(printable(f"agentcost: {sentence}"), err=True)
