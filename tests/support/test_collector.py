"""The collector that tests start is the real one, and it ends."""

import pytest

from tests.support.collector import LOOPBACK, free_ports, healthy, running, start


def test_a_collector_answers_until_it_is_stopped(tmp_path):
    """`start` returns when it serves; SIGTERM ends it with exit code 0 and its ports are free."""
    with running(tmp_path / "data") as collector:
        assert healthy(collector.http)
        assert collector.stop() == 0
        assert not healthy(collector.http)


def test_a_collector_that_cannot_start_says_why(tmp_path):
    """A wrong setting is an error with the collector's own words, not a wait."""
    with pytest.raises(RuntimeError, match="settle_ms"):
        start(tmp_path / "data", assemble__settle_ms="soon")


def test_free_ports_are_different_and_silent():
    """Ports are distinct and nothing of ours answers there."""
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not any(healthy(f"{LOOPBACK}:{port}") for port in ports)
