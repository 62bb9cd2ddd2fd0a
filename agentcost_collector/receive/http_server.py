"""OTLP/HTTP: POST /v1/traces in protobuf and JSON, plain or gzip; GET /healthz."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import uvicorn

from agentcost_collector.model.access import Binding, Gate, Scope
from agentcost_collector.model.errors import TransientError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.receive.admission import Admission, Lease
from agentcost_collector.receive.body import Body, GzipBody, PlainBody, json_bytes, too_large
from agentcost_collector.receive.committer import Committer
from agentcost_collector.receive.config import Config
from agentcost_collector.receive.counts import Counts
from agentcost_collector.receive.http_protocol import HttpProtocol
from agentcost_collector.receive.status import (
    Cause,
    PutOffError,
    RefusedError,
    failure_of,
    http_body,
    http_headers,
    late_body,
    success_body,
)
from agentcost_collector.receive.tls import Certificates

SETTING = "receive.http"
TRACES = "/v1/traces"
HEALTH = "/healthz"

_PROTOBUF = b"application/x-protobuf"
_JSON = b"application/json"
_METHODS = {TRACES: ("POST",), HEALTH: ("GET", "HEAD")}
_KEEP_ALIVE_S = 75  # longer than clients pause between exports, so that none meets a closing one

_NO_SPANS = (
    "The request has no resourceSpans, so nothing was kept; OTLP/JSON keys are lowerCamelCase."
)

Headers = Mapping[bytes, bytes]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HttpServer:
    """uvicorn on the loop that is running, without its own signal handling."""

    def __init__(self, endpoint: Endpoint) -> None:
        class Counted(HttpProtocol):
            counts = endpoint.counts

        config = uvicorn.Config(
            endpoint,
            http=Counted,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        config.load()
        self._endpoint = endpoint
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._ticks: asyncio.Task[None] | None = None

    async def start(self, sockets: list[socket.socket], tls: Certificates | None) -> None:
        """Listen on bound sockets; they are closed by `stop`."""
        self._server.config.ssl = tls.listening_context() if tls else None
        await self._server.startup(sockets)
        self._ticks = asyncio.create_task(self._server.main_loop())

    async def stop(self, grace_s: float) -> None:
        """Accept no more; wait up to `grace_s` seconds for the answers to requests at hand."""
        if self._ticks:
            self._server.should_exit = True
            await self._ticks
            self._server.config.timeout_graceful_shutdown = math.ceil(grace_s)
            await self._server.shutdown()
            await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)
        self._endpoint.close()


class Endpoint:
    """The ASGI application."""

    def __init__(
        self,
        config: Config,
        admission: Admission,
        committer: Committer,
        gate: Gate,
        json_to_protobuf: Callable[[bytes], bytes],
        now_ns: Callable[[], int],
        counts: Counts,
    ) -> None:
        self.counts = counts
        self._config = config
        self._admission = admission
        self._committer = committer
        self._gate = gate
        self._json_to_protobuf = json_to_protobuf
        self._now_ns = now_ns
        # One thread: large JSON takes many times its size while it is read.
        self._json_thread = ThreadPoolExecutor(1, thread_name_prefix="receive-json")

    def close(self) -> None:
        """End the thread that reads JSON."""
        self._json_thread.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        path, headers = scope["path"], dict(scope["headers"])
        media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        chunks = _Chunks(receive, self._config.body_wait_s)
        cancelled = False
        try:
            _check_route(path, scope["method"])
            if path == HEALTH:
                await _send(send, 200, _JSON, b'{"status":"ok"}')
                return
            client = scope.get("client") or ("",)
            binding = self._admit(scope["headers"], client)
            outcome = await self._export(headers, media, chunks, client[0], binding)
            answer = success_body(outcome, media == _JSON)
            self.counts.accepted("http")
            await _send(send, 200, media, answer)
        except _GoneError:
            return
        except asyncio.CancelledError:
            stopping = PutOffError(Cause.STOPPING, "The collector is stopping; send it again.")
            failure = failure_of(stopping, self._config.retry_delay_s)
            cancelled = True
        except Exception as error:  # not kept any longer: the body would be kept with it
            failure = failure_of(error, self._config.retry_delay_s)
        else:
            return
        self.counts.failed("http", failure)
        if not cancelled:
            await chunks.drain()
        as_json = media != _PROTOBUF
        extra = http_headers(failure)
        if failure.http == 405:
            extra.append((b"allow", ", ".join(_METHODS[path]).encode()))
        if chunks.more:
            extra.append((b"connection", b"close"))
        body = http_body(failure, as_json)
        await _send(send, failure.http, _JSON if as_json else _PROTOBUF, body, extra)

    def _admit(self, headers: Sequence[tuple[bytes, bytes]], client: Sequence[Any]) -> Binding:
        """Before anything of the body is read. Raises UnauthenticatedError or ForbiddenError."""
        shown = [value.decode("latin-1") for key, value in headers if key == b"authorization"]
        return self._gate.admit(shown, Scope.INGEST, f"http {':'.join(map(str, client))}")

    async def _export(
        self, headers: Headers, media: bytes, chunks: _Chunks, sender: str, binding: Binding
    ) -> Outcome:
        if media not in (_PROTOBUF, _JSON):
            accepted = f"{_PROTOBUF.decode()} or {_JSON.decode()}"
            raise RefusedError(415, f"Content-Type must be {accepted}, not {_shown(media)}.")
        lease = self._admission.lease(sender)
        try:
            body = await self._read(headers, chunks, lease)
            unread = False
            if media == _JSON:
                await lease.reserve(json_bytes(body, self._config.body_bytes_max - len(body)))
                loop = asyncio.get_running_loop()
                text = body
                body = await loop.run_in_executor(self._json_thread, self._json_to_protobuf, text)
                unread = not body and b":" in text and b'"resourceSpans"' not in text
            lease.shrink(len(body))
        except BaseException:
            lease.release()
            raise
        outcome = await self._committer.commit(Payload(body, self._now_ns(), binding), lease)
        return Outcome(message=_NO_SPANS) if unread else outcome

    async def _read(self, headers: Headers, chunks: _Chunks, lease: Lease) -> bytes:
        bytes_max = self._config.request_bytes_max
        size = int(headers.get(b"content-length", b"%d" % bytes_max))
        if size > bytes_max:
            raise too_large(bytes_max)
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b"gzip"):
            raise RefusedError(
                415, f"Content-Encoding must be gzip or identity, not {_shown(encoding)}."
            )
        await lease.reserve(size)
        body: Body = (GzipBody if encoding == b"gzip" else PlainBody)(bytes_max, lease)
        async with lease.arriving(self._config.body_wait_s):
            async for chunk in chunks:
                body.add(chunk)
        whole = body.finish()
        lease.shrink(len(whole))
        return whole


class _GoneError(Exception):
    """The client has closed the connection: nobody is left to answer."""


class _Chunks:
    """The body of one request as it arrives, within `wait_s` seconds for all of it."""

    def __init__(self, receive: Receive, wait_s: float) -> None:
        self.more = True
        """Whether the client has still to send some of it."""
        self._receive = receive
        self._wait_s = wait_s
        self._deadline = asyncio.get_running_loop().time() + wait_s

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self.more:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise late_body(self._wait_s) from None
        if message["type"] == "http.disconnect":
            raise _GoneError
        self.more = message["more_body"]
        chunk: bytes = message["body"]
        return chunk

    async def drain(self) -> None:
        """Drop what is still to come: some clients read no answer before they have sent all.
        Ends early when the time is over or the server stops."""
        with contextlib.suppress(TransientError, _GoneError, asyncio.CancelledError):
            async for _ in self:
                pass


def _check_route(path: str, method: str) -> None:
    if path not in _METHODS:
        raise RefusedError(404, f"Nothing is served at {_shown(path)}; send traces to {TRACES}.")
    if method not in _METHODS[path]:
        raise RefusedError(405, f"{path} takes {' or '.join(_METHODS[path])}, not {method}.")


def _shown(text: bytes | str) -> str:
    """Text from a client in quotes, short and printable."""
    return ascii(text.decode("latin-1")[:100] if isinstance(text, bytes) else text[:100])


async def _send(
    send: Send,
    http: int,
    media: bytes,
    body: bytes,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [(b"content-type", media), (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": http, "headers": headers})
    await send({"type": "http.response.body", "body": body})
