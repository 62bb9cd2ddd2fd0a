"""Gathers an HTTP request body, undoing gzip on the way, within a bound."""

from __future__ import annotations

import zlib
from typing import Protocol

from agentcost_collector.receive.admission import Lease
from agentcost_collector.receive.status import RefusedError

_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS_MAX = 1000  # each costs a fresh decompressor and a copy of the rest of its chunk

_BYTES_PER_VALUE = 80  # what Python makes of {"a":0} and the like, by marks { [ , : in the text
_BYTES_PER_CHAR = 4


class Body(Protocol):
    """A request body that grows by chunks as they came over the wire."""

    def add(self, chunk: bytes) -> None:
        """Take a chunk. Raises RefusedError, or TransientError where memory is not free."""

    def finish(self) -> bytes:
        """The whole body. Raises RefusedError where it is cut short."""


class PlainBody:
    """A body as it is."""

    def __init__(self, bytes_max: int, lease: Lease) -> None:
        self._bytes_max = bytes_max
        self._lease = lease
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self._bytes_max - self._size

    def add(self, chunk: bytes) -> None:
        """Take a chunk."""
        if len(chunk) > self.room:
            raise too_large(self._bytes_max)
        self._size += len(chunk)
        self._lease.cover(self._size)
        self._chunks.append(chunk)

    def finish(self) -> bytes:
        """All chunks as one."""
        return b"".join(self._chunks)


class GzipBody:
    """A gzip body of one or several members; never holds more than the bound."""

    def __init__(self, bytes_max: int, lease: Lease) -> None:
        self._plain = PlainBody(bytes_max, lease)
        self._member: zlib._Decompress | None = None
        self._members = 0

    def add(self, chunk: bytes) -> None:
        """Take a compressed chunk. One byte more than fits is asked for, so that a bomb stops
        at the bound."""
        while chunk:
            member = self._member = self._member or self._next_member()
            try:
                self._plain.add(member.decompress(chunk, self._plain.room + 1))
            except zlib.error as error:
                raise RefusedError(400, f"The request body is not valid gzip: {error}.") from error
            chunk = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                self._member = None

    def finish(self) -> bytes:
        """All members decompressed."""
        if self._member:
            raise RefusedError(400, "The gzip request body ends before its end mark.")
        return self._plain.finish()

    def _next_member(self) -> zlib._Decompress:
        self._members += 1
        if self._members > _MEMBERS_MAX:
            raise RefusedError(400, f"The gzip body has more than {_MEMBERS_MAX} members.")
        return zlib.decompressobj(_GZIP)


def json_bytes(body: bytes, bytes_max: int) -> int:
    """Memory that reading this JSON text takes at most, in bytes beside the text itself.

    Raises RefusedError where that is more than `bytes_max`. Cost: some 5 ns a byte.
    """
    values = sum(map(body.count, (b"{", b"[", b",", b":")))
    size = values * _BYTES_PER_VALUE + len(body) * (1 if body.isascii() else _BYTES_PER_CHAR)
    if size > bytes_max:
        raise RefusedError(
            413,
            f"The JSON request of {len(body)} bytes would take {size} bytes of memory to read and "
            f"{bytes_max} are left; send smaller batches or protobuf, or raise the receiver's "
            "bytes_in_flight_max.",
        )
    return size


def too_large(bytes_max: int) -> RefusedError:
    """The refusal of a request over the size limit."""
    return RefusedError(
        413,
        f"The request is larger than {bytes_max} bytes; send smaller batches "
        "or raise the receiver's request_bytes_max.",
    )
