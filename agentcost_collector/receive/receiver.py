"""The two listeners, their common committer, and their life from start to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agentcost_collector.model.access import Gate, OpenGate
from agentcost_collector.model.payload import Store
from agentcost_collector.receive import grpc_server, http_server
from agentcost_collector.receive.address import Address, bind, parse
from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.counts import Counts
from agentcost_collector.receive.exposed import warn_if_exposed
from agentcost_collector.receive.tls import certificates


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the receiver listens: HOST:PORT as configured, with the real port."""

    grpc: str
    http: str


class Receiver:
    """Serves OTLP on the running loop: `start` once, then `stop` once."""

    def __init__(
        self,
        config: Config,
        store: Store,
        json_to_protobuf: Callable[[bytes], bytes],
        now_ns: Callable[[], int],
        gate: Gate | None = None,
    ) -> None:
        """Every request but one for health passes `gate`; None lets everybody in. `store` is
        called in one thread of its own, never twice at a time. `json_to_protobuf` raises
        PermanentError for what is not OTLP/JSON. Raises ConfigError where the files for TLS
        cannot be used."""
        self._config = config
        self._gate = gate or OpenGate()
        self._certificates = certificates(config.tls)
        self.counts = Counts()
        self._admission = admission = Admission(config.body_bytes_max, config.retry_delay_s)
        self._committer = Committer(store, config.group_requests_max, config.group_bytes_max)
        self._grpc = grpc_server.GrpcServer(
            config, admission, self._committer, self._gate, now_ns, self.counts
        )
        self._http = http_server.HttpServer(
            http_server.Endpoint(
                config,
                admission,
                self._committer,
                self._gate,
                json_to_protobuf,
                now_ns,
                self.counts,
            )
        )

    async def start(self) -> Addresses:
        """Listen. Raises ConfigError, naming address and setting, where that is not possible."""
        grpc_address, http_address = parse(self._config.grpc), parse(self._config.http)
        sockets = bind(http_address, http_server.SETTING)
        try:
            grpc_address = await self._grpc.start(grpc_address, self._certificates)
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        http_address = Address(http_address.host, sockets[0].getsockname()[1])
        self._committer.start()
        await self._http.start(sockets, self._certificates)
        for address, setting in (
            (grpc_address, grpc_server.SETTING),
            (http_address, http_server.SETTING),
        ):
            warn_if_exposed(address, setting, self._config.tls, self._gate)
        return Addresses(str(grpc_address), str(http_address))

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of requests that are in memory, or that room is kept for."""
        return self._admission.bytes_now

    async def tell(self, ready: bool) -> None:
        """What `grpc.health.v1` answers from now on; ready at first."""
        await self._grpc.tell(ready)

    async def stop(self, grace_s: float) -> None:
        """Accept no more, store and answer what is in flight, then return.

        After `grace_s` seconds the requests left are put off, so that their senders try again.
        A store call that is running is always waited for, so the caller may close the store.
        """
        await asyncio.gather(self._grpc.stop(grace_s), self._http.stop(grace_s))
        await self._committer.stop()
