"""Spans about our own work, sent to somebody else's OTLP endpoint; off unless it is set.

One span for each group commit of the receiver and each slice that the pipeline settles, never one
for each span that is handled. The endpoint cannot be ourselves: each span would make another.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from urllib.parse import urlsplit

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.payload import Outcome, Payload, Store
from agentcost_collector.receive.address import Address, parse

_ANSWER_S = 5
_SETTING = "self_trace"


class Span(Protocol):
    """Makes a span of its time in a `with`."""

    def __call__(self, name: str, **numbers: int) -> AbstractContextManager[object]:
        """`numbers` are its attributes."""


def no_span(name: str, **numbers: int) -> AbstractContextManager[object]:
    """Nothing is traced."""
    return contextlib.nullcontext()


@contextlib.contextmanager
def self_traced(endpoint: str, process: str, own: Sequence[str]) -> Iterator[Span]:
    """What makes spans of this process, sent to `endpoint`; nothing where that is empty. `own`:
    addresses where we listen.

    Raises ConfigError where that is one of them, is none, or the extra is not installed.
    """
    if not endpoint:
        yield no_span
        return
    check(endpoint, own)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    to, is_tls = _target(endpoint)
    provider = TracerProvider(resource=Resource({"service.name": f"agentcost-{process}"}))
    exporter = OTLPSpanExporter(endpoint=str(to), insecure=not is_tls, timeout=_ANSWER_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("agentcost_collector")

    def span(name: str, **numbers: int) -> AbstractContextManager[object]:
        return tracer.start_as_current_span(name, attributes=numbers)

    try:
        yield span
    finally:
        provider.shutdown()


def traced(store: Store, span: Span) -> Store:
    """`store`, with a span for each group of requests."""

    def keep(payloads: Sequence[Payload]) -> Sequence[Outcome]:
        size = sum(len(payload.body) for payload in payloads)
        with span("group_commit", requests=len(payloads), bytes=size):
            return store(payloads)

    return keep


def check(endpoint: str, own: Sequence[str]) -> None:
    """Raises ConfigError as `self_traced`."""
    if not endpoint:
        return
    to, _ = _target(endpoint)
    for address in map(parse, own):
        if address.port == to.port and _same_host(to, address):
            raise ConfigError(
                f"{_SETTING}: {endpoint} is this collector itself, and each span would make"
                " another; name another collector."
            )
    try:
        import opentelemetry.exporter.otlp.proto.grpc.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as missing:
        raise ConfigError(
            f"{_SETTING} needs the extra `selftrace`: pip install 'agentcost-collector[selftrace]'"
        ) from missing


def _target(endpoint: str) -> tuple[Address, bool]:
    """Address, and whether it speaks TLS."""
    url = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
    try:
        if url.scheme not in ("http", "https") or url.path not in ("", "/"):
            raise ValueError(endpoint)
        return parse(url.netloc), url.scheme == "https"
    except ValueError as invalid:
        raise ConfigError(
            f"{_SETTING}: {endpoint!r} is no OTLP/gRPC endpoint; give HOST:PORT or"
            " https://HOST:PORT"
        ) from invalid


def _same_host(to: Address, ours: Address) -> bool:
    """Whether what is sent there arrives at our listener."""
    theirs, listening = _addresses(to.host), _addresses(ours.host)
    everywhere = bool(listening & {"0.0.0.0", "::"})
    return bool(theirs & listening) or (everywhere and any(map(_is_local, theirs)))


def _addresses(host: str) -> set[str]:
    """IP addresses; none of a name that is not known now."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


def _is_local(ip: str) -> bool:
    """Whether it is an address of this machine: then it can be bound."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True
