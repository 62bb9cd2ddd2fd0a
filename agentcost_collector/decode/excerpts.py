"""What is kept of values that may hold anything: the host of a URL, some numbers of a JSON text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pyarrow as pa

Excerpt = Callable[[str], str | None]
"""A value as text -> what of it is kept, None for nothing."""

_HOST = r"[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[a-zA-Z0-9._-]+)"
_SPACE = r"[\t\n\f\r ]*"


def excerpts(texts: pa.StringArray, excerpt: Excerpt) -> pa.StringArray:
    """What is kept of each text, worked out once per distinct one: 1 to 5 us each. Arrow's own
    patterns are compiled at every call, which costs as much as a thousand texts."""
    distinct = texts.dictionary_encode()
    kept = [None if text is None else excerpt(text) for text in distinct.dictionary.to_pylist()]
    return pa.array(kept, pa.string()).take(distinct.indices)


def host_and_path(paths: Iterable[str]) -> Excerpt:
    """The host of a URL, in lower case, and behind it the one of `paths` that its path ends with;
    nothing where there is no host."""
    paths = tuple(paths)
    known = "|".join(map(re.escape, paths))
    ends = tuple(path + slash for path in paths for slash in ("", "/"))
    host = re.compile(_HOST)
    path = re.compile(rf"{_HOST}(?::[0-9]*)?(?:/[^?#]*?)??(?P<path>{known})/?(?:[?#].*)?\Z")

    def excerpt(url: str) -> str | None:
        found = host.match(url)
        if not found:
            return None
        may_be_call = url.partition("?")[0].partition("#")[0].endswith(ends)
        call = path.match(url) if may_be_call else None
        return found["host"].lower() + (call["path"] if call else "")

    return excerpt


def numbers_named(names: Iterable[str]) -> Excerpt:
    """A JSON object of the integers of these names, wherever they stand in a JSON text; nothing
    where there are none. A name within a text of the JSON has its quotes escaped: no match."""
    patterns = {
        name: re.compile(
            rf'"{re.escape(name)}"{_SPACE}:{_SPACE}(?P<number>[0-9]{{1,15}}){_SPACE}[,}}\]]'
        )
        for name in names
    }

    def excerpt(text: str) -> str | None:
        found = ((name, pattern.search(text)) for name, pattern in patterns.items())
        parts = [f'"{name}":{match["number"]}' for name, match in found if match]
        return f"{{{','.join(parts)}}}" if parts else None

    return excerpt
