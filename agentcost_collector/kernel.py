"""The kernel: SPANS of whole traces in, CHARGES out. The one place where a cost comes from.

    normalise -> attribute -> price

Pure: the service, `replay`, `restate` and `explain` all call it, each with a `Rulebook`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.attribute.attribute import attribute_steps, explain_spans
from agentcost_collector.attribute.config import Config as WalkConfig
from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.normalise import (
    Vocabulary,
    compile_vocabulary,
    normalise_spans,
)
from agentcost_collector.normalise.dialects import DIALECTS
from agentcost_collector.policy_file import read_policy
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from agentcost_collector.settings import Settings


@dataclass(frozen=True)
class Rulebook:
    """Everything the kernel needs besides spans."""

    vocabulary: Vocabulary
    walk: WalkConfig
    policy: Policy
    rules: Rules
    rates: RateBook

    @classmethod
    def of(cls, settings: Settings) -> Rulebook:
        """Dialects, tag policy and rate cards as configured."""
        file = read_policy(settings.policy)
        return cls(
            compile_vocabulary(DIALECTS, file.policy.aliases),
            settings.attribute,
            file.policy,
            file.rules(),
            load_rate_book(settings.rate_card_directories()),
        )


def kernel(spans: pa.Table, rulebook: Rulebook) -> pa.Table:
    """SPANS of whole traces -> CHARGES: what these traces cost and who pays. Pure."""
    spans = in_order(spans)
    facts = normalise_spans(spans, rulebook.vocabulary)
    steps = attribute_steps(spans, facts, rulebook.walk, rulebook.policy, rulebook.rules)
    return price_steps(steps, rulebook.rates)


def explain(spans: pa.Table, rulebook: Rulebook) -> tuple[pa.Table, pa.Table]:
    """CHARGES as `kernel` gives them, and VERDICTS: one row per span, why it counts or not."""
    spans = in_order(spans)
    facts = normalise_spans(spans, rulebook.vocabulary)
    return kernel(spans, rulebook), explain_spans(spans, facts, rulebook.walk)


def in_order(spans: pa.Table) -> pa.Table:
    """SPANS sorted by (trace_id, start_ns, span_id), so that arrival order never matters."""
    if _is_in_order(spans):
        return spans
    keys = [(name, "ascending") for name in ("trace_id", "start_ns", "span_id")]
    return spans.take(pc.sort_indices(spans, sort_keys=keys)).combine_chunks()


def _is_in_order(spans: pa.Table) -> bool:
    """Whether rows rise by (trace_id, start_ns, span_id); as closed traces come, they do."""
    later, earlier = spans.slice(1), spans.slice(0, max(spans.num_rows - 1, 0))
    rises: pa.ChunkedArray | bool = True
    for name in ("span_id", "start_ns", "trace_id"):
        above = pc.greater(later.column(name), earlier.column(name))
        equal = pc.equal(later.column(name), earlier.column(name))
        rises = pc.or_(above, pc.and_(equal, rises))
    return spans.num_rows < 2 or bool(pc.all(rises).as_py())
