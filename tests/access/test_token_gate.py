"""Tokens: what is stored of them, when they count, and how loudly their end is told."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from agentcost_collector.access.audit import AuditLog
from agentcost_collector.access.gate import TokenGate
from agentcost_collector.access.token import new_token
from agentcost_collector.access.token_file import TokenFile, change_tokens
from agentcost_collector.model.access import UNBOUND, Scope
from agentcost_collector.model.errors import ConfigError, ForbiddenError, UnauthenticatedError

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def add(path, scopes=(Scope.INGEST,), ends=None):
    text, stored = new_token("for a test", scopes, UNBOUND, NOW, ends)
    with change_tokens(path) as tokens:
        tokens[stored.id] = stored
    return text


def gate_of(tmp_path, now=lambda: NOW, steady_s=lambda: 0.0, required=False):
    audit = AuditLog(tmp_path / "audit.jsonl")
    return TokenGate(TokenFile(tmp_path / "tokens.jsonl"), required, audit, now, steady_s)


def admits(gate, text, scope=Scope.INGEST):
    return gate.admit([f"Bearer {text}"], scope, "a test") == UNBOUND


def test_only_a_digest_is_stored(tmp_path):
    """256 random bits that are nowhere in the file, whose mode is 0600; no two are alike."""
    path = tmp_path / "tokens.jsonl"
    texts = {add(path) for _ in range(20)}
    assert len(texts) == 20
    stored = path.read_text()
    for text in texts:
        scheme, token_id, secret = text.split("_", 2)
        assert (scheme, len(secret), token_id in stored) == ("act", 43, True)  # 256 bits in base64
        assert secret not in stored
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_scopes(tmp_path):
    """Each token for what it is for; admin for everything."""
    path = tmp_path / "tokens.jsonl"
    one = {scope: add(path, (scope,)) for scope in Scope}
    gate = gate_of(tmp_path)
    for held, text in one.items():
        for asked in Scope:
            if held in (asked, Scope.ADMIN):
                assert admits(gate, text, asked)
            else:
                with pytest.raises(ForbiddenError):
                    admits(gate, text, asked)


def test_a_token_ends_when_it_says(tmp_path):
    """It counts until its last moment and not at it; a warning comes in the week before."""
    ends = NOW + timedelta(days=30)
    text = add(tmp_path / "tokens.jsonl", ends=ends)
    now = [NOW]
    gate = gate_of(tmp_path, lambda: now[0])
    with capture_logs() as logged:
        assert admits(gate, text)
        assert logged == []
        now[0] = ends - timedelta(seconds=1)
        assert admits(gate, text)
    assert [line["event"] for line in logged] == ["token_expires_soon"]
    now[0] = ends
    with pytest.raises(UnauthenticatedError, match="is expired"):
        admits(gate, text)


def test_old_and_new_overlap(tmp_path):
    """To replace a token both count for a while."""
    path = tmp_path / "tokens.jsonl"
    old, new = add(path), add(path)
    gate = gate_of(tmp_path)
    assert admits(gate, old)
    assert admits(gate, new)


@pytest.mark.parametrize("harm", ["damaged", "gone", "empty"])
def test_a_token_file_that_is_harmed_opens_no_door(tmp_path, harm):
    """The tokens that were last read count on, nobody else is let in, and the log tells it."""
    path = tmp_path / "tokens.jsonl"
    text = add(path)
    gate = gate_of(tmp_path)
    if harm == "gone":
        path.unlink()
    else:
        path.write_text("" if harm == "empty" else "{}\n")
    with capture_logs() as logged:
        assert admits(gate, text)
        with pytest.raises(UnauthenticatedError):
            gate.admit([], Scope.INGEST, "a test")
    assert "tokens_not_reloaded" in [line["event"] for line in logged]


def test_a_damaged_file_is_refused_at_start(tmp_path):
    """With the line, so that it can be mended."""
    path = tmp_path / "tokens.jsonl"
    add(path)
    path.write_text(path.read_text() + '{"id": "x"}\n')
    with pytest.raises(ConfigError, match=r"tokens\.jsonl:2: is not a token"):
        TokenFile(path)


def test_required_closes_without_a_token(tmp_path):
    """With `access.required` nobody is let in before there is a token."""
    gate = gate_of(tmp_path, required=True)
    with pytest.raises(UnauthenticatedError):
        gate.admit([], Scope.INGEST, "a test")


def test_refusals_are_told_counted_and_not_repeated(tmp_path):
    """Of a thousand alike one line is logged a minute, and one written to the audit log, without
    the token that was shown; the next line says how many there were."""
    add(tmp_path / "tokens.jsonl")
    steady = [0.0]
    gate = gate_of(tmp_path, steady_s=lambda: steady[0])
    with capture_logs() as logged:
        for at in (0.0, 59.0, 61.0):
            steady[0] = at
            for _ in range(500):
                with pytest.raises(UnauthenticatedError):
                    gate.admit(["Bearer act_guess_secret"], Scope.INGEST, "somewhere")
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("request_refused", "error")
    ] * 2
    assert [line["alike_since"] for line in logged] == [0, 999]
    assert gate.refused == {"unknown_token": 1500}
    text = (tmp_path / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines] == ["refused"] * 2
    assert "guess" not in text + str(logged)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "act_1_2",
        "Basic dTpw",
        "Bearer act",
        "Bearer act__",
        "Bearer é\udcff",
    ],
)
def test_odd_headers_are_no_token(tmp_path, header):
    """Whatever stands there, the answer is the same refusal."""
    add(tmp_path / "tokens.jsonl")
    with pytest.raises(UnauthenticatedError):
        gate_of(tmp_path).admit([header], Scope.INGEST, "a test")
