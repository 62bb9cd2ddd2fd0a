"""`docs/conformance.md`, written from the list and its tests. `make docs` rewrites it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.conformance.items import ITEMS, Item
from tests.support.recordings import ROOT

PAGE = ROOT / "docs" / "conformance.md"
FOLDER = ROOT / "tests" / "conformance"

_HEAD = """\
# OTLP conformance

Written from `tests/conformance/` by `make docs`; do not edit by hand.

What the OpenTelemetry protocol asks of a receiver (M must, S should, m may) and what we ask of ours
beyond it (O). The tests run against a real receiver with a real journal, over gRPC, HTTP/protobuf
and HTTP/JSON wherever an item applies to them.

| | level | demand | how we behave | tests |
|---|---|---|---|---|"""

_FOUND = """\
## Found by trying three real servers

What others got wrong when the list was tried on them, and what holds here.

| what holds | test |
|---|---|"""


def functions_in(file: str) -> dict[str, str]:
    """Tests of a file, relative to the root: first line of the docstring, by name."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {
        node.name: " ".join((ast.get_docstring(node) or "").split())
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def own_functions() -> dict[str, str]:
    """Docstrings of all tests of this folder, by FILE::NAME."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in FOLDER.glob("test_*.py"))
    return {f"{file}::{name}": text for file in files for name, text in functions_in(file).items()}


def evidence_of(item: Item) -> list[str]:
    """FILE::NAME of every test of an item."""
    mark = f"::test_{item.number:02}_"
    return [name for name in own_functions() if mark in name] + list(item.elsewhere)


def page() -> str:
    """The whole page."""
    found = [
        f"| {text} | {_code(name)} |" for name, text in own_functions().items() if "_found_" in name
    ]
    return "\n".join([_HEAD, *_rows(), "", _FOUND, *found]) + "\n"


def _rows() -> Iterator[str]:
    for item in ITEMS:
        tests = "<br>".join(map(_code, evidence_of(item)))
        yield f"| {item.number} | {item.level} | {item.demand} | {item.behaviour} | {tests} |"


def _code(name: str) -> str:
    return f"`{name.removeprefix('tests/')}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
