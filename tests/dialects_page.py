"""`docs/dialects.md`, written from the dialect files. `make docs` rewrites it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import FIELDS, Dialect
from agentcost_collector.normalise.dialects import DIALECTS
from tests.support.recordings import ROOT

PAGE = ROOT / "docs" / "dialects.md"

_HEAD = """\
# What is understood

Written from `agentcost_collector/normalise/dialects/` by `make docs`; do not edit by hand.

A span belongs to the first dialect whose **scope** matches its instrumentation scope, else to the
first of which it has a **sign**, an attribute that only that dialect sets. Each fact is read from
the span's own dialect first, then from the others in the order of this page; within a dialect the
first attribute that is present wins. Nothing is ever added up. What no dialect, no tag and no
`keep` setting names is dropped before anything is written.

Scopes also match with a `.suffix`; one that ends in `-` with anything. A span that nothing names is
a call if it has token counts and a model.

What an input count includes is decided in this order, and kept in the column `usage_rule`: cached
parts that exceed the input were left out of it; the dialect's own rule below; the total, where it
comes from the provider; else cached tokens are part of the input, as the conventions say.
"""

_MEANING = {
    "uncached_input": "uncached_input (presence only: the emitter knows the split)",
    "usage_text": "usage, as JSON or a Python literal",
    "input_details_text": "parts of the input, as text",
    "output_details_text": "parts of the output, as text",
    "cost_text": "cost reported by the emitter, as JSON",
    "reported_cost": "cost reported by the emitter",
    "extra_input": "input billed beside",
    "extra_output": "output billed beside",
}


def page() -> str:
    """The whole page."""
    contents = [f"- [{d.title}](#{d.name})" for d in DIALECTS]
    parts = [_HEAD, "\n".join(contents), *("\n".join(_section(d)) for d in DIALECTS)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(dialect: Dialect) -> Iterator[str]:
    yield f'<a id="{dialect.name}"></a>\n\n## {dialect.title}\n'
    yield (inspect.getdoc(sys.modules[_module(dialect)]) or "").strip() + "\n"
    yield f"- scopes: {_codes(dialect.scopes)}"
    yield f"- signs: {_codes(dialect.signature)}"
    for rule in _rules(dialect):
        yield f"- {rule}"
    yield from _fields(dialect)
    yield from _kinds(dialect)


def _module(dialect: Dialect) -> str:
    return f"agentcost_collector.normalise.dialects.{dialect.name}"


def _rules(dialect: Dialect) -> Iterator[str]:
    """The special rules of a dialect, a sentence each."""
    cached = "input leaves out cached tokens"
    split = _codes(dialect.excludes_cache_unless_split)
    lost = "known to report no cache writes where some were billed"
    last = "reports the last of several calls where tools ran or were offered"
    runs = "an agent's span reports all runs of its agent so far"
    sentences = [
        (dialect.excludes_cache, f"{cached}{_where(dialect.excludes_cache)}"),
        (
            split if dialect.excludes_cache_unless_split else "",
            f"{cached} for {split}, unless split",
        ),
        (
            dialect.excludes_reasoning,
            f"output leaves out Gemini's thoughts{_where(dialect.excludes_reasoning)}",
        ),
        (dialect.total_is_reported, "the total is the provider's, so it can prove the input"),
        (dialect.loses_cache_write, f"{lost}{_where(dialect.loses_cache_write)}"),
        (
            dialect.sums_this_call,
            f"{_codes(dialect.sums_this_call)} spans sum exactly their call: a surplus is billed",
        ),
        (dialect.running_totals, f"{runs}{_where(dialect.running_totals)}"),
        (dialect.writes_on_caller, "writes a call's usage on whatever span is current"),
        (dialect.last_call_only, f"{last}{_where(dialect.last_call_only)}"),
        (
            dialect.answered_from_cache,
            "no call where " + _pairs(dialect.answered_from_cache) + " (answered from its cache)",
        ),
        (
            dialect.url_hosts,
            f"of {_codes(dialect.url_hosts)} the host alone is kept"
            + (", and a path that ends as one of these calls:" if dialect.url_paths else "")
            + ";".join(f" {kind} {_codes(ends)}" for kind, ends in _ends(dialect).items()),
        ),
        *(
            (names, f"of the JSON in `{key}` the counts {_codes(names)} alone are kept")
            for key, names in dialect.numbers.items()
        ),
        (dialect.tools_offered, f"of {_codes(dialect.tools_offered)} the presence alone is kept"),
        (
            dialect.call_needs_usage,
            f"spans named `{dialect.call_needs_usage}` are calls only if they carry usage",
        ),
    ]
    return (sentence for holds, sentence in sentences if holds)


def _ends(dialect: Dialect) -> dict[Kind, list[str]]:
    kinds = dict.fromkeys(dialect.url_paths.values())
    return {kind: [e for e, k in dialect.url_paths.items() if k is kind] for kind in kinds}


def _fields(dialect: Dialect) -> Iterator[str]:
    known = [name for name in FIELDS if name in dialect.fields or name in dialect.name_fields]
    if not known:
        return
    yield "\n| fact | attributes, first present wins |\n|---|---|"
    for name in known:
        read = [f"`{key}`" for key in dialect.fields.get(name, ())]
        if name in dialect.name_fields:
            read.append(f"span name `{_cell(dialect.name_fields[name])}`")
        yield f"| {_MEANING.get(name, name)} | {', '.join(read)} |"


def _kinds(dialect: Dialect) -> Iterator[str]:
    rows = [(f"`{key}`", _by_kind(values)) for key, values in dialect.kinds.items()]
    rows += [(f"`{key}` present", str(kind)) for key, kind in dialect.kind_signs.items()]
    rows += [(f"span name `{_cell(p)}`", str(kind)) for p, kind in dialect.names.items()]
    if rows:
        yield "\n| what a span is | |\n|---|---|"
        yield from (f"| {left} | {right} |" for left, right in rows)


def _by_kind(values: Mapping[str, Kind]) -> str:
    kinds = dict.fromkeys(values.values())
    said = {kind: [v for v, k in values.items() if k is kind] for kind in kinds}
    return "; ".join(f"{kind}: {_codes(names)}" for kind, names in said.items())


def _where(scopes: tuple[str, ...]) -> str:
    return "" if "*" in scopes else f" ({_codes(scopes)})"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"`{key}` is `{value}`" for key, value in values.items())


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in names) or "none"


def _cell(text: str) -> str:
    """Text that does not end the cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
