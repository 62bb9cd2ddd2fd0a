"""One HTTP connection: uvicorn's, with bounds on the head of a request.

uvicorn itself takes heads of any length, for as long as it takes a client to send them.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from agentcost_collector.receive.counts import Counts
from agentcost_collector.receive.status import RefusedError, failure_of, http_body, late_body

HEAD_BYTES_MAX = 64 * 1024


class HttpProtocol(HttpToolsProtocol):
    """Answers a head that is malformed, too long or too late, and closes the connection."""

    head_wait_s: ClassVar[float] = 10
    """Seconds that a client may take to send the head of a request."""

    counts: ClassVar[Counts]
    """Where answers are counted."""

    _head_bytes: int | None = None  # None: no head is being read
    _head_late: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(RefusedError(431, f"The head exceeds {HEAD_BYTES_MAX} bytes."))

    def on_message_begin(self) -> None:
        """The first byte of a request is there."""
        super().on_message_begin()
        self._head_bytes = 0
        late = late_body(self.head_wait_s)
        self._head_late = self.loop.call_later(self.head_wait_s, self._refuse, late)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._end_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(RefusedError(400, msg))

    def _end_head(self) -> None:
        self._head_bytes = None
        if self._head_late:
            self._head_late.cancel()
            self._head_late = None

    def _refuse(self, error: Exception) -> None:
        """Answer in JSON, for the head has not said what the client reads, and close."""
        self._end_head()
        failure = failure_of(error, retry_delay_s=1)
        self.counts.failed("http", failure)
        body = http_body(failure, as_json=True)
        self.transport.write(
            b"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % (failure.http, len(body)) + body
        )
        self.transport.close()
