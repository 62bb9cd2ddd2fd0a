"""What the receiver hands on, and what it hears back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentcost_collector.model.access import UNBOUND, Binding


@dataclass(frozen=True, slots=True)
class Payload:
    """One export request as received: a protobuf ExportTraceServiceRequest, decompressed."""

    body: bytes
    received_at_ns: int
    binding: Binding = UNBOUND
    """What the sender's credential pins."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one payload. Exactly one of these is true:

    `malformed` is set: nothing of it was kept, sending it again will not help;
    else all its spans are durable, `rejected_spans` of them in quarantine with a reason.
    """

    malformed: str | None = None
    rejected_spans: int = 0
    message: str = ""


Store = Callable[[Sequence[Payload]], Sequence[Outcome]]
"""Decodes and keeps a group of payloads with one durable commit; one outcome each, in order.

Raises TransientError where nothing was kept and the senders should try again."""
