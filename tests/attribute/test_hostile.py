"""Traces made to hurt: each has an answer, and none may take quadratic work to find it.

The sizes are such that comparing every span with every other would not end in minutes.
"""

import pytest

from tests.support.walked import table_of, walk_table

SECOND = 10**9


def span(number, parent, scope="scope", **attributes):
    """A span whose interval lies in those of all lower numbers."""
    return {
        "trace_id": "a" * 32,
        "span_id": f"{number:016x}",
        "parent_span_id": None if parent is None else f"{parent:016x}",
        "kind": 1,
        "name": "span",
        "start_ns": number,
        "end_ns": SECOND - number,
        "status": 0,
        "scope_name": scope,
        "scope_version": "",
        "resource": '{"service.name":"a"}',
        "attributes": sorted(attributes.items()),
        "links": [],
        "dropped_attributes": 0,
        "received_at_ns": 0,
    }


def call(tokens, **more):
    """Attributes of a model call."""
    return {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": str(tokens),
        **more,
    }


def siblings(count, scopes, tokens, **more):
    """A root and `count` calls beside each other, their scopes in turn."""
    calls = [span(2 + i, 1, f"scope{i % scopes}", **call(tokens(i), **more)) for i in range(count)]
    return [span(1, None), *calls]


def chain(count, **attributes):
    """Each span the parent of the next."""
    return [span(1 + i, i or None, **attributes) for i in range(count)]


AGENT = {"openinference.span.kind": "AGENT", "llm.token_count.prompt": "5"}
EMBEDDING = {"openinference.span.kind": "EMBEDDING", "llm.token_count.prompt": "5"}
REQUEST = {"http.request.method": "POST", "server.address": "api.openai.com"}
SAME_ID = {"gen_ai.response.id": "always-the-same"}
CASES = {
    "distinct calls of two scopes": (siblings(20_000, 2, lambda i: i), 20_000),
    "equal calls of two scopes": (siblings(20_000, 2, lambda _: 7), 10_000),
    "equal calls of three scopes": (siblings(21_000, 3, lambda _: 7), 7_000),
    "one response id on all calls": (siblings(3_000, 1, lambda i: i, **SAME_ID), 3_000),
    "a chain of equal calls": (chain(5_000, **call(5)), 1),
    "a chain of agents with usage": (chain(5_000, **AGENT), 1),
    "embeddings and tools that hang on the root": (
        [span(1, None)]
        + [span(2 + i, 1, **{"openinference.span.kind": "TOOL"}) for i in range(20_000)]
        + [span(30_000 + i, 1, "other", **EMBEDDING) for i in range(20_000)],
        40_000,
    ),
    "requests beside calls": (
        [span(1, None)]
        + [span(2 + i, 1, **call(i)) for i in range(20_000)]
        + [span(30_000 + i, 1, "other", **REQUEST) for i in range(20_000)],
        40_000,
    ),
    "retrievers beside queries": (
        [span(1, None)]
        + [span(2 + i, 1, **{"openinference.span.kind": "RETRIEVER"}) for i in range(500)]
        + [span(10_000 + i, 1, "other", **{"db.system": "qdrant"}) for i in range(500)],
        500,
    ),
    "more retrievers beside queries than can be compared": (
        [span(1, None)]
        + [span(2 + i, 1, **{"openinference.span.kind": "RETRIEVER"}) for i in range(4_000)]
        + [span(10_000 + i, 1, "other", **{"db.system": "qdrant"}) for i in range(4_000)],
        8_000,
    ),
    "calls without a parent beside agents": (
        [span(1 + i, None, **AGENT) for i in range(2_000)]
        + [span(5_000 + i, 999_999, "other", **call(i)) for i in range(2_000)],
        2_000,
    ),
}


@pytest.mark.parametrize(("rows", "steps"), CASES.values(), ids=list(CASES))
def test_as_many_steps_as_there_are_calls(rows, steps):
    """Huge and regular traces are counted like small ones."""
    assert walk_table(table_of(rows)).steps.num_rows == steps
