"""`agentcost rollup`: the sums by hour and by day that make questions cheap."""

from __future__ import annotations

import time

import typer

from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    reading,
    settings_from,
    writing,
)
from agentcost_collector.cli.progress import progress_bar


def rollup(config: ConfigOption = None, data: DataOption = None) -> None:
    """Sum the ledger by hour and by day, so that questions about long periods are quick.

    Only days with new entries are summed. The views `hours` and `days` are right without it too.
    """
    from agentcost_collector.report.roll_up import roll_up

    settings = writing(reading(settings_from(config, data)))
    with progress_bar("summing", "days") as progress:
        done = roll_up(settings.data, settings.report, time.time_ns(), progress)
    typer.echo(f"{done.made} of {done.days} days had new entries; all are summed.")
