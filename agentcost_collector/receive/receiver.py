"""The two listeners, their common committer, and their life from start to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agentcost_collector.model.payload import Store
from agentcost_collector.receive import grpc_server, http_server
from agentcost_collector.receive.address import Address, bind, is_loopback, parse
from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config

_log = structlog.get_logger(__name__)


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
    ) -> None:
        """`store` is called in one thread of its own, never twice at a time. `json_to_protobuf`
        raises PermanentError for what is not OTLP/JSON."""
        self._config = config
        admission = Admission(config.body_bytes_max, config.retry_delay_s)
        self._committer = Committer(store, config.group_requests_max, config.group_bytes_max)
        self._grpc = grpc_server.GrpcServer(config, admission, self._committer, now_ns)
        self._http = http_server.HttpServer(
            http_server.Endpoint(config, admission, self._committer, json_to_protobuf, now_ns)
        )

    async def start(self) -> Addresses:
        """Listen. Raises ConfigError, naming address and setting, where that is not possible."""
        grpc_address, http_address = parse(self._config.grpc), parse(self._config.http)
        sockets = bind(http_address, http_server.SETTING)
        try:
            grpc_address = await self._grpc.start(grpc_address)
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        http_address = Address(http_address.host, sockets[0].getsockname()[1])
        self._committer.start()
        await self._http.start(sockets)
        _warn_if_reachable(grpc_address, grpc_server.SETTING)
        _warn_if_reachable(http_address, http_server.SETTING)
        return Addresses(str(grpc_address), str(http_address))

    async def stop(self, grace_s: float) -> None:
        """Accept no more, store and answer what is in flight, then return.

        After `grace_s` seconds the requests left are put off, so that their senders try again.
        A store call that is running is always waited for, so the caller may close the store.
        """
        await asyncio.gather(self._grpc.stop(grace_s), self._http.stop(grace_s))
        await self._committer.stop()


def _warn_if_reachable(address: Address, setting: str) -> None:
    if not is_loopback(address, setting):
        _log.warning(
            "listening_beyond_this_machine",
            address=str(address),
            setting=setting,
            advice="Anyone who can reach this address can send spans: there is no "
            "authentication. Put it behind a firewall or an OpenTelemetry Collector.",
        )
