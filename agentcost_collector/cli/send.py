"""`agentcost send`: recorded traces to a running collector, over OTLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from agentcost_collector.cli.replay import PathsArgument
from agentcost_collector.cli.text import aligned, printable
from agentcost_collector.model.errors import PermanentError

if TYPE_CHECKING:
    from agentcost_collector.cli.exporter import GrpcExporter, HttpExporter


@dataclass
class _Sent:
    requests: int = 0
    bytes: int = 0
    spans_rejected: int = 0
    requests_refused: int = 0
    files_unreadable: int = 0


def send(
    paths: PathsArgument,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="HOST:PORT",
            help="The collector; https://HOST:PORT for TLS.  [default: what"
            " OTEL_EXPORTER_OTLP_ENDPOINT says, else: 127.0.0.1:4317, with --http 127.0.0.1:4318]",
            show_default=False,
        ),
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="OTLP/HTTP instead of OTLP/gRPC.")] = False,
) -> None:
    """Export recorded traces to a running collector.

    Each request goes out as it was recorded, with the headers and certificates that the variables
    OTEL_EXPORTER_OTLP_HEADERS, ..._CERTIFICATE, ..._CLIENT_CERTIFICATE and ..._CLIENT_KEY name.
    Exit code 1 where a request or span was refused, or a file could not be read.
    """
    from agentcost_collector.cli.exporter import GrpcExporter, HttpExporter, Target
    from agentcost_collector.decode.otlp_json import json_to_protobuf
    from agentcost_collector.recordings import find_recordings, read_requests

    files = find_recordings(paths)
    sent = _Sent()
    exporter = (
        HttpExporter(Target.of(endpoint, "127.0.0.1:4318"))
        if http
        else GrpcExporter(Target.of(endpoint, "127.0.0.1:4317"))
    )
    with exporter:
        for path in files:
            try:
                for body in read_requests(path, json_to_protobuf):
                    _count(sent, str(path), exporter, body)
            except PermanentError as unreadable:  # the others may be whole
                sent.files_unreadable += 1
                typer.echo(printable(f"agentcost: {unreadable}"), err=True)
    typer.echo(aligned((name.replace("_", " "), value) for name, value in vars(sent).items()))
    if sent.requests_refused or sent.spans_rejected or sent.files_unreadable:
        raise typer.Exit(1)


def _count(sent: _Sent, source: str, exporter: GrpcExporter | HttpExporter, body: bytes) -> None:
    try:
        rejected, message = exporter.export(body)
    except PermanentError as refusal:
        sent.requests_refused += 1
        typer.echo(printable(f"{source}: refused: {refusal}"), err=True)
        return
    sent.requests += 1
    sent.bytes += len(body)
    sent.spans_rejected += rejected
    if rejected:
        typer.echo(printable(f"{source}: {rejected} spans rejected: {message}"), err=True)
