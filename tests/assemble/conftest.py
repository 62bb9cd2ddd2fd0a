"""Drawn traces as SPANS tables."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from agentcost_collector.model.schemas import SPANS


def _row(trace: str, span: str, parent: str | None, **values: object) -> dict:
    """A span; ids are short names, padded to their full width."""
    return {
        "trace_id": trace.rjust(32, "0"),
        "span_id": span.rjust(16, "0"),
        "parent_span_id": parent and parent.rjust(16, "0"),
        "kind": 1,
        "name": span,
        "start_ns": 100,
        "end_ns": 200,
        "status": 0,
        "scope_name": "scope",
        "scope_version": "1",
        "resource": "{}",
        "attributes": [("key", span)],
        "links": [],
        "dropped_attributes": 0,
        "received_at_ns": 1,
        **values,
    }


def _tree(trace: str, drawing: str) -> list[dict]:
    """Spans of a drawn tree: one name per line, indent = child, `x <- y`: x names y as parent."""
    rows: list[dict] = []
    above: list[tuple[int, str]] = []
    for line in filter(str.strip, drawing.splitlines()):
        indent = len(line) - len(line.lstrip())
        name, _, given = (part.strip() for part in line.partition("<-"))
        above = [(depth, span) for depth, span in above if depth < indent]
        parent = given or (above[-1][1] if above else None)
        rows.append(_row(trace, name, parent, start_ns=100 + len(rows)))
        above.append((indent, name))
    return rows


@pytest.fixture(scope="session")
def row() -> Callable[..., dict]:
    return _row


@pytest.fixture(scope="session")
def tree() -> Callable[[str, str], list[dict]]:
    return _tree


@pytest.fixture(scope="session")
def table() -> Callable[[list[dict]], pa.Table]:
    return lambda rows: pa.Table.from_pylist(rows, schema=SPANS)
