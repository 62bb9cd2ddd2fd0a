"""Just enough HTTP/2 to be a gRPC client that does what no library lets one do."""

from __future__ import annotations

import socket
import struct
from typing import Self

from tests.conformance.server import EXPORT, WAIT_S

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


class Http2:
    """One connection to HOST:PORT; stream 1 is the only call on it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=WAIT_S)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.frame(SETTINGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def frame(self, kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> None:
        """Sends one frame."""
        head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
        self._socket.sendall(head + payload)

    def open_call(self, **headers: str) -> None:
        """Begins a call of Export on stream 1."""
        sent = {
            ":method": "POST",
            ":scheme": "http",
            ":path": EXPORT,
            ":authority": "test",
            "content-type": "application/grpc",
            "te": "trailers",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        block = b"".join(_literal(name, value) for name, value in sent.items())
        self.frame(HEADERS, block, END_HEADERS, 1)

    def receive(self) -> tuple[int, int, bytes]:
        """Kind, flags and payload of the next frame. Raises EOFError where the server closed."""
        head = self._exactly(9)
        return head[3], head[4], self._exactly(int.from_bytes(head[:3], "big"))

    def answer(self) -> bytes:
        """The header blocks of the answer to the call, up to its end, as they came."""
        blocks = b""
        while True:
            kind, flags, payload = self.receive()
            if kind == SETTINGS and not flags & ACK:
                self.frame(SETTINGS, flags=ACK)
            blocks += payload if kind == HEADERS else b""
            if (kind == HEADERS and flags & END_STREAM) or kind == RESET:
                return blocks

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._socket.recv(size - len(found))
            if not more:
                raise EOFError
            found += more
        return found


def message(body: bytes, claimed: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message with its head, which may claim another length."""
    return struct.pack(">BI", compressed, len(body) if claimed is None else claimed) + body


def _literal(name: str, value: str) -> bytes:
    """A header that is not indexed and not Huffman coded."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
