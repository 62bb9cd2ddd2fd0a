"""TLS and mutual TLS of both listeners, and certificates that change while they run."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl

import grpc
import pytest
from structlog.testing import capture_logs

from agentcost_collector.model.access import OpenGate
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.receive.tls import Certificates
from agentcost_collector.receive.tls_config import TlsConfig
from tests.receive.conftest import EXPORT
from tests.support.certificates import authority

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    """An authority."""
    return authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture
def files(trusted, tmp_path):
    """Settings for TLS, over copies of files that the test may change."""
    pair = trusted.issue("first")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pair.cert, cert)
    shutil.copy(pair.key, key)
    return {"cert_file": cert, "key_file": key}


def replace(files, pair):
    for name, path in (("cert_file", pair.cert), ("key_file", pair.key)):
        fresh = files[name].with_suffix(".new")
        shutil.copy(path, fresh)
        fresh.replace(files[name])


def export_grpc(address, ca, client=None):
    """Exports one request on a fresh connection; raises grpc.RpcError."""
    pair = (client.key.read_bytes(), client.cert.read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.cert.read_bytes(), *pair)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        return channel.unary_unary(EXPORT)(b"by grpc", timeout=30)


def client_context(ca, client=None):
    context = ssl.create_default_context(cafile=ca.cert)
    if client:
        context.load_cert_chain(client.cert, client.key)
    return context


def export_http(address, ca, client=None):
    """Status of one export on a fresh connection; raises OSError."""
    host, port = address.split(":")
    connection = http.client.HTTPSConnection(
        host, int(port), timeout=30, context=client_context(ca, client)
    )
    try:
        connection.request("POST", "/v1/traces", b"by http", PROTOBUF)
        return connection.getresponse().status
    finally:
        connection.close()


def served_cert(address):
    """The certificate that a fresh connection is shown."""
    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port)), timeout=30)


def test_59_both_listeners_speak_tls(run, files, trusted):
    """Conformance 59: a client that trusts the authority gets through on both, from TLS 1.2 on,
    with the protocol agreed by ALPN; older TLS and plain text do not get through."""
    running = run(tls=files)
    assert export_grpc(running.addresses.grpc, trusted) == b""
    assert export_http(running.addresses.http, trusted) == 200
    assert sorted(running.store.bodies) == [b"by grpc", b"by http"]
    for address, protocol in ((running.addresses.grpc, "h2"), (running.addresses.http, "http/1.1")):
        host, port = address.split(":")
        context = client_context(trusted)
        context.set_alpn_protocols([protocol])
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection((host, int(port)), 30) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            agreed = secured.version(), secured.selected_alpn_protocol()
        assert agreed == ("TLSv1.2", protocol)
    assert Certificates(TlsConfig(**files)).context().minimum_version == ssl.TLSVersion.TLSv1_2
    plain = http.client.HTTPConnection(running.addresses.http, timeout=30)
    plain.request("GET", "/healthz")
    with pytest.raises((OSError, http.client.HTTPException)):
        plain.getresponse()
    plain.close()


def test_59_mutual_tls_wants_a_certificate_of_its_authority(run, files, trusted, tmp_path):
    """Without one, or with a stranger's, there is no connection; with one there is."""
    strangers = authority(tmp_path / "strangers", "strangers")
    running = run(tls={**files, "client_ca_file": trusted.cert})
    for client in (None, strangers.issue("stranger")):
        with pytest.raises(grpc.RpcError):
            export_grpc(running.addresses.grpc, trusted, client)
        with pytest.raises(OSError, match=r"alert|reset|EOF|[Bb]roken|closed"):
            export_http(running.addresses.http, trusted, client)
    known = trusted.issue("known")
    assert export_grpc(running.addresses.grpc, trusted, known) == b""
    assert export_http(running.addresses.http, trusted, known) == 200
    assert len(running.store.bodies) == 2


def test_59_a_new_certificate_is_used_without_a_restart(run, files, trusted):
    """Connections that are made after the files changed are shown the new one; one that was open
    goes on; a key that does not fit leaves the old in use, and the log says so."""
    running = run(tls=files)
    both = (running.addresses.grpc, running.addresses.http)
    first = files["cert_file"].read_text()
    opened = http.client.HTTPSConnection(both[1], timeout=30, context=client_context(trusted))
    opened.request("GET", "/healthz")
    opened.getresponse().read()
    assert [served_cert(address) for address in both] == [first] * 2

    replace(files, trusted.issue("second"))
    second = files["cert_file"].read_text()
    assert second != first
    assert [served_cert(address) for address in both] == [second] * 2
    opened.request("GET", "/healthz")
    assert opened.getresponse().read() == b'{"status":"ok"}'
    opened.close()

    files["key_file"].write_text("no key")
    with capture_logs() as logged:
        assert [served_cert(address) for address in both] == [second] * 2
    (line,) = [line for line in logged if line["event"] == "certificate_not_reloaded"]
    assert (line["log_level"], str(files["key_file"]) in line["error"]) == ("error", True)

    replace(files, trusted.issue("third"))
    assert [served_cert(address) for address in both] == [files["cert_file"].read_text()] * 2
    assert export_grpc(both[0], trusted) == b""


def test_files_that_do_not_fit_are_refused_at_start(files, trusted, tmp_path):
    """A missing, foreign or encrypted key is one sentence with the file's name."""
    other = trusted.issue("other")
    for key in (tmp_path / "nowhere.pem", other.key, files["cert_file"]):
        with pytest.raises(ConfigError, match=key.name):
            Certificates(TlsConfig(cert_file=files["cert_file"], key_file=key))


def test_half_of_the_settings_is_refused():
    """A certificate without its key would listen in plain text."""
    for half in ({"cert_file": "c.pem"}, {"key_file": "k.pem"}, {"client_ca_file": "ca.pem"}):
        with pytest.raises(ValueError, match="key_file"):
            TlsConfig(**half)


def test_a_key_that_others_can_read_is_told(files):
    """With mode 0644 it warns, with 0600 it does not."""
    for mode, expected in ((0o644, ["private_key_readable_by_others"]), (0o600, [])):
        files["key_file"].chmod(mode)
        with capture_logs() as logged:
            Certificates(TlsConfig(**files))
        assert [line["event"] for line in logged] == expected


def test_60_no_warning_where_tls_asks_for_a_certificate(run, files, trusted):
    """Conformance 60: beyond loopback, mutual TLS is enough."""

    class Closed(OpenGate):
        is_closed = True

    beyond = {"grpc": "0.0.0.0:0", "http": "0.0.0.0:0"}
    files["key_file"].chmod(0o600)
    with capture_logs() as logged:
        run(tls={**files, "client_ca_file": trusted.cert}, **beyond)
        run(gate=Closed(), tls=files, **beyond)
    assert logged == []
