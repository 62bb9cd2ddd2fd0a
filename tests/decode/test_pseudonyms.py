"""User ids as keyed hashes: the same everywhere, and as RFC 2104 says."""

from __future__ import annotations

import hashlib
import json

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.pseudonyms import Pseudonyms
from agentcost_collector.model.payload import Payload

SECRET = b"0123456789abcdef"


def hashed(text: str, secret: bytes = SECRET) -> str:
    """HMAC-SHA-256 written out, not by the library that is used."""
    block = secret.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text.encode()).digest()
    return "h:" + hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()[:32]


@pytest.fixture
def decoded(good_span, request_of):
    """Attributes of each span and the resource, with `user.id` and `enduser.id` hashed."""

    def decode(*attributes: dict, resource: dict | None = None, users: Pseudonyms | None = None):
        users = users or Pseudonyms(["user.id", "enduser.id"], SECRET)
        pairs = [[KeyValue(key=k, value=v) for k, v in given.items()] for given in attributes]
        request = request_of(*(good_span(n, attributes=p) for n, p in enumerate(pairs, start=1)))
        for key, value in (resource or {}).items():
            request.resource_spans[0].resource.attributes.add(key=key, value=value)
        keep = Keep(["user.id", "enduser.id"], ["app.", "baggage."], [], ["user."], users=users)
        spans = Decoder(keep, Config()).decode([Payload(request.SerializeToString(), 1)]).spans
        maps = [dict(row) for row in spans.column("attributes").to_pylist()]
        return maps, json.loads(spans.column("resource")[0].as_py())

    return decode


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def test_the_same_user_has_the_same_hash_wherever_it_is_said(decoded):
    """On spans, from baggage and on the resource, as text or number; other attributes stay."""
    maps, resource = decoded(
        {"user.id": text("anna"), "app.x": text("anna")},
        {"enduser.id": text("anna"), "baggage.user.id": text("bob")},
        {"user.id": AnyValue(int_value=42)},
        {"app.x": text("1")},
        resource={"user.id": text("anna")},
    )
    assert maps == [
        {"user.id": hashed("anna"), "app.x": "anna"},
        {"enduser.id": hashed("anna"), "baggage.user.id": hashed("bob")},
        {"user.id": hashed("42")},
        {"app.x": "1"},
    ]
    assert resource == {"user.id": hashed("anna")}


def test_a_hash_that_is_sent_is_hashed(decoded):
    """Nobody gets a plain id stored by dressing it up as a hash."""
    maps, _ = decoded({"user.id": text("h:anna@example.com")})
    assert maps == [{"user.id": hashed("h:anna@example.com")}]


def test_another_key_gives_other_hashes(decoded):
    """Hashes of two keys cannot be joined."""
    users = Pseudonyms(["user.id"], b"another secret of mine")
    maps, _ = decoded({"user.id": text("anna")}, users=users)
    assert maps == [{"user.id": hashed("anna", b"another secret of mine")}]
    assert hashed("anna") != hashed("anna", b"another secret of mine")
