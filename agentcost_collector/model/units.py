"""Units: what can be billed, which column of STEPS counts it and which part of the cost it adds to.

A leaf kind is a name such as `token.input.cache_read`; the leaf kinds of one step are disjoint, so
their costs add up. A new unit is one entry here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import pyarrow as pa

from agentcost_collector.model.money import QUANTITY


@dataclass(frozen=True, slots=True)
class Leaf:
    """One quantity of a step."""

    column: str
    """Column of STEPS that counts it; empty where the step itself is counted, once."""
    kinds: tuple[str, ...]
    """Leaf kinds that the column may hold; a rate card uses one of them. Empty: the step says."""
    part: str
    """Column of CHARGES that its cost adds to."""
    type: pa.DataType
    """Type of the column."""


_COUNT = pa.int64()

LEAVES = (
    Leaf("input_tokens", ("token.input",), "input_cost_usd", _COUNT),
    Leaf("cache_read_tokens", ("token.input.cache_read",), "cache_cost_usd", _COUNT),
    Leaf(
        "cache_write_short_tokens",
        (
            "token.input.cache_write.5m",
            "token.input.cache_write.30m",
            "token.input.cache_write.unspecified",
        ),
        "cache_cost_usd",
        _COUNT,
    ),
    Leaf(
        "cache_write_long_tokens",
        ("token.input.cache_write.1h", "token.input.cache_write.12h"),
        "cache_cost_usd",
        _COUNT,
    ),
    Leaf("output_tokens", ("token.output",), "output_cost_usd", _COUNT),
    Leaf("input_audio_tokens", ("token.input.audio",), "input_cost_usd", _COUNT),
    Leaf("input_image_tokens", ("token.input.image",), "input_cost_usd", _COUNT),
    Leaf("output_audio_tokens", ("token.output.audio",), "output_cost_usd", _COUNT),
    Leaf("output_image_tokens", ("token.output.image",), "output_cost_usd", _COUNT),
    Leaf("gpu_seconds", ("compute.gpu_second",), "compute_cost_usd", QUANTITY),
    Leaf("cpu_seconds", ("compute.vcpu_second",), "compute_cost_usd", QUANTITY),
    Leaf("gib_seconds", ("compute.gib_second",), "compute_cost_usd", QUANTITY),
    Leaf("units", (), "unit_cost_usd", QUANTITY),
    Leaf("", ("tool.*.call",), "unit_cost_usd", _COUNT),
    Leaf("", ("request",), "unit_cost_usd", _COUNT),
)
"""The last three: `units` of the kind in column `unit`; one call of the tool in column `tool`;
the step as one request. `reasoning_tokens` is absent because it is part of `output_tokens`."""

INPUT_TOTAL = tuple(
    leaf.column for leaf in LEAVES if leaf.kinds and leaf.kinds[0].startswith("token.input")
)
"""Columns whose sum is the whole prompt: what a band `token.input.total` measures."""

OPERATIONS = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "embedding",
    "rerank": "rerank",
    "retrieval": "retrieval",
    "execute_tool": "tool",
    "compute": "compute",
}
"""Operations that a rate card may name, and the step kind that each means."""

INPUT_TOTAL_KIND = "token.input.total"
"""Not a leaf: the sum of INPUT_TOTAL, which a band may measure."""

_MODALITY = r"(\.(text|audio|image|video))?"
_INPUT = rf"(\.cache_read|\.cache_write\.(5m|30m|1h|12h|24h|unspecified))?{_MODALITY}"
_KIND = re.compile(
    rf"token\.input{_INPUT}|token\.output(\.reasoning|\.citation)?{_MODALITY}"
    rf"|(embedding|rerank)\.token{_INPUT}|rerank\.search_unit"
    r"|tool\.[a-z0-9_.-]+\.(call|prompt|credit|gb_day|page)"
    r"|container\.(second|minute|session)|session\.(ms|second)"
    r"|compute\.((gpu|vcpu|gib|lambda_gb)_(ms|second)|self_second|egress_byte|energy_wh)"
    r"|capacity\.(ptu_hour|gsu_hour|instance_hour)"
    r"|cache\.storage\.token_hour|vector\.(read_unit|write_unit|request_unit|gb_month)"
    r"|audio\.(second|minute|hour)|video\.second(\.[a-z0-9_-]+)*"
    r"|image(\.[a-z0-9_-]+)*|page(\.annotated)?|character|request"
    r"|guardrail(\.[a-z0-9_-]+)*\.text_unit"
)
_SAME = {
    "container.minute": ("container.second", Fraction(60)),
    "session.second": ("session.ms", Fraction(1000)),
    "audio.minute": ("audio.second", Fraction(60)),
    "audio.hour": ("audio.second", Fraction(3600)),
    **{
        f"compute.{of}_ms": (f"compute.{of}_second", Fraction(1, 1000))
        for of in ("gpu", "vcpu", "gib", "lambda_gb")
    },
}


def same_kind(name: str) -> tuple[str, Fraction]:
    """The kind that measures the same, and how many of it one is: a minute is 60 seconds.

    Kinds of text are the kinds without modality.
    """
    bare = name.removesuffix(".text")
    return _SAME.get(bare, (bare, Fraction(1)))


def is_kind(name: str) -> bool:
    """Whether `name` is a leaf kind that a rate card may price."""
    return _KIND.fullmatch(name) is not None


def kinds_of(leaf: Leaf, step_kind: str) -> tuple[str, ...]:
    """Leaf kinds of `leaf` in a step of `step_kind`: input of an embedding is embedding.token."""
    if step_kind not in ("embedding", "rerank"):
        return leaf.kinds
    return tuple(k.replace("token.input", f"{step_kind}.token") for k in leaf.kinds)
