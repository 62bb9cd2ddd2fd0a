"""An explanation shows every span once, in its place, with exact money and harmless text."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from agentcost_collector.cli.explanation import Explained, as_json, explain_traces, print_tree
from agentcost_collector.model.schemas import CHARGES, SPANS, VERDICTS
from tests.report.ledgers import STEP

TRACE = "a" * 32


def _explained(
    verdicts: list[dict[str, Any]], charges: list[dict[str, Any]] | None = None, **more: Any
) -> Explained:
    """Verdicts in order of start; each charge is STEP with changes."""
    usual = {"trace_id": TRACE, "verdict": "structure", "inferred_parent": False, "name": "n"}
    rows = [{**usual, **verdict} for verdict in verdicts]
    spans = [
        {"trace_id": r["trace_id"], "span_id": r["span_id"], "start_ns": n, "end_ns": n}
        for n, r in enumerate(rows)
    ]
    charged = [{**STEP, "feature_from": "span", **charge} for charge in charges or []]
    known = [{k: v for k, v in charge.items() if k in CHARGES.names} for charge in charged]
    return explain_traces(
        more.pop("trace_ids", [TRACE]),
        pa.Table.from_pylist(spans, schema=SPANS),
        pa.Table.from_pylist(known, schema=CHARGES),
        pa.Table.from_pylist(rows, schema=VERDICTS),
        more.pop("booked_usd", None),
    )


def _tree(explained: Explained) -> list[tuple[int, str]]:
    return [(n.depth, n.verdict["span_id"]) for n in explained.traces[TRACE]]


def _shown(explained: Explained, capsys: pytest.CaptureFixture[str]) -> str:
    print_tree(explained)
    return capsys.readouterr().out


def test_order_of_a_tree() -> None:
    """Parents before children, children by start, an orphan as a root of its own."""
    explained = _explained(
        [
            {"span_id": "leaf2", "parent_span_id": "root"},
            {"span_id": "root"},
            {"span_id": "leaf1", "parent_span_id": "root"},
            {"span_id": "deep", "parent_span_id": "leaf2"},
            {"span_id": "orphan", "parent_span_id": "gone"},
        ]
    )
    assert _tree(explained) == [(0, "root"), (1, "leaf2"), (2, "deep"), (1, "leaf1"), (0, "orphan")]


@pytest.mark.parametrize(
    ("feature_from", "shown"),
    [
        ("ancestor", True),
        ("resource", True),  # of the service that called the tool
        ("inside", False),  # nobody above declares anything, so the tool pays for itself
    ],
)
def test_who_did_it(capsys: pytest.CaptureFixture[str], feature_from: str, shown: bool) -> None:
    """A service that works for a payer in another one is named as the one that did it."""
    explained = _explained(
        [
            {"span_id": "root", "service": "shop"},
            {"span_id": "tool", "parent_span_id": "root", "service": "shop", "kind": "tool"},
            {"span_id": "serve", "parent_span_id": "tool", "service": "search"},
            {"span_id": "call", "parent_span_id": "serve", "service": "search"},
        ],
        [{"span_id": "call", "owner_service": "search", "feature_from": feature_from}],
    )
    assert ("done by service=search" in _shown(explained, capsys)) is shown


def test_the_doer_is_the_payer(capsys: pytest.CaptureFixture[str]) -> None:
    """A service that declares the feature in its own resource, called without a tool, pays."""
    explained = _explained(
        [
            {"span_id": "root", "service": "gateway"},
            {"span_id": "call", "parent_span_id": "root", "service": "shop"},
        ],
        [{"span_id": "call", "owner_service": "shop", "feature_from": "resource"}],
    )
    assert "done by" not in _shown(explained, capsys)


def test_circles_end() -> None:
    """Spans that are their own ancestors are shown, each once."""
    explained = _explained(
        [
            {"span_id": "a", "parent_span_id": "b"},
            {"span_id": "b", "parent_span_id": "a"},
            {"span_id": "self", "parent_span_id": "self"},
        ]
    )
    assert _tree(explained) == [(0, "a"), (1, "b"), (0, "self")]


def test_a_chain_deeper_than_any_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten thousand levels are shown without recursion, with lines that do not grow on and on."""
    deep = [
        {"span_id": f"{n:016x}", "parent_span_id": f"{n - 1:016x}" if n else None}
        for n in range(10_000)
    ]
    explained = _explained(deep)
    assert _tree(explained)[-1] == (9_999, f"{9_999:016x}")
    lines = _shown(explained, capsys).splitlines()
    assert len(lines) == 10_002
    assert max(map(len, lines)) < 120


def test_all_facts_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, model, tokens, cost, rate, who pays and how it was found, and who did the work."""
    charge = {
        "span_id": "s",
        "cache_read_tokens": 512,
        "reasoning_tokens": 4,
        "team_from": "ancestor",
        "tenant_from": "baggage",
        "environment_from": "resource",
        "owner_team": "tools",
        "owner_feature": "search",
    }
    text = _shown(_explained([{"span_id": "s", "verdict": "step"}], [charge]), capsys)
    assert (
        "llm  gpt-4o  612 in (512 cache read), 10 out (4 reasoning)  $0.00035"
        "  at gpt-4o@2024-10-01\n" in text
    )
    assert (
        "paid by feature=search (span) team=core (ancestor) tenant=acme (baggage)"
        " environment=production (resource); done by team=tools\n" in text
    )


def test_what_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """A span that repeats a call says whose, why, and which numbers it reported."""
    text = _shown(
        _explained(
            [
                {
                    "span_id": "t",
                    "verdict": "twin",
                    "reason": "nested_twin",
                    "survivor_span_id": "5" * 16,
                    "input_tokens": 7,
                    "output_tokens": None,
                }
            ]
        ),
        capsys,
    )
    assert f"twin of {'5' * 16}, not counted (nested_twin): reports 7 in, no out\n" in text


@pytest.mark.parametrize(
    ("charge", "says"),
    [
        ({"cost_usd": None, "cost_status": "unpriced", "cost_reason": "no_sku"}, "ced (no_sku)"),
        ({"cost_status": "partial", "cost_reason": "no_line"}, "$0.00035 partial (no_line)"),
        ({"cost_usd": Decimal(0), "cost_status": "free"}, "$0  at"),
        ({"feature": None, "team": None, "tenant": None, "environment": None}, "paid by nobody"),
        ({"feature": None, "unattributed_reason": "no_tag"},
         "environment=production (None), no feature (no_tag)"),
        ({"usage_role": "residual"}, "beyond what is beneath"),
        ({"units": Decimal("3.000000000"), "unit": "page"}, "3 page"),
    ],
)  # fmt: skip
def test_what_is_not_known(
    capsys: pytest.CaptureFixture[str], charge: dict[str, Any], says: str
) -> None:
    """A missing price or payer is said, never shown as zero or left out."""
    explained = _explained([{"span_id": "s", "verdict": "step"}], [{"span_id": "s", **charge}])
    assert says in _shown(explained, capsys)


def test_sums_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """Totals keep every digit, count what is unpriced, and a different booking is said."""
    big, tiny = Decimal("12345678901234567890.123456789012"), Decimal("0.000000000001")
    charges = [
        {"span_id": "a", "step_id": "1", "cost_usd": big},
        {"span_id": "a", "step_id": "2", "cost_usd": tiny},
        {"span_id": "b", "step_id": "3", "cost_usd": None, "cost_status": "unpriced"},
    ]
    verdicts = [{"span_id": s, "verdict": "step"} for s in "ab"]
    total = Decimal("12345678901234567890.123456789013")
    same = _explained(verdicts, charges, booked_usd=total)
    assert (same.cost_usd, same.unpriced) == (total, 1)
    text = _shown(same, capsys)
    assert f"total ${total} in 3 steps, 1 of them not fully priced\n" in text
    assert "the ledger holds" not in text
    other = _explained(verdicts, charges, booked_usd=Decimal(1))
    assert "; the ledger holds $1" in _shown(other, capsys)
    facts = json.loads(as_json("x", "trace_id", same))
    assert facts["total"]["cost_usd"] == facts["total"]["booked_usd"] == str(total)
    assert [c["cost_usd"] for c in facts["traces"][0]["spans"][0]["charges"]] == [
        "12345678901234567890.123456789012",
        "0.000000000001",
    ]


def test_versions_of_one_span() -> None:
    """A span that came twice with other content is shown twice, its charge once."""
    verdicts = [{"span_id": "s", "verdict": "step"}, {"span_id": "s", "verdict": "structure"}]
    explained = _explained(verdicts, [{"span_id": "s"}])
    assert [len(n.charges) for n in explained.traces[TRACE]] == [1, 0]


def test_traces_that_were_only_looked_at() -> None:
    """Linked traces that were read to find a payer are not part of the answer."""
    verdicts = [{"span_id": "s"}, {"span_id": "l", "trace_id": "b" * 32}]
    explained = _explained(verdicts, [{"span_id": "l", "trace_id": "b" * 32}])
    assert list(explained.traces) == [TRACE]
    assert explained.charges == []


def test_hostile_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes and markup in names are only text, on one line."""
    hostile = "\x1b]0;x\x07[bold]a[/bold]\n\u202eb"
    explained = _explained(
        [{"span_id": "s", "verdict": "step", "name": hostile, "service": hostile}],
        [{"span_id": "s", "feature": hostile, "model": hostile}],
    )
    text = _shown(explained, capsys)
    assert not set(text) & set("\x1b\x07\u202e")
    assert text.count("]0;x[bold]a[/bold] b") == 4
    assert len(text.splitlines()) == 4
