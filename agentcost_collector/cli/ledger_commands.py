"""`agentcost ledger`: looking after the ledger itself."""

from __future__ import annotations

from typing import Annotated

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.text import printable

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look after the ledger itself.",
)
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be done; change nothing.")
]
_COMES_BACK = {
    "commit": "a commit cut off by a crash or a power cut, never acknowledged; nothing is lost:"
    " the journal still has its spans and `agentcost serve` settles them again (what came from"
    " `replay` or `restate`, by running that again)",
    "checkpoint": "a checkpoint cut off by a crash or a power cut; nothing is lost: the log"
    " entries say the same",
    "pointer": "the pointer to a checkpoint, cut off; nothing is lost: it is found without it",
}
_LOST = {
    "commit": "a commit that was acknowledged cannot be read, and the journal no longer has what"
    " it held; restore this file from a backup",
    "checkpoint": "the checkpoint cannot be read, and the log entries before it were cleaned up;"
    " restore this file from a backup",
}


@app.command("repair")
def repair(
    dry_run: DryRunOption = False, data: DataOption = None, config: ConfigOption = None
) -> None:
    """Find what a crash or a power cut left half-written in the ledger's logs, and move it aside.

    The service does the same at each start; this says what it would do, and looks at every entry
    of the logs. Refused while a process has the ledger. Exit code 1 where only a backup helps.
    """
    from agentcost_collector.ledger.recovery import repair_logs

    settings = reading(settings_from(config, data))
    found = repair_logs(settings.ledger_path, dry_run) if settings.ledger_path.is_dir() else []
    for damage in found:
        if damage.lost:
            typer.echo(printable(f"agentcost: {damage.file}: {_LOST[damage.what]}"), err=True)
        else:
            done = f"moved to {damage.now_at}" if damage.now_at else "would be moved aside"
            typer.echo(printable(f"{damage.file}: {_COMES_BACK[damage.what]}; {done}"))
    if not found:
        typer.echo("nothing to repair")
    if any(damage.lost for damage in found):
        raise typer.Exit(1)
