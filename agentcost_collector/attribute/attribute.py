"""Facts -> Steps: which span owns the usage, who pays, who did the work."""

from __future__ import annotations

import pyarrow as pa

from agentcost_collector.attribute.config import Config
from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.attribute.steps import steps_of, verdicts_of
from agentcost_collector.attribute.walk import walk


def attribute_steps(
    spans: pa.Table, facts: pa.Table, config: Config, policy: Policy, rules: Rules
) -> pa.Table:
    """STEPS of whole traces; `rules` are those of `policy`.

    `spans`: SPANS sorted by (trace_id, start_ns, span_id), whole traces; `facts`: FACTS of the
    same rows. One row per step and per residual, sorted by (trace_id, started_at, step_id).
    Every span that is not a step has a verdict; see `explain_spans`. O(n log depth).
    """
    return steps_of(spans, facts, walk(spans, facts, config), policy, rules)


def explain_spans(spans: pa.Table, facts: pa.Table, config: Config) -> pa.Table:
    """VERDICTS of the same walk: one row per span, in the order of `spans`."""
    return verdicts_of(spans, facts, walk(spans, facts, config))
