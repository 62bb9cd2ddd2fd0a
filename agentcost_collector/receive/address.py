"""Listen addresses: parse, bind, tell whether others can reach them."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from agentcost_collector.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Address of HOST:PORT or [IPV6]:PORT. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    known = bare and (bracketed or ":" not in bare)
    if not (colon and known and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError(f"{text!r} is not an address of the form HOST:PORT or [IPV6]:PORT")
    return Address(bare, int(port))


def bind(address: Address, setting: str) -> list[socket.socket]:
    """Sockets bound to every IP address of the host, all on one port.

    Raises ConfigError, naming address and setting, where that is not possible.
    """
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    port = address.port
    for family, ip in _resolve(address, setting):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ip, port))
        except OSError as error:
            sock.close()
            failure = error
            if error.errno == errno.EADDRNOTAVAIL:  # such as ::1 of localhost without IPv6
                continue
            break
        port = sock.getsockname()[1]
        sockets.append(sock)
    if failure and (not sockets or failure.errno != errno.EADDRNOTAVAIL):
        for sock in sockets:
            sock.close()
        raise cannot_listen(address, setting, failure.strerror or str(failure)) from failure
    return sockets


def cannot_listen(address: Address, setting: str, why: str) -> ConfigError:
    """The error for an address that cannot be listened on."""
    return ConfigError(f"Cannot listen on {address}: {why}; choose another address with {setting}.")


def is_loopback(address: Address, setting: str) -> bool:
    """Whether only this machine can reach the address. Raises ConfigError for unknown hosts."""
    return all(ipaddress.ip_address(ip).is_loopback for _, ip in _resolve(address, setting))


def _resolve(address: Address, setting: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise cannot_listen(address, setting, error.strerror or str(error)) from error
    return list(dict.fromkeys((family, str(ip[0])) for family, _, _, _, ip in found))
