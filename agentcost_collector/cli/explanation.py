"""The facts about some traces in the order of their trees, and how they are written."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.text import Text

from agentcost_collector.cli.text import amount, printable
from agentcost_collector.explain import break_down
from agentcost_collector.model.kinds import Kind
from agentcost_collector.model.money import round_half_even, usd
from agentcost_collector.model.reasons import CostStatus, Verdict
from agentcost_collector.model.schemas import TAGS, TOKENS

Row = dict[str, Any]

_DEPTH_SHOWN_MAX = 40  # deeper spans are indented no further
_INPUTS = [n for n in TOKENS if n.startswith(("input", "cache"))]
_OWNERS = (("owner_feature", "feature"), ("owner_team", "team"))
_BOUNDARIES = (Kind.TOOL, Kind.RETRIEVAL, Kind.RERANK)


@dataclass(frozen=True, slots=True)
class Node:
    """One span in its place."""

    depth: int
    verdict: Row
    start_ns: int | None
    charges: list[Row]


@dataclass(frozen=True, slots=True)
class Explained:
    """All spans of some traces, per trace in tree order; parents come before their children."""

    traces: dict[str, list[Node]]
    booked_usd: Decimal | None
    """What the ledger holds for them."""

    @property
    def charges(self) -> list[Row]:
        """Every charge."""
        return [c for nodes in self.traces.values() for node in nodes for c in node.charges]

    @property
    def cost_usd(self) -> Decimal | None:
        """Sum of what could be priced."""
        return _sum_usd(self.charges)

    @property
    def unpriced(self) -> int:
        """Steps without a price or with only part of one."""
        status = [c["cost_status"] for c in self.charges]
        return status.count(CostStatus.UNPRICED) + status.count(CostStatus.PARTIAL)


def explain_traces(
    trace_ids: Sequence[str],
    spans: pa.Table,
    charges: pa.Table,
    verdicts: pa.Table,
    booked_usd: Decimal | None,
) -> Explained:
    """Puts spans, verdicts and charges of `trace_ids` together; other traces are left out. Every
    verdict comes out once, also where spans are their own ancestors."""
    starts = {
        (t, s): start
        for t, s, start in zip(
            *(spans[name].to_pylist() for name in ("trace_id", "span_id", "start_ns")), strict=True
        )
    }
    by_span: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for charge in charges.to_pylist():
        by_span[charge["trace_id"], charge["span_id"]].append(charge)
    by_trace: dict[str, list[Row]] = {trace_id: [] for trace_id in trace_ids}
    for verdict in verdicts.to_pylist():
        if verdict["trace_id"] in by_trace:
            by_trace[verdict["trace_id"]].append(verdict)
    traces: dict[str, list[Node]] = {}
    for trace_id, rows in by_trace.items():
        rows.sort(
            key=lambda row: (starts.get((row["trace_id"], row["span_id"]), 0), row["span_id"])
        )
        traces[trace_id] = [
            Node(
                depth,
                row,
                starts.get((trace_id, row["span_id"])),
                # versions of one span share its charges: they are shown with the first
                by_span.pop((trace_id, row["span_id"]), []),
            )
            for depth, row in _in_tree_order(rows)
        ]
    return Explained(traces, booked_usd)


def as_json(asked: str, found_by: str, explained: Explained) -> str:
    """All facts; money and other decimals as strings with all digits."""
    facts = {
        "asked": asked,
        "found_by": found_by,
        "traces": [
            {"trace_id": trace_id, "spans": [_span_facts(node) for node in nodes]}
            for trace_id, nodes in explained.traces.items()
        ],
        "breakdown": asdict(break_down(explained.charges)),
        "total": {
            "steps": len(explained.charges),
            "unpriced_steps": explained.unpriced,
            "cost_usd": explained.cost_usd,
            "booked_usd": explained.booked_usd,
        },
    }
    return json.dumps(facts, indent=1, default=_plain)


def print_tree(explained: Explained) -> None:
    """The trees to stdout, coloured on a terminal."""
    console = _Console(file=sys.stdout, highlight=False, soft_wrap=True)
    for trace_id, nodes in explained.traces.items():
        steps = sum(len(node.charges) for node in nodes)
        cost = _dollars(_sum_usd([c for node in nodes for c in node.charges]))
        console.print(Text(f"trace {trace_id}: {len(nodes)} spans, {steps} steps, {cost}", "bold"))
        path: list[Row] = []  # from the root down to the span
        for node in nodes:
            del path[node.depth :]
            service = node.verdict["service"]
            title = printable(node.verdict["name"] or "(no name)")
            if service and service != (path[-1]["service"] if path else None):
                title += f" [{printable(service)}]"
            path.append(node.verdict)
            for line in _lines(node, title, path):
                console.print(line)
    console.print(Text(_total_line(explained), "bold"))


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _in_tree_order(rows: list[Row]) -> Iterator[tuple[int, Row]]:
    """Depth and row; a row whose parent is not there, or that is in a circle, stands as a root."""
    present = {row["span_id"] for row in rows}
    children: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        parent = row["parent_span_id"]
        children[parent if parent in present else None].append(row)
    seen: set[int] = set()
    for root in [*children[None], *rows]:
        stack = [(0, root)]
        while stack:
            depth, row = stack.pop()
            if id(row) in seen:
                continue
            seen.add(id(row))
            yield depth, row
            beneath = children[row["span_id"]]
            stack.extend((depth + 1, child) for child in reversed(beneath) if id(child) not in seen)


def _span_facts(node: Node) -> Row:
    facts = {k: v for k, v in node.verdict.items() if k != "trace_id"}
    return {"depth": node.depth, "start_ns": node.start_ns, **facts, "charges": node.charges}


def _lines(node: Node, name: str, path: Sequence[Row]) -> Iterator[Text]:
    indent = "  " * (1 + min(node.depth, _DEPTH_SHOWN_MAX))
    verdict = node.verdict
    title = Text(indent + name)
    if verdict["inferred_parent"]:
        title.append("  placed here by time", "dim")
    if not node.charges:
        yield title.append("  " + _not_counted(verdict), "dim")
        return
    for charge in node.charges:
        yield title.copy().append("  ").append_text(_cost(charge))
        yield Text(f"{indent}    {_payer(charge, path)}", "dim")


def _not_counted(verdict: Row) -> str:
    if verdict["verdict"] == Verdict.STRUCTURE:
        return verdict["kind"] or "structure"
    text = str(verdict["verdict"])
    if verdict["survivor_span_id"]:
        text += f" of {verdict['survivor_span_id']}"
    text += f", not counted ({verdict['reason']})"
    if verdict["input_tokens"] is not None or verdict["output_tokens"] is not None:
        counts = [verdict[name] for name in ("input_tokens", "output_tokens")]
        reported = ["no" if count is None else count for count in counts]
        text += f": reports {reported[0]} in, {reported[1]} out"
    return text


def _cost(charge: Row) -> Text:
    model = charge["model"] or charge["requested_model"] or charge["tool"] or charge["target"]
    text = Text("  ".join(filter(None, [charge["kind"], printable(model or ""), _usage(charge)])))
    text.append("  ")
    reason = f" ({charge['cost_reason']})" if charge["cost_reason"] else ""
    if charge["cost_usd"] is not None:
        text.append(_dollars(charge["cost_usd"]), "green")
        reason = f" {charge['cost_status']}{reason}" if reason else ""
    else:
        text.append(str(charge["cost_status"]), "yellow")
    text.append(reason)
    if charge["rate_id"]:
        text.append(f"  at {printable(charge['rate_id'])}")
    return text


def _usage(charge: Row) -> str:
    parts = []
    inputs = [charge[name] for name in _INPUTS if charge[name] is not None]
    if inputs:
        detail = ", ".join(
            f"{charge[name]} {name.removesuffix('_tokens').replace('_', ' ')}"
            for name in _INPUTS[1:]
            if charge[name]
        )
        parts.append(f"{sum(inputs)} in" + (f" ({detail})" if detail else ""))
    if charge["output_tokens"] is not None:
        reasoning = charge["reasoning_tokens"]
        detail = f" ({reasoning} reasoning)" if reasoning else ""
        parts.append(f"{charge['output_tokens']} out{detail}")
    if charge["units"] is not None:
        parts.append(f"{amount(charge['units'])} {printable(charge['unit'] or '')}")
    if charge["usage_role"] == "residual":
        parts.append("beyond what is beneath")
    return ", ".join(parts)


def _payer(charge: Row, path: Sequence[Row]) -> str:
    """Who pays, each with how it was found; then who did the work, where that is someone else."""
    tags = [
        f"{tag}={printable(charge[tag])} ({charge[f'{tag}_from']})"
        for tag in TAGS
        if charge[tag] is not None
    ]
    text = "paid by " + (" ".join(tags) if tags else "nobody")
    if charge["feature"] is None:
        text += f", no feature ({charge['unattributed_reason']})"
    owners = [
        f"{tag}={printable(charge[owner])}"
        for owner, tag in _OWNERS
        if charge[owner] is not None and charge[owner] != charge[tag]
    ]
    service = charge["owner_service"]
    if tags and service is not None and service != _payers_service(charge, path):
        owners.append(f"service={printable(service)}")
    return text + (f"; done by {' '.join(owners)}" if owners else "")


def _payers_service(charge: Row, path: Sequence[Row]) -> str | None:
    """Where the first of its tags was found, as far as the tree shows: on the span, in the service
    that called the outermost tool, or at the entry of the trace."""
    found = next(charge[f"{tag}_from"] for tag in TAGS if charge[tag] is not None)
    at = 0
    if found in ("span", "inside"):
        at = len(path) - 1
    elif found == "resource":
        tools = (n for n, above in enumerate(path) if above["kind"] in _BOUNDARIES)
        at = max(next(tools, len(path)) - 1, 0)
    service: str | None = path[at]["service"]
    return service


def _total_line(explained: Explained) -> str:
    steps = len(explained.charges)
    line = f"total {_dollars(explained.cost_usd)} in {steps} steps"
    if explained.unpriced:
        line += f", {explained.unpriced} of them not fully priced"
    if (explained.booked_usd or 0) != (explained.cost_usd or 0):
        line += (
            f"; the ledger holds {_dollars(explained.booked_usd)}: booked by other rules or rates"
        )
    return line


def _dollars(value: Decimal | None) -> str:
    return "no price" if value is None else f"${amount(value)}"


def _sum_usd(charges: list[Row]) -> Decimal | None:
    amounts = [Fraction(c["cost_usd"]) for c in charges if c["cost_usd"] is not None]
    return usd(round_half_even(sum(amounts, Fraction(0)))) if amounts else None


def _plain(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat()
