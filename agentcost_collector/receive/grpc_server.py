"""OTLP/gRPC: takes request bytes as they are, never as Python messages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import grpc
from grpc_health.v1 import health_pb2_grpc

from agentcost_collector.model.access import Binding, Gate, Scope
from agentcost_collector.model.payload import Payload
from agentcost_collector.receive.address import Address, bind, cannot_listen
from agentcost_collector.receive.admission import Admission, Lease
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.counts import Counts
from agentcost_collector.receive.grpc_health import Health
from agentcost_collector.receive.status import (
    RefusedError,
    failure_of,
    grpc_metadata,
    success_body,
)
from agentcost_collector.receive.tls import Certificates

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
SETTING = "receive.grpc"

# `maximum_concurrent_rpcs` is not used: it refuses with a status after which clients drop data.
_PING_INTERVAL_MS_MIN = 9_000  # pings every 10 s are common; leave room for jitter
_AHEAD_BYTES = 16 * 1024  # of a message that waits to be read; without the probe it stays so


class GrpcServer:
    """The TraceService on one address."""

    def __init__(
        self,
        config: Config,
        admission: Admission,
        committer: Committer,
        gate: Gate,
        now_ns: Callable[[], int],
        counts: Counts,
    ) -> None:
        self._counts = counts
        self._health = Health(SERVICE)
        self._config = config
        self._admission = admission
        self._committer = committer
        self._gate = gate
        self._now_ns = now_ns
        self._server: grpc.aio.Server | None = None

    async def start(self, address: Address, tls: Certificates | None) -> Address:
        """Listen, and return the address with its real port. Raises ConfigError."""
        for probe in bind(address, SETTING):  # grpc itself does not say why it cannot bind
            probe.close()
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", self._config.request_bytes_max),
                ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MS_MIN),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.lookahead_bytes", _AHEAD_BYTES),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.so_reuseport", 0),  # two collectors on one port would share its requests
            ]
        )
        # As a stream of one, so that a message is taken off the wire when there is room for it.
        export = grpc.stream_unary_rpc_method_handler(self._export)
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Export": export})
        server.add_generic_rpc_handlers((handler,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        try:
            port = (
                server.add_secure_port(str(address), tls.grpc_credentials())
                if tls
                else server.add_insecure_port(str(address))
            )
        except RuntimeError as error:
            raise cannot_listen(address, SETTING, str(error)) from error
        await server.start()
        self._server = server
        return Address(address.host, port)

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests; wait up to `grace_s` seconds for the answers to those at hand."""
        if self._server:
            await self._health.end()
            await self._server.stop(grace_s)

    async def tell(self, ready: bool) -> None:
        """What grpc.health.v1 answers from now on; ready at first."""
        await self._health.tell(ready)

    async def _export(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        try:
            binding = self._admit(context)
            lease = self._admission.lease(_host(context.peer()))
            payload = await self._payload(context, lease, binding)
            answer = success_body(await self._committer.commit(payload, lease))
        except Exception as error:
            failure = failure_of(error, self._config.retry_delay_s)
        else:
            self._counts.accepted("grpc")
            return answer
        self._counts.failed("grpc", failure)
        await context.abort(failure.grpc_code, failure.message, grpc_metadata(failure))
        raise AssertionError("abort always raises")

    def _admit(self, context: grpc.aio.ServicerContext) -> Binding:
        """Before any message is read. Raises UnauthenticatedError or ForbiddenError."""
        metadata = context.invocation_metadata() or ()
        shown = [str(value) for key, value in metadata if key == "authorization"]
        return self._gate.admit(shown, Scope.INGEST, f"grpc {unquote(context.peer())}")

    async def _payload(
        self, context: grpc.aio.ServicerContext, lease: Lease, binding: Binding
    ) -> Payload:
        """The request, read once there is room for the largest one. Raises RefusedError where the
        call ends without one."""
        size_max = self._config.request_bytes_max
        spare = min(size_max, self._config.body_bytes_max - size_max)
        try:
            await lease.reserve(size_max, spare)
            async with lease.arriving(self._config.body_wait_s):
                body = await context.read()
            if body is grpc.aio.EOF:
                raise RefusedError(400, "The call ended without a request message.")
            lease.shrink(len(body))
        except BaseException:
            lease.release()
            raise
        return Payload(body, self._now_ns(), binding)


def _host(peer: str) -> str:
    """The address in what gRPC calls a peer, such as ipv4:127.0.0.1:5678 or ipv6:%5B::1%5D:5678."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
