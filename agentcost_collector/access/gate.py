"""Lets requests in by their bearer token, and tells loudly of those that it does not let in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.token import Token, id_in
from agentcost_collector.access.token_file import TokenFile
from agentcost_collector.model.access import UNBOUND, Binding, Scope
from agentcost_collector.model.errors import ForbiddenError, UnauthenticatedError

_log = structlog.get_logger(__name__)

_QUIET_S = 60
"""Of refusals that are alike one is logged in that time, with the number of those since."""
_EXPIRES_SOON = timedelta(days=7)
_LIKE_MAX = 1000


def _now() -> datetime:
    return datetime.now(UTC)


class TokenGate:
    """A `model.access.Gate` over a token file. Thread-safe."""

    def __init__(
        self,
        tokens: TokenFile,
        required: bool,
        audit: AuditLog,
        now: Callable[[], datetime] = _now,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Closed where `required`, or while there are tokens."""
        self.refused: Counter[str] = Counter()
        """Requests that were not let in, by reason."""
        self._tokens = tokens
        self._required = required
        self._audit = audit
        self._now = now
        self._steady_s = steady_s
        self._lock = threading.Lock()
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}

    @property
    def is_closed(self) -> bool:
        """Whether a token is demanded."""
        return self._required or bool(self._tokens.current())

    def admit(self, authorization: Sequence[str], scope: Scope, peer: str) -> Binding:
        """What the token pins. Raises UnauthenticatedError or ForbiddenError."""
        tokens = self._tokens.current()
        if not tokens and not self._required:
            return UNBOUND
        if not authorization:
            self._refuse("no_token", None, scope, peer)
            raise UnauthenticatedError(
                "This collector wants a token; send the header `authorization: Bearer TOKEN`."
            )
        text = _bearer(authorization)
        token = tokens.get(id_in(text) or "")
        if token is None or not token.matches(text):
            self._refuse("unknown_token", token, scope, peer)
            raise UnauthenticatedError("The token is not known to this collector.")
        now = self._now()
        state = token.state(now)
        if state != "valid":
            self._refuse(f"{state}_token", token, scope, peer)
            raise UnauthenticatedError(f"The token {token.id} is {state}; ask for a new one.")
        if not token.covers(scope):
            self._refuse("scope_missing", token, scope, peer)
            raise ForbiddenError(f"The token {token.id} has not the scope {scope}.")
        if token.expires_at and token.expires_at - now < _EXPIRES_SOON:
            self._tell_of_expiry(token)
        return token.binding

    def _refuse(self, reason: str, token: Token | None, scope: Scope, peer: str) -> None:
        token_id = token.id if token else None
        since = self._since_told(reason, token_id or "", scope)
        self.refused[reason] += 1
        if since is None:
            return
        _log.error(
            "request_refused",
            reason=reason,
            token=token_id,
            scope=str(scope),
            peer=peer,
            alike_since=since,
            advice="Its sender drops what it sent: nothing of it will be in the ledger.",
        )
        refusal = {"reason": reason, "scope": str(scope), "alike_since": since}
        self._audit.try_append(
            {"event": "refused", "who": {"token": token_id, "peer": peer}, **refusal}
        )

    def _tell_of_expiry(self, token: Token) -> None:
        if self._since_told("expires", token.id) is not None:
            _log.warning(
                "token_expires_soon",
                token=token.id,
                name=token.name,
                expires_at=str(token.expires_at),
                advice="Create another, hand it out, then let this one run out.",
            )

    def _since_told(self, *like: str) -> int | None:
        """None: such a thing was told a moment ago. Else how many there were since then."""
        with self._lock:
            now_s = self._steady_s()
            at, untold = self._told.get(like, (-float(_QUIET_S), 0))
            if now_s - at < _QUIET_S:
                self._told[like] = at, untold + 1
                return None
            if len(self._told) >= _LIKE_MAX:
                self._told.clear()
            self._told[like] = now_s, 0
            return untold


def _bearer(authorization: Sequence[str]) -> str:
    """The token of the one header; empty where it is of another form."""
    scheme, _, text = authorization[0].strip().partition(" ")
    return text.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else ""
