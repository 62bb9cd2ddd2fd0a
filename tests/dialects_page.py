"""Writes docs/dialects.md from the dialect files: what is understood, and how.

python -m tests.dialects_page
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agentcost_collector.normalise.dialect import FIELDS, Dialect
from agentcost_collector.normalise.dialects import DIALECTS
from tests.support.recordings import ROOT

PAGE = ROOT / "docs" / "dialects.md"
HEAD = """# What is understood

Made from the files in `agentcost_collector/normalise/dialects/` by `python -m tests.dialects_page`;
do not edit.

A span belongs to the first dialect below whose scope it has (`scope` itself or `scope.anything`),
else to the first whose signature attribute it carries. Facts are read from the span's own dialect
first, then from the others in the order below; within a row the first attribute present wins.
Nothing is ever added up.
"""


def page(dialects: Sequence[Dialect] = DIALECTS) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for d in dialects for line in _section(d))]).rstrip() + "\n"


def _section(d: Dialect) -> Iterator[str]:
    yield f"## {d.title}\n"
    yield f"`{d.name}`. {' '.join(_summary(d))}\n"
    if d.fields:
        yield "| fact | attributes |\n|---|---|"
        for name in FIELDS:
            if name in d.fields:
                yield f"| {name} | {_coded(d.fields[name])} |"
        yield ""
    for attribute, values in d.kinds.items():
        yield f"`{attribute}` says what a span is: {_kinds(values)}.\n"
    if d.kind_signs:
        yield f"Spans with an attribute are: {_kinds(d.kind_signs)}.\n"
    if d.names:
        yield f"Span names that say what a span is: {_kinds(d.names)}.\n"


def _summary(d: Dialect) -> Iterator[str]:
    if d.scopes:
        yield f"Scopes: {_coded(d.scopes)}."
    if d.signature:
        yield f"Signature: {_coded(d.signature)}."
    for text, what in (
        ("Input leaves out cached tokens for", d.excludes_cache),
        (
            "Input leaves out cached tokens, unless the split is given, of",
            d.excludes_cache_unless_split,
        ),
        ("Output leaves out reasoning for", d.excludes_reasoning),
        ("Cache writes may be lost for", d.loses_cache_write),
        ("May report the last of several calls only:", d.last_call_only),
        ("Sums exactly its own call:", d.sums_this_call),
    ):
        if what:
            yield f"{text} {_coded([str(w) for w in what])}."
    if d.total_is_reported:
        yield "Its total is the provider's, so it shows what the input includes."
    if d.writes_on_caller:
        yield "Writes usage onto the span of its caller."


def _kinds(values: Mapping[str, object]) -> str:
    by_kind: dict[str, list[str]] = {}
    for value, kind in values.items():
        by_kind.setdefault(str(kind), []).append(value)
    return "; ".join(f"{kind} {_coded(names)}" for kind, names in by_kind.items())


def _coded(names: Sequence[str]) -> str:
    return ", ".join(f"`{name.replace('|', chr(92) + '|')}`" for name in names)


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
