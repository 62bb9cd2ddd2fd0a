"""A bearer token: `act_<id>_<secret>`; what is stored of it, and when it is good.

The secret is 256 random bits, so a plain SHA-256 of the token tells nothing about it; a slow hash
is for passwords that people choose, and every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from agentcost_collector.model.access import Binding, Scope

TEXT_CHARS_MAX = 128

_SCHEME = "act"
_ID = r"^[0-9a-f]{12}$"
_SECRET_BYTES = 32


def _plain(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"must be 1 to {TEXT_CHARS_MAX} printable characters")
    return text


Text = Annotated[str, AfterValidator(_plain)]


class Token(BaseModel):
    """What is stored of a token: one line of the token file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=_ID)]
    name: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = Field(min_length=1)
    tenant: Text | None = None
    environment: Text | None = None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _lives(self) -> Self:
        if self.expires_at and self.expires_at <= self.created_at:
            raise ValueError("expires_at must be after created_at")
        return self

    @property
    def binding(self) -> Binding:
        """What it pins."""
        return Binding(self.tenant, self.environment)

    def covers(self, scope: Scope) -> bool:
        """Whether it may be used for `scope`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def state(self, now: datetime) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "valid"

    def matches(self, text: str) -> bool:
        """Whether `text` is this token; takes the same time wherever they differ."""
        return hmac.compare_digest(_digest(text), self.sha256)


def new_token(
    name: str,
    scopes: tuple[Scope, ...],
    binding: Binding,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[str, Token]:
    """A fresh token, which is to be shown once, and what is stored of it. Raises ValueError."""
    token_id = secrets.token_hex(6)
    text = f"{_SCHEME}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    stored = Token(
        id=token_id,
        name=name,
        sha256=_digest(text),
        scopes=scopes,
        tenant=binding.tenant,
        environment=binding.environment,
        created_at=now.astimezone(UTC).replace(microsecond=0),
        expires_at=expires_at,
    )
    return text, stored


def id_in(text: str) -> str | None:
    """The id that a token names; None where it has no such form."""
    scheme, _, rest = text.partition("_")
    return rest.partition("_")[0] if scheme == _SCHEME else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
