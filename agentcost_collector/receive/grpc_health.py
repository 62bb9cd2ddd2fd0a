"""grpc.health.v1 on the port of OTLP/gRPC, for load balancers and probes; it asks for no token."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer


class Health(HealthServicer):  # type: ignore[misc]
    """One answer for the whole server, under the empty name and that of the service. The
    library's own servicer keeps whoever watches for ever, and a stopping server with them."""

    def __init__(self, service: str) -> None:
        self._names = ("", service)
        self._status = HealthCheckResponse.SERVING
        self._ended = False
        self._changed = asyncio.Condition()

    async def Check(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        """What holds now; NOT_FOUND for other services."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Only traces are served here.")
        return HealthCheckResponse(status=self._status)

    async def Watch(self, request: Any, context: grpc.aio.ServicerContext) -> None:  # noqa: N802
        """What holds now and every change of it, until `end`."""
        known = request.service in self._names
        told: int | None = None
        while True:
            status = self._status if known else HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                told = status
                await context.write(HealthCheckResponse(status=status))
            async with self._changed:
                if known and told != self._status:
                    continue
                if self._ended:
                    return
                await self._changed.wait()

    async def tell(self, ready: bool) -> None:
        """What is answered from now on; serving at first."""
        status = HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
        if status != self._status:
            async with self._changed:
                self._status = status
                self._changed.notify_all()

    async def end(self) -> None:
        """Not serving any more; who watches hears of it, and keeps nobody from stopping."""
        async with self._changed:
            self._ended = True
            self._status = HealthCheckResponse.NOT_SERVING
            self._changed.notify_all()
