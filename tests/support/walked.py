"""Runs decode, normalise and attribute over request bodies, for tests of the walk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from agentcost_collector.assemble.repeats import unique_spans
from agentcost_collector.attribute.attribute import attribute_steps, explain_spans
from agentcost_collector.attribute.config import Config
from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.decode.config import Config as DecodeConfig
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.kept import keep_of
from agentcost_collector.model.payload import Payload
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.normalise import Vocabulary, compile_vocabulary, normalise_spans
from agentcost_collector.normalise.dialects import DIALECTS

CONFIG = Config()
POLICY = Policy()
VOCABULARY = compile_vocabulary(DIALECTS, POLICY.aliases)
_INPUT = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_short_tokens",
    "cache_write_long_tokens",
)


@dataclass(frozen=True)
class Walked:
    """Steps and verdicts of some spans, as tables."""

    spans: pa.Table
    steps: pa.Table
    verdicts: pa.Table

    def rows(self) -> list[dict[str, Any]]:
        """The steps as dictionaries."""
        rows: list[dict[str, Any]] = self.steps.to_pylist()
        return rows

    def calls(self) -> list[dict[str, Any]]:
        """Steps that carry token counts."""
        return [row for row in self.rows() if row["usage_role"] is not None]

    def totals(self) -> tuple[int, int]:
        """All input tokens (cached included) and all output tokens."""
        calls = self.calls()
        return sum(map(input_of, calls)), sum(row["output_tokens"] or 0 for row in calls)


def input_of(step: dict[str, Any]) -> int:
    """All input of a step, cached or not."""
    return sum(step[name] or 0 for name in _INPUT)


def decode(bodies: Iterable[bytes], policy: Policy = POLICY) -> pa.Table:
    """SPANS of request bodies, exact repeats removed, all rejects forbidden."""
    decoder = Decoder(keep_of((), _vocabulary(policy), policy), DecodeConfig())
    decoded = decoder.decode([Payload(body, 0) for body in bodies])
    assert not decoded.rejects.num_rows
    return unique_spans(decoded.spans)[0]


def walk_table(spans: pa.Table, config: Config = CONFIG, policy: Policy = POLICY) -> Walked:
    """Steps and verdicts of SPANS in any order."""
    keys = [(name, "ascending") for name in ("trace_id", "start_ns", "span_id")]
    spans = spans.sort_by(keys).combine_chunks()
    facts = normalise_spans(spans, _vocabulary(policy))
    steps = attribute_steps(spans, facts, config, policy, Rules(policy.rules))
    return Walked(spans, steps, explain_spans(spans, facts, config))


def walk_bodies(bodies: Iterable[bytes], policy: Policy = POLICY) -> Walked:
    """Steps and verdicts of request bodies."""
    return walk_table(decode(bodies, policy), policy=policy)


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """SPANS from dictionaries, as `to_pylist` gives them."""
    return pa.Table.from_pylist(rows, schema=SPANS)


def _vocabulary(policy: Policy) -> Vocabulary:
    if policy.aliases == POLICY.aliases:
        return VOCABULARY
    return compile_vocabulary(DIALECTS, policy.aliases)
