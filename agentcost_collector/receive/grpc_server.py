"""OTLP/gRPC: takes request bytes as they are, never as Python messages."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from agentcost_collector.model.payload import Payload
from agentcost_collector.receive.address import Address, bind, cannot_listen
from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.status import failure_of, grpc_metadata, success_body

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
SETTING = "receive.grpc"

# `maximum_concurrent_rpcs` is not used: it refuses with a status after which clients drop data.
_PING_INTERVAL_MS_MIN = 9_000  # pings every 10 s are common; leave room for jitter


class GrpcServer:
    """The TraceService on one address."""

    def __init__(
        self, config: Config, admission: Admission, committer: Committer, now_ns: Callable[[], int]
    ) -> None:
        self._config = config
        self._admission = admission
        self._committer = committer
        self._now_ns = now_ns
        self._server: grpc.aio.Server | None = None

    async def start(self, address: Address) -> Address:
        """Listen, and return the address with its real port. Raises ConfigError."""
        for probe in bind(address, SETTING):  # grpc itself does not say why it cannot bind
            probe.close()
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._config.request_bytes_max),
                ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS_MIN),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.so_reuseport", 0),  # two collectors on one port would share its requests
            ]
        )
        export = grpc.unary_unary_rpc_method_handler(self._export)
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Export": export})
        server.add_generic_rpc_handlers((handler,))
        try:
            port = server.add_insecure_port(str(address))
        except RuntimeError as error:
            raise cannot_listen(address, SETTING, str(error)) from error
        await server.start()
        self._server = server
        return Address(address.host, port)

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests; wait up to `grace_s` seconds for the answers to those at hand."""
        if self._server:
            await self._server.stop(grace_s)

    async def _export(self, body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            payload = Payload(body, self._now_ns())
            lease = self._admission.lease(len(body))
            return success_body(await self._committer.commit(payload, lease))
        except Exception as error:
            failure = failure_of(error, self._config.retry_delay_s)
        await context.abort(failure.grpc_code, failure.message, grpc_metadata(failure))
        raise AssertionError("abort always raises")
