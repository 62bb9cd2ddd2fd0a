"""How many bytes of requests may be in memory at once."""

from __future__ import annotations

from agentcost_collector.model.errors import TransientError


class Admission:
    """Counts the bytes of all requests in flight. Not thread-safe: used on the loop only."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes_now = 0

    def lease(self, size: int = 0) -> Lease:
        """A lease of `size` bytes. Raises TransientError where they are not free."""
        lease = Lease(self)
        lease.grow(size)
        return lease


class Lease:
    """The bytes that one request holds."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def grow(self, size: int) -> None:
        """Take `size` more bytes. Raises TransientError where they are not free."""
        admission = self._admission
        if admission.bytes_now + size > admission.bytes_max:
            raise TransientError(
                f"{admission.bytes_now} bytes of requests are already waiting to be stored "
                f"and the limit is {admission.bytes_max}; try again."
            )
        admission.bytes_now += size
        self._size += size

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        self._admission.bytes_now -= self._size
        self._size = 0
