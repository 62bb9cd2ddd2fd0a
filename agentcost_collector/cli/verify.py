"""`agentcost verify`: whether the ledger is what it should be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentcost_collector.cli.options import ConfigOption, DataOption, reading, settings_from
from agentcost_collector.cli.progress import progress_bar
from agentcost_collector.cli.text import aligned, printable

if TYPE_CHECKING:
    from pathlib import Path

    from agentcost_collector.verify import Finding

PricesOption = Annotated[
    bool,
    typer.Option(
        "--prices", help="Work out every stored amount again from the archived rate cards, too."
    ),
]
AnchorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor",
        metavar="FILE|HEX",
        help="What `agentcost anchor` wrote, or one seal, kept elsewhere; may be repeated.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Literal["table", "json"], typer.Option("--format", help="json for programs.")
]


def verify(
    prices: PricesOption = False,
    anchor: AnchorOption = None,
    format: FormatOption = "table",  # noqa: A002
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Check the ledger: exit code 0 where all is as it should be, else 1.

    Entries, files and seals are compared with each other, and sums with sums. An edited cost, a
    removed, repeated or swapped entry and an edited or missing seal are found; a tail that was
    removed together with its seals is found with --anchor. docs/audit.md says how to check the
    same without agentcost.

    With --prices every entry is also priced again by the rate cards that its `card_digest` names,
    as they were archived in the ledger's folder `cards`, and compared to the last decimal.
    """
    from agentcost_collector.model.errors import AgentcostError
    from agentcost_collector.verify import Finding, read_anchors, verify_conservation, verify_seals

    settings = reading(settings_from(config, data))
    anchors = [head for given in anchor or () for head in read_anchors(given)]
    with progress_bar("verify", "files") as progress:
        sealed = verify_seals(settings.ledger_path, anchors, progress)
    findings = list(sealed.findings)
    try:
        findings += verify_conservation(settings)
    except AgentcostError as fault:
        findings.append(Finding("conservation", None, None, None, str(fault)))
    facts: dict[str, int] = {
        name: getattr(sealed, name) for name in ("seals", "batches", "entries", "files", "unsealed")
    }
    if prices:
        counts, more = _prices(settings.ledger_path)
        facts |= counts
        findings += more
    show_findings(facts, findings, format)


def _prices(ledger: Path) -> tuple[dict[str, int], list[Finding]]:
    from agentcost_collector.verify import Finding, verify_prices

    with progress_bar("prices", "files") as progress:
        found = verify_prices(ledger, progress)
    cards = ledger / "cards"
    findings = [
        Finding(
            "prices",
            None,
            None,
            f"{cards}/{name}.json",
            "is not the set of cards that was archived; restore it",
        )
        for name in found.damaged
    ]
    for digest, entries in sorted(found.missing.items()):
        sentence = f"card {digest} is not there; {entries} entries name it; restore it"
        findings.append(Finding("prices", None, None, str(cards), sentence))
    for each in found.examples:
        sentence = (
            f"trace {each.trace_id} step {each.step_id}: {each.column} is {each.stored}, the card"
            f" gives {each.worked_out}"
        )
        findings.append(Finding("prices", None, None, None, sentence))
    names = ("priced", "unpriced", "allocated", "differing")
    return {name: getattr(found, name) for name in names}, findings


def show_findings(facts: dict[str, int], findings: list[Finding], written_as: str) -> None:
    """What was counted and what is wrong; exit code 1 where anything is."""
    if written_as == "json":
        import json
        from dataclasses import asdict

        shown = {**facts, "sound": not findings, "findings": [asdict(each) for each in findings]}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        typer.echo(aligned(facts.items()))
        for each in findings:
            typer.echo(f"agentcost: {printable(_sentence(each))}", err=True)
    if findings:
        raise typer.Exit(1)


def _sentence(found: Finding) -> str:
    batch = f"journal {found.journal} batch {found.batch_seq}" if found.batch_seq else None
    where = [part for part in (found.file, batch or found.journal) if part]
    return ": ".join([*where, found.sentence])
