"""Settings of the receiver."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agentcost_collector.receive.address import parse
from agentcost_collector.receive.tls_config import TlsConfig

MIB = 2**20
_WORKING = 7  # measured: what reading and decoding a request take, in its bytes


def _checked(text: str) -> str:
    parse(text)
    return text


Listen = Annotated[str, AfterValidator(_checked)]


class Config(BaseModel):
    """Where to listen, and how much to take at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    grpc: Listen = "127.0.0.1:4317"
    """Address of the OTLP/gRPC listener, HOST:PORT or [IPV6]:PORT; port 0 takes any free one."""

    http: Listen = "127.0.0.1:4318"
    """Address of the OTLP/HTTP listener, HOST:PORT or [IPV6]:PORT; port 0 takes any free one."""

    tls: TlsConfig = TlsConfig()
    """Certificate of both listeners and of the metrics port; without one they do without TLS."""

    request_bytes_max: int = Field(default=64 * MIB, ge=1, le=2**31 - 1)
    """Largest accepted request in bytes, after decompression. A larger one is refused for good."""

    bytes_in_flight_max: int = Field(default=640 * MIB, ge=1)
    """Memory for all requests together, in bytes. Seven times the largest request is kept for
    reading and decoding one; the rest is for requests that arrive, wait or are being stored.
    Where it is taken: try again later. A gRPC message counts as the largest one until it is there,
    for it does not say its size. Who already holds something gets no more than is left free."""

    group_requests_max: int = Field(default=4096, ge=1)
    """Most requests stored with one commit."""

    group_bytes_max: int = Field(default=16 * MIB, ge=1)
    """Most bytes stored with one commit; a single larger request is a group of its own."""

    body_wait_s: float = Field(default=10, gt=0)
    """Seconds a client may take to send a request body; the usual SDKs give up after 10."""

    retry_delay_s: float = Field(default=1, gt=0, le=60)
    """Seconds that a request waits where its memory is not free, and after which its sender, then
    put off, should try again. Some SDKs give up after 10 seconds in all, so keep it small."""

    @property
    def body_bytes_max(self) -> int:
        """Bytes of all request bodies together: what working on the largest one does not take."""
        return self.bytes_in_flight_max - _WORKING * self.request_bytes_max

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.body_bytes_max < self.request_bytes_max:
            raise ValueError(
                f"bytes_in_flight_max ({self.bytes_in_flight_max}) must be at least "
                f"{1 + _WORKING} times request_bytes_max ({self.request_bytes_max})"
            )
        return self
