from __future__ import annotations

import socket

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.receive.address import Address, bind, is_loopback, parse


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4317", "127.0.0.1", 4317),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        ("collector.example.com:80", "collector.example.com", 80),
    ],
)
def test_addresses_are_read_and_written_alike(text, host, port):
    """Host and port are found, and the address reads as it was written."""
    assert parse(text) == Address(host, port)
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "4317", ":4317", "host", "host:", "host:x", "host:65536", "host:-1", "::1:4317", "[]:1"],
)
def test_what_is_no_address_is_refused(text):
    """Text without a host or a port from 0 to 65535 is an error that shows the right form."""
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse(text)


def test_a_host_of_several_addresses_is_bound_at_each_on_one_port():
    """`localhost` accepts over every address it has, all at the same port."""
    sockets = bind(Address("localhost", 0), "receive.http")
    try:
        (port,) = {sock.getsockname()[1] for sock in sockets}
        assert port
        for sock in sockets:
            sock.listen()
            socket.create_connection(sock.getsockname()[:2], timeout=30).close()
    finally:
        for sock in sockets:
            sock.close()


def test_an_address_of_another_machine_is_a_clear_error():
    """What this machine cannot listen on is one sentence with address and setting."""
    with pytest.raises(ConfigError, match=r"Cannot listen on 192\.0\.2\.1:0: .* receive\.grpc\."):
        bind(Address("192.0.2.1", 0), "receive.grpc")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback(host, expected):
    """Only loopback addresses count as out of others' reach."""
    assert is_loopback(Address(host, 4317), "receive.grpc") is expected
