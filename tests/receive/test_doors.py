"""Every door asks for a token as soon as there is one, and says in OTLP's words what is wrong."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc.status_pb2 import Status
from structlog.testing import capture_logs

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.gate import TokenGate
from agentcost_collector.access.token import new_token
from agentcost_collector.access.token_file import TokenFile, change_tokens
from agentcost_collector.model.access import UNBOUND, Binding, Scope
from agentcost_collector.receive import http_server
from tests.receive.conftest import EXPORT

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PROTOBUF = "application/x-protobuf"


class Keys:
    """A gate over a token file, and tokens of every kind."""

    def __init__(self, folder):
        self.path = folder / "tokens.jsonl"
        self.now = NOW
        pinned = Binding("acme", "prod")
        self.good = self.make((Scope.INGEST,))
        self.pinned = self.make((Scope.INGEST,), pinned)
        self.admin = self.make((Scope.ADMIN,))
        self.reader = self.make((Scope.READ,))
        self.short = self.make((Scope.INGEST,), ends=NOW + timedelta(hours=1))
        self.gate = TokenGate(
            TokenFile(self.path), False, AuditLog(folder / "audit.jsonl"), lambda: self.now
        )

    def make(self, scopes, binding=UNBOUND, ends=None):
        text, stored = new_token("for a test", scopes, binding, NOW, ends)
        with change_tokens(self.path) as tokens:
            tokens[stored.id] = stored
        return text

    def revoke(self, text):
        token_id = text.split("_")[1]
        with change_tokens(self.path) as tokens:
            tokens[token_id] = tokens[token_id].model_copy(update={"revoked_at": NOW})


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def guarded(run, keys):
    return run(gate=keys.gate)


def by_grpc(running, *headers):
    """Name of the status."""
    future = running.export.future(b"body", metadata=headers, timeout=30)
    return future.code().name


def by_http(running, *headers, path="/v1/traces", method="POST", media=PROTOBUF):
    """Status, headers and body of the answer."""
    connection = http.client.HTTPConnection(running.addresses.http, timeout=30)
    connection.putrequest(method, path)
    body = b"{}" if media != PROTOBUF else b"body"
    for name, value in (("Content-Type", media), ("Content-Length", str(len(body))), *headers):
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    result = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return result


def bearer(text, name="authorization", scheme="Bearer"):
    return name, f"{scheme} {text}"


def test_29_both_protocols_ask_for_a_token_and_say_so(guarded, keys):
    """Conformance 29: none, a wrong or an ended one is UNAUTHENTICATED / 401, one without the
    scope PERMISSION_DENIED / 403; neither is retryable, and the body is a Status in the encoding
    of the request. Nothing of it reaches the store."""
    keys.now = NOW + timedelta(hours=2)
    keys.revoke(keys.pinned)
    wrong = keys.good[:-1] + ("A" if keys.good[-1] != "A" else "B")
    for text in (None, "", "x", wrong, keys.short, keys.pinned):
        headers = [] if text is None else [bearer(text)]
        assert by_grpc(guarded, *headers) == "UNAUTHENTICATED"
        status, answer, body = by_http(guarded, *headers)
        assert (status, answer["www-authenticate"]) == (401, 'Bearer realm="agentcost"')
        assert "retry-after" not in answer
        assert Status.FromString(body).code == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert by_grpc(guarded, bearer(keys.reader)) == "PERMISSION_DENIED"
    status, answer, body = by_http(guarded, bearer(keys.reader), media="application/json")
    assert (status, answer["content-type"]) == (403, "application/json")
    assert json.loads(body)["code"] == grpc.StatusCode.PERMISSION_DENIED.value[0]
    assert guarded.store.bodies == []


@pytest.mark.parametrize("who", ["good", "admin"])
def test_a_good_token_is_let_in(guarded, keys, who):
    """Whatever the case of header name and scheme; `admin` covers `ingest`."""
    text = getattr(keys, who)
    assert by_grpc(guarded, bearer(text)) == "OK"
    assert by_grpc(guarded, bearer(text, scheme="bearer")) == "OK"
    assert by_http(guarded, bearer(text, name="AUTHORIZATION", scheme="BEARER"))[0] == 200
    assert len(guarded.store.bodies) == 3


def test_two_authorization_headers_are_none(guarded, keys):
    """Which of them counts would be for a proxy in front to decide otherwise."""
    two = [bearer("x"), bearer(keys.good)]
    assert by_grpc(guarded, *two) == "UNAUTHENTICATED"
    assert by_http(guarded, *two)[0] == 401


def test_every_door_asks(run, keys, monkeypatch):
    """Every HTTP path and gRPC method that the code serves refuses a request without a token,
    all but health: a new one without the rule fails here."""
    served = []
    server_class = grpc.aio._server.Server
    add = server_class.add_generic_rpc_handlers

    def add_and_note(server, handlers):
        served.extend(name for handler in handlers for name in handler._method_handlers)
        add(server, handlers)

    monkeypatch.setattr(server_class, "add_generic_rpc_handlers", add_and_note)
    running = run(gate=keys.gate)
    for path, methods in http_server._METHODS.items():
        for method in methods:
            status, _, _ = by_http(running, path=path, method=method)
            assert status == (200 if path == http_server.HEALTH else 401), (method, path)
    assert EXPORT in served
    for method in served:
        if not method.startswith("/grpc.health."):
            with pytest.raises(grpc.RpcError) as refused:
                running.channel.unary_unary(method)(b"", timeout=30)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED, method


def test_57_a_token_pins_and_no_header_does(guarded, keys):
    """Conformance 57: the binding comes from the token; tenant headers of the sender are air."""
    claims = [("x-tenant", "evil"), ("x-scope-orgid", "evil"), ("tenant", "evil")]
    by_grpc(guarded, bearer(keys.pinned), *claims)
    by_http(guarded, bearer(keys.pinned), *claims)
    by_grpc(guarded, bearer(keys.good), *claims)
    by_http(guarded, bearer(keys.good), *claims)
    bound = [payload.binding for group in guarded.store.groups for payload in group]
    assert bound == [Binding("acme", "prod")] * 2 + [UNBOUND] * 2


def test_a_revoked_token_ends_at_once(guarded, keys):
    """The very next request after the file has changed is refused; the other tokens go on."""
    assert by_grpc(guarded, bearer(keys.pinned)) == "OK"
    keys.revoke(keys.pinned)
    assert by_grpc(guarded, bearer(keys.pinned)) == "UNAUTHENTICATED"
    assert by_http(guarded, bearer(keys.pinned))[0] == 401
    assert by_grpc(guarded, bearer(keys.good)) == "OK"


def test_the_first_token_closes_the_doors(run, tmp_path):
    """Without any token everybody is let in; from the first on a running receiver asks."""
    gate = TokenGate(TokenFile(tmp_path / "tokens.jsonl"), False, AuditLog(tmp_path / "audit"))
    running = run(gate=gate)
    assert by_grpc(running) == "OK"
    keys = Keys(tmp_path)
    assert by_grpc(running) == "UNAUTHENTICATED"
    assert by_http(running)[0] == 401
    assert by_grpc(running, bearer(keys.good)) == "OK"


def test_60_the_warning_says_what_is_missing(run, keys, tmp_path):
    """Conformance 60: beyond loopback without token or TLS it warns, once for each address; with
    tokens it still speaks of TLS."""
    beyond = {"grpc": "0.0.0.0:0", "http": "0.0.0.0:0"}
    with capture_logs() as logged:
        run(**beyond)
    assert [line["event"] for line in logged] == ["listening_beyond_this_machine"] * 2
    assert all("token create" in line["advice"] for line in logged)
    with capture_logs() as logged:
        run(gate=keys.gate, **beyond)
    assert all("token create" not in line["advice"] for line in logged)
    assert all("receive.tls" in line["advice"] for line in logged)
