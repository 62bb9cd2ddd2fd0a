"""From reported counts to disjoint ones: what the input includes, where the reasoning is.

All arrays are int64 with one item per span; -1 means "not reported".
"""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.model.notes import Note

RULES = (
    None,
    "includes_cache",
    "excludes_cache:impossible",
    "excludes_cache:dialect",
    "excludes_cache:total",
    "includes_cache:total",
)
"""Names of the rules that decide whether input includes cached tokens, by code; the first three
kinds of evidence are: cached parts larger than the input, the dialect, the reported total."""

_COUNT_MAX = 1 << 53
_DIGITS_MAX = pa.scalar(15, pa.int32())
_NOTHING = ("", "none", "null", "undefined")
_BUCKET_SHORT = r"(creation|write)_5m|ephemeral_5m"
_BUCKET_LONG = r"(creation|write)_1h|ephemeral_1h"
_SPELLINGS = {
    "input": ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count"),
    "output": ("completion_tokens", "output_tokens", "candidates_token_count"),
    "total": ("total_tokens", "totalTokenCount", "total_token_count"),
    "cache_read": (
        "prompt_tokens_details/cached_tokens",
        "input_tokens_details/cached_tokens",
        "input_token_details/cache_read",
        "cache_read_input_tokens",
        "cached_content_token_count",
        "cacheReadInputTokens",
        "cachedPromptTokens",
    ),
    "cache_write": (
        "cache_creation_input_tokens",
        "input_token_details/cache_creation",
        "prompt_tokens_details/cache_write_tokens",
        "input_tokens_details/cache_write_tokens",
        "cacheCreationInputTokens",
        "cacheWriteInputTokens",
    ),
    "cache_write_short": (
        "cache_creation/ephemeral_5m_input_tokens",
        "prompt_tokens_details/cache_write_tokens_details/ttl_30m_tokens",
        "input_tokens_details/cache_write_tokens_details/ttl_30m_tokens",
        "input_token_details/ephemeral_5m_input_tokens",
        "ephemeral_5m_input_tokens",
    ),
    "cache_write_long": (
        "cache_creation/ephemeral_1h_input_tokens",
        "prompt_tokens_details/cache_write_tokens_details/ttl_12h_tokens",
        "input_tokens_details/cache_write_tokens_details/ttl_12h_tokens",
        "input_token_details/ephemeral_1h_input_tokens",
        "ephemeral_1h_input_tokens",
        "cache_creation_input_tokens_above_1hr",
    ),
    "reasoning": (
        "completion_tokens_details/reasoning_tokens",
        "output_tokens_details/reasoning_tokens",
        "output_token_details/reasoning",
        "thoughts_token_count",
        "reasoningTokens",
    ),
}
"""Canonical count -> its names at providers and frameworks, "/" before what lies deeper."""
_PLACES = {
    count: tuple(tuple(name.split("/")) for name in names) for count, names in _SPELLINGS.items()
}


@dataclass
class Reported:
    """Counts as read from attributes; `-1` where absent."""

    input: np.ndarray
    output: np.ndarray
    total: np.ndarray
    cache_read: np.ndarray
    cache_write: np.ndarray
    cache_write_short: np.ndarray
    cache_write_long: np.ndarray
    reasoning: np.ndarray
    input_audio: np.ndarray
    input_image: np.ndarray
    output_audio: np.ndarray
    output_image: np.ndarray
    extra_input: np.ndarray
    extra_output: np.ndarray


UNBILLED = ("total", "reasoning")
"""Counts of Reported without which the price is known all the same."""

COLUMNS = {
    "input": ("input_tokens",),
    "output": ("output_tokens",),
    "cache_read": ("cache_read_tokens",),
    "cache_write": ("cache_write_short_tokens", "cache_write_long_tokens"),
    "cache_write_short": ("cache_write_short_tokens",),
    "cache_write_long": ("cache_write_long_tokens",),
    "input_audio": ("input_audio_tokens",),
    "input_image": ("input_image_tokens",),
    "output_audio": ("output_audio_tokens",),
    "output_image": ("output_image_tokens",),
    "extra_input": ("input_tokens",),
    "extra_output": ("output_tokens",),
}
"""Count of Reported that is billed -> the columns of STEPS that nobody can know without it."""


@dataclass(frozen=True)
class Meaning:
    """What is known of each span's emitter (boolean arrays)."""

    excludes_cache: np.ndarray
    excludes_reasoning: np.ndarray
    total_is_reported: np.ndarray
    outside_reasoning_provider: np.ndarray
    """Of a provider whose output may leave reasoning out."""


def parse_counts(text: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Counts from text, and a mask of the unreadable ones (which become -1).

    Integers, integral doubles ("12.0") and numbers in quotes are read; negative, fractional, not
    finite or absurd (above 2^53) values are not. A word for nothing ("None") is no count, and
    nothing unreadable.
    """
    short = pc.less_equal(pc.binary_length(text), _DIGITS_MAX)
    plain = pc.and_(pc.ascii_is_decimal(text), short).to_numpy(zero_copy_only=False)
    if plain.all():
        return text.cast(pa.int64()).to_numpy(zero_copy_only=False), ~plain
    values = np.full(len(text), -1, dtype=np.int64)
    values[plain] = text.filter(pa.array(plain)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    bad = np.zeros(len(text), dtype=bool)
    for i in np.flatnonzero(~plain):  # a handful of odd spellings, about 1 us each
        spelled = text[int(i)].as_py()
        value = as_count(spelled)
        values[i] = -1 if value is None else value
        bad[i] = value is None and spelled.strip().lower() not in _NOTHING
    return values, bad


def as_count(value: Any) -> int | None:
    """A count of an odd spelling, or None."""
    if isinstance(value, bool):
        return None
    try:
        number = float(str(value).strip().strip("\"'"))
    except ValueError:
        return None
    if not math.isfinite(number) or number < 0 or number != int(number) or number > _COUNT_MAX:
        return None
    return int(number)


def parse_usage_text(text: str) -> dict[str, int]:
    """Canonical counts from usage written as JSON or as a Python literal; {} if unreadable.

    Understands the shapes of OpenAI, Anthropic, LangChain, MLflow and Langfuse. Counts are as the
    text means them, with `input` always including cached tokens.
    """
    data = literal(text)
    if not isinstance(data, dict):
        return {}

    if {"input", "output"} & data.keys():
        return _disjoint_buckets(data)
    counts = _spelled_counts(data)
    raw_anthropic = (
        "prompt_tokens" not in data
        and "total_tokens" not in data
        and {"cache_read_input_tokens", "cache_creation_input_tokens"} & data.keys()
    )
    if raw_anthropic and "input" in counts:
        counts["input"] += counts.get("cache_read", 0) + counts.get("cache_write", 0)
    return counts


def _spelled_counts(data: dict[str, Any]) -> dict[str, int]:
    """Every canonical count under the first of its names that holds one."""
    counts = {}
    for count, places in _PLACES.items():
        for place in places:
            value: Any = data
            for part in place:
                value = value.get(part) if isinstance(value, dict) else None
            number = None if value is None else as_count(value)
            if number is not None:
                counts[count] = number
                break
    return counts


def _disjoint_buckets(data: dict[str, Any]) -> dict[str, int]:
    """Langfuse: `input` and `output` leave out every `input_*` and `output_*` bucket."""
    buckets = {k: c for k, v in data.items() if (c := as_count(v)) is not None}

    def all_with(pattern: str) -> int:
        return sum(count for name, count in buckets.items() if re.search(pattern, name))

    short, long = all_with(_BUCKET_SHORT), all_with(_BUCKET_LONG)
    return {
        "input": all_with(r"^(input$|input_|cache_)"),
        "output": all_with(r"^(output$|output_)"),
        "cache_read": all_with(r"^(input_)?cache(d_tokens$|_?.*read)"),
        "cache_write": all_with(r"^(input_)?cache_(creation|write)") + all_with(r"_ephemeral_"),
        **({"cache_write_short": short, "cache_write_long": long} if short or long else {}),
        "reasoning": all_with(r"^output_reasoning"),
    }


def literal(text: str) -> Any:
    """JSON or a Python literal. A repr of numbers is nearly JSON, which reads 10 times faster."""
    for read in (json.loads, _nearly_json, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _nearly_json(text: str) -> Any:
    nearly = text.replace("'", '"').replace("None", "null")
    return json.loads(nearly.replace("True", "true").replace("False", "false"))


@dataclass(frozen=True)
class Disjoint:
    """What STEPS calls its token columns (-1 = not reported), with the totals beside."""

    input_total: np.ndarray
    output_total: np.ndarray
    tokens: dict[str, np.ndarray]
    rule: np.ndarray
    note: np.ndarray


def make_disjoint(r: Reported, meaning: Meaning) -> Disjoint:
    """Splits reported counts into parts that never overlap. O(spans), no Python per span."""
    zero = {name: np.maximum(getattr(r, name), 0) for name in vars(r)}
    note = np.zeros(len(r.input), dtype=np.int32)
    split_known = (r.cache_write_short >= 0) | (r.cache_write_long >= 0)
    write = np.maximum(zero["cache_write"], zero["cache_write_short"] + zero["cache_write_long"])
    long = np.minimum(zero["cache_write_long"], write)
    note[(write > 0) & ~split_known] |= Note.RETENTION_UNKNOWN
    cached = zero["cache_read"] + write
    has_input = r.input >= 0

    rule = _cache_rule(r, meaning, cached)
    excludes = (rule == 2) | (rule == 3) | (rule == 4)
    input_total = np.where(has_input, r.input + np.where(excludes, cached, 0), -1)
    output_total, from_total, reasoning = _output(r, meaning, input_total, zero)
    note[from_total] |= Note.OUTPUT_FROM_TOTAL

    special_in = zero["input_audio"] + zero["input_image"]
    uncached = input_total - cached - special_in
    special_out = zero["output_audio"] + zero["output_image"]
    plain_out = output_total - special_out
    crossed = (has_input & (uncached < 0)) | ((output_total >= 0) & (plain_out < 0))
    note[crossed] |= Note.INCONSISTENT
    reported = has_input | (output_total >= 0)
    uncached, input_total = (v + zero["extra_input"] * has_input for v in (uncached, input_total))
    more_out = zero["extra_output"] * (output_total >= 0)
    plain_out, output_total = plain_out + more_out, output_total + more_out

    def part(values: np.ndarray) -> np.ndarray:
        return np.where(reported, values, -1)

    tokens = {
        "input_tokens": np.where(has_input, np.maximum(uncached, 0), part(np.zeros_like(write))),
        "cache_read_tokens": part(zero["cache_read"]),
        "cache_write_short_tokens": part(write - long),
        "cache_write_long_tokens": part(long),
        "output_tokens": part(np.maximum(plain_out, 0)),
        "reasoning_tokens": part(np.minimum(reasoning, np.maximum(output_total, 0))),
        "input_audio_tokens": part(zero["input_audio"]),
        "input_image_tokens": part(zero["input_image"]),
        "output_audio_tokens": part(zero["output_audio"]),
        "output_image_tokens": part(zero["output_image"]),
    }
    return Disjoint(input_total, output_total, tokens, np.where(has_input, rule, 0), note)


def _cache_rule(r: Reported, meaning: Meaning, cached: np.ndarray) -> np.ndarray:
    """Code into RULES, in order of precedence."""
    out = np.maximum(r.output, 0)
    total = np.where(meaning.total_is_reported & (cached > 0), r.total, -2)
    return np.select(
        [
            r.input < cached,
            meaning.excludes_cache,
            total == r.input + out + cached,
            total == r.input + out,
        ],
        [2, 3, 4, 5],
        1,
    )


def _output(
    r: Reported, meaning: Meaning, input_total: np.ndarray, zero: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output including reasoning, where it was derived from the total, and the reasoning."""
    rest = r.total - np.maximum(input_total, 0)
    from_total = meaning.excludes_reasoning & meaning.outside_reasoning_provider
    from_total &= (r.output >= 0) & (rest > r.output)
    outside = (
        ~from_total
        & meaning.outside_reasoning_provider
        & (zero["reasoning"] > 0)
        & (rest == r.output + zero["reasoning"])
    )
    output = np.where(from_total, rest, np.where(outside, r.output + zero["reasoning"], r.output))
    reasoning = np.where(from_total & (r.reasoning < 0), rest - r.output, zero["reasoning"])
    return output, from_total | outside, reasoning
