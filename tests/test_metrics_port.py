"""The metrics port asks for the same tokens and speaks the same TLS as the other doors."""

from __future__ import annotations

import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.gate import TokenGate
from agentcost_collector.access.token import new_token
from agentcost_collector.access.token_file import TokenFile, change_tokens
from agentcost_collector.metrics_port import served
from agentcost_collector.model.access import UNBOUND, Gate, OpenGate, Scope
from agentcost_collector.receive.tls_config import TlsConfig
from tests.support.certificates import authority
from tests.support.collector import LOOPBACK, free_ports


@contextmanager
def port(tls: TlsConfig, gate: Gate) -> Iterator[str]:
    """The port, with nothing to tell."""
    address = f"{LOOPBACK}:{free_ports(1)[0]}"
    with served(CollectorRegistry(), address, tls, gate):
        yield address


def status(url: str, token: str | None = None, context: ssl.SSLContext | None = None) -> int:
    """HTTP status of a scrape."""
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_scrapes_need_the_scope_read(tmp_path: Path) -> None:
    """Whatever the path: none or a wrong token 401, one for sending 403, one for reading 200."""
    now = datetime.now(UTC)
    made = {scope: new_token("x", (scope,), UNBOUND, now) for scope in Scope}
    with change_tokens(tmp_path / "tokens.jsonl") as tokens:
        tokens.update({stored.id: stored for _, stored in made.values()})
    gate = TokenGate(TokenFile(tmp_path / "tokens.jsonl"), False, AuditLog(tmp_path / "audit"))
    with port(TlsConfig(), gate) as address:
        for path in ("metrics", "", "anything"):
            url = f"http://{address}/{path}"
            assert status(url) == 401
            assert status(url, "act_0123_wrong") == 401
            assert status(url, made[Scope.INGEST][0]) == 403
            assert status(url, made[Scope.READ][0]) == 200
            assert status(url, made[Scope.ADMIN][0]) == 200


def test_tls_with_a_new_certificate(tmp_path: Path) -> None:
    """TLS only, and the newest certificate for each connection."""
    trusted = authority(tmp_path / "trusted")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    first, second = trusted.issue("first"), trusted.issue("second")
    shutil.copy(first.cert, cert)
    shutil.copy(first.key, key)
    tls = TlsConfig(cert_file=cert, key_file=key)
    with port(tls, OpenGate()) as address:
        host, number = address.split(":")
        context = ssl.create_default_context(cafile=trusted.cert)
        assert status(f"https://{address}/metrics", context=context) == 200
        with pytest.raises(OSError, match=r"reset|closed|[Dd]isconnect|end of file"):
            status(f"http://{address}/metrics")
        shutil.copy(second.key, key)
        shutil.copy(second.cert, cert)
        assert ssl.get_server_certificate((host, int(number))) == second.cert.read_text()


def test_beyond_loopback_it_warns() -> None:
    """As the other listeners do."""
    with capture_logs() as logged:
        address = f"0.0.0.0:{free_ports(1)[0]}"
        with served(CollectorRegistry(), address, TlsConfig(), OpenGate()):
            pass
    (line,) = logged
    assert (line["event"], line["setting"]) == ("listening_beyond_this_machine", "metrics")
