from __future__ import annotations

import gzip
import random

import pytest

from agentcost_collector.receive.admission import Admission
from agentcost_collector.receive.body import GzipBody
from agentcost_collector.receive.status import RefusedError


def test_a_bomb_never_holds_more_than_the_bound():
    """However far a body would expand, no more than the bound is ever held for it."""
    admission = Admission(10**9, 0)
    bomb = gzip.compress(b"\0" * 10**7)
    body = GzipBody(1000, admission.lease("a"))
    with pytest.raises(RefusedError) as refused:
        body.add(bomb)
    assert refused.value.http == 413
    assert admission.bytes_now <= 1000


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_of_any_members(seed):
    """Members of random sizes, cut at random places, give the bytes that gzip itself gives."""
    rng = random.Random(seed)
    members = [rng.randbytes(rng.choice([0, 1, 100, 5000])) for _ in range(rng.randint(1, 6))]
    compressed = b"".join(map(gzip.compress, members))
    body = GzipBody(10**6, Admission(10**6, 0).lease("a"))
    while compressed:
        cut = rng.randint(1, len(compressed))
        body.add(compressed[:cut])
        compressed = compressed[cut:]
    assert body.finish() == b"".join(members)


@pytest.mark.parametrize("end", range(1, 30))
def test_every_cut_short_body_is_refused(end):
    """A gzip body that ends anywhere before its last byte is 400, never a shorter success."""
    compressed = gzip.compress(b"ten bytes.")
    assert len(compressed) == 30
    body = GzipBody(1000, Admission(1000, 0).lease("a"))
    body.add(compressed[:end])
    with pytest.raises(RefusedError) as refused:
        body.finish()
    assert refused.value.http == 400
