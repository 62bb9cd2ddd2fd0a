"""`agentcost scrub`: whether every file can still be read as it was written."""

from __future__ import annotations

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.progress import progress_bar
from agentcost_collector.cli.verify import FormatOption, show_findings


def scrub(
    format: FormatOption = "table",  # noqa: A002
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Read every file that is kept, report what is damaged: exit code 0 where nothing is, else 1.

    Nothing is changed. Files are named, the batches in them, and what to do.
    """
    from agentcost_collector.scrub import scrub as scrubbed

    settings = reading(settings_from(config, data))
    with progress_bar("scrub", "files") as progress:
        findings = list(scrubbed(settings, progress))
    show_findings({"damaged": len(findings)}, findings, format)
