"""What senders were told, counted for those who measure."""

from __future__ import annotations

from collections import Counter

from agentcost_collector.receive.status import Failure


class Counts:
    """Since the start. Written on the loop, once for each request; read by any thread."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str]] = Counter({("grpc", "OK"): 0, ("http", "200"): 0})
        """Requests by transport and gRPC status or HTTP status; health is no request."""
        self.refused: Counter[str] = Counter()
        """Requests that were not accepted, by `status.Cause`."""

    def accepted(self, transport: str) -> None:
        """A request whose spans are durable."""
        self.answers[transport, "OK" if transport == "grpc" else "200"] += 1

    def failed(self, transport: str, failure: Failure) -> None:
        """A request that was refused or put off."""
        code = failure.grpc_code.name if transport == "grpc" else str(failure.http)
        self.answers[transport, code] += 1
        self.refused[failure.cause] += 1
