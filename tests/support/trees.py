"""Span trees drawn as text.

One span a line; a deeper indent is a child; a line without indent starts a trace of its own:

    checkout feature=cart service=shop      | -
      search_docs openinference.span.kind=TOOL
        POST /search kind=server service=search
          embed gen_ai.usage.input_tokens=12 gen_ai.request.model=text-embedding-3-small | 12 cart

The name is everything before the first `key=value`. Behind `|` stand the expected columns, split at
blanks. Values are integers, decimals, true/false or text; quote what has blanks ("two words").
`drawn_in(test)` reads the drawing in a test's docstring, after its first blank line.

Keys that describe the span, not an attribute of it:
    service, scope   resource service.name and instrumentation scope; inherited from the parent
    resource.KEY     any resource attribute; inherited from the parent
    kind             internal (default) server client producer consumer
    status           ok or error
    start, end       milliseconds; by default every line begins and every span ends 1 ms later
    parent=lost      the parent is a span that never arrives
    link=NAME        a span link to the first span of that name, in any trace
    feature, team, workload_class, tenant, environment, parent_run_id   short for `agentcost.KEY`
"""

from __future__ import annotations

import hashlib
import inspect
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from agentcost_collector.model.schemas import TAGS

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000

_KEY = re.compile(r"[A-Za-z_][\w.\-/]*=")
_STATUS = {"ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}
_STRUCTURE = ("service", "scope", "kind", "status", "start", "end", "parent", "link")


@dataclass
class Line:
    """One drawn span, its hex ids and the expected columns."""

    name: str
    depth: int
    keys: dict[str, str]
    expected: tuple[str, ...]
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    start_ms: int = 0
    end_ms: int = 0
    resource: dict[str, str] = field(default_factory=dict)
    scope: str = ""


@dataclass(frozen=True)
class Tree:
    """A drawing as spans. `lines` in drawn order; `request` holds one ResourceSpans a line."""

    lines: list[Line]
    request: ExportTraceServiceRequest

    def line(self, name: str) -> Line:
        """The first span of that name."""
        return next(line for line in self.lines if line.name == name)

    def body(self) -> bytes:
        """The request as protobuf bytes."""
        return self.request.SerializeToString()


def draw(text: str, start_ns: int = START_NS) -> Tree:
    """Spans of a drawing. The same drawing always gets the same ids.

    Raises ValueError that quotes the line where it cannot be understood.
    """
    lines = [_parse(raw) for raw in text.splitlines() if raw.strip()]
    _place(lines)
    ids = {line.name: line for line in reversed(lines)}
    request = ExportTraceServiceRequest()
    for line in lines:
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.extend(_attributes(line.resource))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = line.scope
        scope_spans.spans.append(_span(line, ids, start_ns))
    return Tree(lines, request)


def drawn_in(test: Callable[..., object], start_ns: int = START_NS) -> Tree:
    """The tree in a test's docstring: everything after the first blank line."""
    _, _, drawing = inspect.cleandoc(test.__doc__ or "").partition("\n\n")
    return draw(drawing, start_ns)


def _parse(raw: str) -> Line:
    drawn, _, expected = raw.partition("|")
    words = shlex.split(drawn)
    first = next((i for i, word in enumerate(words) if _KEY.match(word)), len(words))
    if first == 0 or any(not _KEY.match(word) for word in words[first:]):
        raise ValueError(f"a name, then key=value only: {raw.strip()!r}")
    keys = dict(word.split("=", 1) for word in words[first:])
    if keys.get("parent", "lost") != "lost":
        raise ValueError(f"parent= can only be lost: {raw.strip()!r}")
    depth = len(raw) - len(raw.lstrip())
    return Line(" ".join(words[:first]), depth, keys, tuple(expected.split()))


def _place(lines: Sequence[Line]) -> None:
    """Ids, parents, what is inherited, and times: parents enclose children, siblings follow."""
    open_lines: list[Line] = []
    outermost = min((line.depth for line in lines), default=0)
    clock = 0
    for number, line in enumerate([*lines, Line("", outermost, {}, ())]):
        while open_lines and open_lines[-1].depth >= line.depth:
            clock += 1
            ended = open_lines.pop()
            ended.end_ms = int(ended.keys.get("end", clock))
            clock = max(clock, ended.end_ms)
        if number == len(lines):
            return
        above = open_lines[-1] if open_lines else None
        if above is None and line.depth != outermost:
            raise ValueError(f"no line above is its parent: {line.name!r}")
        line.start_ms = int(line.keys.get("start", clock))
        clock = max(clock, line.start_ms) + 1
        line.span_id = _id(f"span {number} {line.name}", 8)
        line.trace_id = above.trace_id if above else _id(f"trace {number} {line.name}", 16)
        line.parent_span_id = above.span_id if above else ""
        if "parent" in line.keys:
            line.parent_span_id = _id(f"lost {number}", 8)
        _inherit(line, above)
        open_lines.append(line)


def _inherit(line: Line, above: Line | None) -> None:
    line.resource = dict(above.resource) if above else {}
    line.scope = line.keys.get("scope", above.scope if above else "drawn")
    for key, value in line.keys.items():
        if key.startswith("resource."):
            line.resource[key.removeprefix("resource.")] = value
    if "service" in line.keys:
        line.resource["service.name"] = line.keys["service"]


def _span(line: Line, ids: dict[str, Line], start_ns: int) -> Span:
    own = {
        f"agentcost.{key}" if key in TAGS else key: value
        for key, value in line.keys.items()
        if key not in _STRUCTURE and not key.startswith("resource.")
    }
    span = Span(
        trace_id=bytes.fromhex(line.trace_id),
        span_id=bytes.fromhex(line.span_id),
        parent_span_id=bytes.fromhex(line.parent_span_id),
        name=line.name,
        kind=Span.SpanKind.Value(f"SPAN_KIND_{line.keys.get('kind', 'internal').upper()}"),
        start_time_unix_nano=start_ns + line.start_ms * MS,
        end_time_unix_nano=start_ns + line.end_ms * MS,
        attributes=_attributes(own),
    )
    if "status" in line.keys:
        span.status.code = _STATUS[line.keys["status"]]
    if "link" in line.keys:
        target = ids[line.keys["link"]]
        span.links.add(
            trace_id=bytes.fromhex(target.trace_id), span_id=bytes.fromhex(target.span_id)
        )
    return span


def _attributes(keys: dict[str, str]) -> Iterator[KeyValue]:
    for key, value in keys.items():
        yield KeyValue(key=key, value=_value(value))


def _value(text: str) -> AnyValue:
    if re.fullmatch(r"-?\d+", text):
        return AnyValue(int_value=int(text))
    if re.fullmatch(r"-?\d+\.\d+", text):
        return AnyValue(double_value=float(text))
    if text in ("true", "false"):
        return AnyValue(bool_value=text == "true")
    return AnyValue(string_value=text)


def _id(seed: str, length: int) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()[: 2 * length]
