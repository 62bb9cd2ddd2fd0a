"""The allow-list."""

from __future__ import annotations

import pyarrow as pa

from agentcost_collector.decode.keep import KEY_BYTES_MAX, Keep


def kept(keep, *keys):
    return keep.span_keys(pa.array(keys, pa.binary())).tolist()


def test_exact_and_prefix():
    """An exact key matches whole, a prefix from the start; case counts."""
    keep = Keep(["gen_ai.system"], ["app."], [], [])
    keys = (b"gen_ai.system", b"gen_ai.system.x", b"app.", b"app.x", b"App.x", b"my.app.x", b"")
    assert kept(keep, *keys) == [True, False, True, True, False, False, False]
    assert kept(keep, *keys) == [True, False, True, True, False, False, False]


def test_spans_and_resources_have_their_own_lists():
    """What is allowed on a resource is not thereby allowed on a span, and the reverse."""
    keep = Keep(["a"], [], ["b"], ["c."])
    assert kept(keep, b"a", b"b", b"c.x") == [True, False, False]
    assert [keep.resource_key(key) for key in (b"a", b"b", b"c.x")] == [False, True, True]


def test_no_prefix_admits_content():
    """What is known to hold content stays out whatever prefix is asked for; an exact key of ours
    is kept."""
    keep = Keep(["url.full"], ["gen_ai.", "http.", "url."], [], [])
    content = (b"gen_ai.input.messages", b"gen_ai.prompt.0.content", b"http.request.header.cookie")
    assert kept(keep, *content, b"url.query") == [False] * 4
    assert kept(keep, b"url.full", b"gen_ai.mine", b"http.flavor") == [True] * 3


def test_hostile_keys_are_dropped():
    """A key that is not UTF-8, or too long to be a name, is dropped whatever its prefix."""
    keep = Keep([], ["app."], [], [])
    longest = b"app." + b"x" * (KEY_BYTES_MAX - 4)
    assert kept(keep, b"app.\xff", longest, longest + b"x") == [False, True, False]


def test_memory_is_bounded():
    """A flood of distinct keys is judged rightly and not remembered for ever."""
    keep = Keep(["k7"], [], [], [])
    keys = [b"k%d" % n for n in range(200_000)]
    assert sum(kept(keep, *keys)) == 1
    assert len(keep._span._judged) < 100_000
    assert kept(keep, b"k7", b"k8") == [True, False]
