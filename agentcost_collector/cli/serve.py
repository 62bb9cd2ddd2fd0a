"""`agentcost serve`: the collector, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentcost_collector.cli.child import Child
from agentcost_collector.cli.children import RECEIVER
from agentcost_collector.cli.options import (
    ConfigOption,
    DataOption,
    PolicyOption,
    RateCardsOption,
    settings_from,
    writing,
)

if TYPE_CHECKING:
    from agentcost_collector.settings import Settings

GrpcOption = Annotated[
    str | None,
    typer.Option(
        "--grpc",
        metavar="HOST:PORT",
        help="Where to listen for OTLP/gRPC.  [default: 127.0.0.1:4317]",
        show_default=False,
    ),
]
HttpOption = Annotated[
    str | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Where to listen for OTLP/HTTP.  [default: 127.0.0.1:4318]",
        show_default=False,
    ),
]


def serve(
    config: ConfigOption = None,
    data: DataOption = None,
    grpc: GrpcOption = None,
    http: HttpOption = None,
    rate_cards: RateCardsOption = None,
    policy: PolicyOption = None,
) -> None:
    """Run the collector: take in traces over OTLP, keep the ledger.

    Stops cleanly on Ctrl-C or SIGTERM. What it has acknowledged is safe however it ends.
    """
    with Child(RECEIVER) as receiver:  # it imports while this process looks at all files
        settings = _checked(config, data, grpc, http, rate_cards, policy)
        from agentcost_collector.cli.supervisor import Supervisor

        code = Supervisor(settings, receiver).run()
    raise typer.Exit(code)


def _checked(
    config: Path | None,
    data: Path | None,
    grpc: str | None,
    http: str | None,
    rate_cards: list[Path] | None,
    policy: Path | None,
) -> Settings:
    """The settings, when every file that they name can be used: what is broken is told before
    anything listens."""
    from agentcost_collector.alert.doors import doors_of
    from agentcost_collector.policy_file import read_policy
    from agentcost_collector.self_trace import check
    from agentcost_collector.telemetry import configure_logging
    from agentcost_collector.user_id_key import read_user_id_key

    listen = {"grpc": grpc, "http": http}
    receive: dict[str, Any] = {key: value for key, value in listen.items() if value is not None}
    settings = writing(
        settings_from(config, data, rate_cards, policy=policy, receive=receive or None)
    )
    if settings.rate_cards:  # those that come with this are tested; reading them takes a while
        from agentcost_collector.price.load import load_rate_book

        load_rate_book(settings.rate_card_directories())
    read_policy(settings.policy).rules()
    if settings.budgets:
        from agentcost_collector.budgets_file import read_budgets

        read_budgets(settings.budgets)
    read_user_id_key(settings.decode.user_id_key_file)
    check(settings.self_trace, settings.listening())
    doors_of(settings.alerts)
    configure_logging(settings.log_level)
    return settings
