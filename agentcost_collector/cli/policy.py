"""`agentcost policy`: the file that says who pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.text import aligned, printable

if TYPE_CHECKING:
    from agentcost_collector.attribute.policy import Policy

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Check the file that says where tags are found and who pays.",
)


@app.callback()
def _policy() -> None:
    pass


@app.command("check")
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Policy (YAML).", show_default=False)
    ],
) -> None:
    """Check a policy and say what it holds.

    Exit code 2 with file, line and what to do where it cannot be used.
    """
    from agentcost_collector.policy_file import read_policy

    read = read_policy(file)
    read.rules()
    typer.echo(printable(f"{file}: can be used"))
    typer.echo(aligned(_summary(read.policy)))


def _summary(policy: Policy) -> list[tuple[str, object]]:
    tags = sorted(policy.tags.model_fields_set)
    exceptions = [*policy.boundaries.tools.items(), *policy.boundaries.services.items()]
    products = sorted(name for name, of in policy.features.items() if of.product_boundary)
    return [
        ("tags", ", ".join(tags) or "as without a policy"),
        ("labels", ", ".join(policy.labels) or "none"),
        ("boundaries", ", ".join(f"{name} {what}" for name, what in exceptions) or "the default"),
        ("products", ", ".join(products) or "none"),
        ("rules", len(policy.rules)),
    ]
