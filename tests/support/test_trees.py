"""Drawn trees become the spans that the drawing shows."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.amplify import spans_in
from tests.support.trees import MS, START_NS, draw, drawn_in


def test_a_drawing_in_a_docstring_becomes_spans():
    """Indent is parenthood, service is inherited, columns are kept apart.

    checkout feature=cart service=shop | - -
      search docs tool=true note="two words"
        POST /search kind=server service=search status=error
          embed tokens=12 rate=0.5 | 12 cart
      reply | 3 cart
    nightly link="search docs" service=cron parent=lost
    """
    tree = drawn_in(test_a_drawing_in_a_docstring_becomes_spans)
    spans = {span.name: span for span in spans_in(tree.request)}

    assert list(spans) == ["checkout", "search docs", "POST /search", "embed", "reply", "nightly"]
    assert spans["checkout"].parent_span_id == b""
    assert spans["search docs"].parent_span_id == spans["checkout"].span_id
    assert spans["embed"].parent_span_id == spans["POST /search"].span_id
    assert spans["reply"].parent_span_id == spans["checkout"].span_id
    assert spans["reply"].trace_id == spans["checkout"].trace_id != spans["nightly"].trace_id
    assert spans["nightly"].parent_span_id not in {span.span_id for span in spans.values()}
    assert spans["nightly"].links[0].span_id == spans["search docs"].span_id
    assert spans["POST /search"].kind == Span.SPAN_KIND_SERVER
    assert spans["POST /search"].status.code == Status.STATUS_CODE_ERROR
    services = [r.resource.attributes[0].value.string_value for r in tree.request.resource_spans]
    assert services == ["shop", "shop", "search", "search", "shop", "cron"]
    assert tree.line("embed").expected == ("12", "cart")
    assert tree.line("search docs").expected == ()


def test_values_have_the_type_they_look_like():
    """Integers, decimals, booleans and text are told apart; tags get our prefix."""
    tree = draw("a feature=7 n=12 x=0.25 ok=true s=abc id=01ab")
    (span,) = spans_in(tree.request)
    values = {a.key: a.value for a in span.attributes}
    assert values["agentcost.feature"].int_value == 7
    assert values["n"].int_value == 12
    assert values["x"].double_value == 0.25
    assert values["ok"].bool_value is True
    assert values["s"].string_value == "abc"
    assert values["id"].string_value == "01ab"


def test_parents_enclose_their_children_and_siblings_follow():
    """Default times are those of a sequential program; `start` and `end` override them."""
    tree = draw("a\n  b\n    c\n  d\nlate start=100 end=250\n  inner")
    at = {s.name: (s.start_time_unix_nano, s.end_time_unix_nano) for s in spans_in(tree.request)}
    assert at["a"][0] < at["b"][0] < at["c"][0] < at["c"][1] < at["b"][1] <= at["d"][0]
    assert at["d"][1] < at["a"][1]
    assert at["late"] == (START_NS + 100 * MS, START_NS + 250 * MS)
    assert at["late"][0] < at["inner"][0] < at["inner"][1] < at["late"][1]


def test_the_same_drawing_has_the_same_ids():
    """Ids come from the drawing alone, and lines of one name differ."""
    drawing = "a\n  b\n  b"
    assert draw(drawing).body() == draw(drawing).body()
    assert len({line.span_id for line in draw(drawing).lines}) == 3


@pytest.mark.parametrize("drawing", ["key=value", "a b=1 c", "a parent=b", "    a\n  b"])
def test_what_cannot_be_understood_is_refused(drawing):
    """A slip in a drawing is an error, never a silently different tree."""
    with pytest.raises(ValueError, match=r"parent|key=value"):
        draw(drawing)
