"""Who may do what: what a door asks of a credential, and what it learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

PINNED_TAGS = ("tenant", "environment")
"""The tags that a credential can pin."""

PINNED_PREFIX = "agentcost.pinned."
"""Keys of a resource that only the collector writes: what the sender's credential pins."""


class Scope(StrEnum):
    """What a credential may be used for."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"
    """Everything."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a credential says about all that is sent with it, whatever the spans say."""

    tenant: str | None = None
    environment: str | None = None


UNBOUND = Binding()


class Gate(Protocol):
    """Asks every request of every door for its credential."""

    @property
    def is_closed(self) -> bool:
        """Whether a credential is demanded at all."""

    def admit(self, authorization: Sequence[str], scope: Scope, peer: str) -> Binding:
        """What the credential binds. `authorization`: all values of that header; `peer`: where
        the request comes from, for the log.

        Raises UnauthenticatedError or ForbiddenError.
        """


class OpenGate:
    """Lets everybody in."""

    is_closed = False

    def admit(self, authorization: Sequence[str], scope: Scope, peer: str) -> Binding:
        """Unbound, whoever it is."""
        return UNBOUND
