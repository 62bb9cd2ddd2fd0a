"""Hostile request bodies, made of recorded ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence

from tests.conformance.test_payload import field, varint

MOST = 2**63 - 1
LONGEST = 200_000
"""Bytes after which a body is not made any longer."""


def mutated(source: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds`, changed up to four times."""
    body = source.choice(seeds)
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        body = source.choice(_CHANGES)(source, body, seeds)
    return body[:LONGEST]


def squeezed(source: random.Random, body: bytes) -> bytes:
    """`body` as gzip, which may be broken, cut, of several members, or followed by more."""
    cut = source.randrange(len(body) + 1)
    packed = source.choice(
        [gzip.compress(body, 1), gzip.compress(body[:cut], 1) + gzip.compress(body[cut:], 1)]
    )
    return source.choice([_same, _same, _flip, _truncate, _append])(source, packed, [body])


def _same(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    return body


def _flip(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    changed = bytearray(body or b"\0")
    for _ in range(source.choice([1, 1, 2, 8, 64])):
        changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _truncate(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    return body[: source.randrange(len(body) + 1)]


def _append(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    return body + source.randbytes(source.randint(1, 40))


def _splice(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    other = source.choice(seeds)
    return body[: source.randrange(len(body) + 1)] + other[source.randrange(len(other) + 1) :]


def _repeat(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    start = source.randrange(len(body) + 1)
    part = body[start : start + source.randint(1, 200)]
    return body[:start] + part * source.choice([2, 3, 50]) + body[start:]


def _deep(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    value = b""
    for _ in range(source.choice([3, 33, 51, 101, 1000])):
        value = source.choice(_NESTINGS)(value)
    pair = field(1, b"gen_ai.request.model") + field(2, value)
    span = field(1, source.randbytes(16)) + field(2, source.randbytes(8)) + field(9, pair)
    return body + field(1, field(2, field(2, span)))


def _groups(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    return body + source.choice([b"\x0b", b"\x0c", b"\x0b\x0c"]) * source.choice([1, 200, 5000])


def _odd_bytes(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    at = source.randrange(len(body) + 1)
    odd = source.choice([b"\xff\xfe", b"\xed\xa0\x80", b"\xc3(", b"\0", b"\xf8\x88\x80\x80\x80"])
    return body[:at] + odd + body[at + len(odd) :]


def _number(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    at = source.randrange(len(body) + 1)
    number = varint(source.choice([0, 1, 127, 128, 2**31, 2**32 - 1, MOST, 2**64 - 1, 2**70]))
    return body[:at] + number + body[at + len(number) :]


def _text_number(source: random.Random, body: bytes, seeds: Sequence[bytes]) -> bytes:
    """Another value in the place of some text or number of JSON; of other bytes nothing."""
    try:
        document = json.loads(body)
    except ValueError:
        return body
    nodes = [document]
    for node in nodes:
        if len(nodes) < 500:
            items = node.values() if isinstance(node, dict) else node
            nodes += [item for item in items if isinstance(item, dict | list) and item]
    node = source.choice(nodes)
    keys = list(node) if isinstance(node, dict) else range(len(node))
    if keys:
        node[source.choice(keys)] = source.choice(_JSON_VALUES)
    return json.dumps(document).encode()


_NESTINGS: list[Callable[[bytes], bytes]] = [
    lambda value: field(5, field(1, value)),
    lambda value: field(6, field(1, field(1, b"k") + field(2, value))),
]
_JSON_VALUES = [None, True, -1, 0.5, 2**64, 1e308, "", "\ud800", "1e3", "zz", [], {}, [None], [[1]]]
_CHANGES = [
    *(_flip, _truncate, _append, _splice, _repeat, _deep),
    *(_groups, _odd_bytes, _number, _text_number),
]
