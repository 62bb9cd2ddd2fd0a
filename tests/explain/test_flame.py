"""Stacks and picture hold the money exactly, and no name breaks their form."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from decimal import Decimal
from typing import Any

from agentcost_collector.explain import fold, folded_lines, svg

HOSTILE = 'a"><script>x</script>\n&\x1b[31m\x00\uffff\ud800'
NAMESPACE = "{http://www.w3.org/2000/svg}"


def _charge(path: str | None, cost: str | None) -> dict[str, Any]:
    return {"path": path, "cost_usd": None if cost is None else Decimal(cost)}


def test_stacks() -> None:
    """Equal paths are summed in pico-dollars; what is unpriced or free has no stack."""
    charges = [
        _charge("run;ask", "0.0021"),
        _charge("run;ask", "0.000000000001"),
        _charge("run", "1"),
        _charge("run;free", "0"),
        _charge("run;unpriced", None),
    ]
    assert list(folded_lines(fold(charges))) == ["run 1000000000000", "run;ask 2100000001"]


def test_names_in_stacks() -> None:
    """A line break becomes a space, controls vanish, no name is "(no name)"; one line a stack."""
    charges = [_charge("a\nb;\x1b[31mc", "1"), _charge(None, "1")]
    lines = list(folded_lines(fold(charges)))
    assert lines == ["(no name) 1000000000000", "a b;[31mc 1000000000000"]


def test_widths() -> None:
    """A quarter of the cost takes a quarter of the width, beneath its parent."""
    root = ET.fromstring(svg(fold([_charge("r;a", "1"), _charge("r;b", "3")]), "t", ["c"]))
    boxes = {
        group.findtext(f"{NAMESPACE}title"): group.find(f"{NAMESPACE}rect")
        for group in root.iter(f"{NAMESPACE}g")
    }
    placed = {
        title: (box.get("x"), box.get("width")) for title, box in boxes.items() if box is not None
    }
    assert placed == {
        "r: $4": ("0.0", "1200.0"),
        "a: $1": ("0.0", "300.0"),
        "b: $3": ("300.0", "900.0"),
    }


def test_hostile_names_in_the_picture() -> None:
    """Names are text: the picture parses and holds no element but its own."""
    picture = svg(fold([_charge(f"{HOSTILE};{HOSTILE}", "1")]), HOSTILE, [HOSTILE])
    elements = {element.tag.removeprefix(NAMESPACE) for element in ET.fromstring(picture).iter()}
    assert elements == {"svg", "title", "rect", "text", "g"}
    assert not {"\x1b", "\x00", "\uffff", "\ud800"} & set(picture)


def test_nothing_to_draw() -> None:
    """Without a cost there is still a picture with its caption."""
    root = ET.fromstring(svg(fold([_charge("r", None)]), "t", ["nothing has a price"]))
    assert "nothing has a price" in [text.text for text in root.iter(f"{NAMESPACE}text")]
    assert not list(root.iter(f"{NAMESPACE}g"))
