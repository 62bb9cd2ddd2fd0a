"""What reported counts mean: which input includes cached tokens, where the reasoning is.

Truth: provider documentation as collected per instrumentation; each case is spelled out.
"""

import pytest

from tests.support.trees import draw
from tests.support.walked import input_of, walk_bodies

GENAI = "gen_ai.operation.name=chat gen_ai.request.model={model} gen_ai.provider.name={provider}"


def step_of(scope: str, attributes: str, provider: str = "anthropic", model: str = "claude-x"):
    text = GENAI.format(model=model, provider=provider)
    body = draw(f"chat scope={scope} {text} {attributes}").body()
    (step,) = walk_bodies([body]).rows()
    return step


CASES = [
    # scope, attributes, all input, cached, written short, written long, output, rule
    (
        "opentelemetry.instrumentation.genai.anthropic",
        "gen_ai.usage.input_tokens=461 gen_ai.usage.output_tokens=35"
        " gen_ai.usage.cache_creation.input_tokens=256 gen_ai.usage.cache_read.input_tokens=0",
        (461, 0, 256, 0, 35, "includes_cache"),
    ),
    (
        "openlit.instrumentation.anthropic",
        "gen_ai.usage.input_tokens=205 gen_ai.usage.output_tokens=35"
        " gen_ai.usage.cache_creation.input_tokens=100 gen_ai.usage.cache_read.input_tokens=0",
        (305, 0, 100, 0, 35, "excludes_cache:dialect"),
    ),
    (
        "opentelemetry.instrumentation.genai.anthropic",
        "gen_ai.usage.input_tokens=100 gen_ai.usage.output_tokens=5"
        " gen_ai.usage.cache_read.input_tokens=512",
        (612, 512, 0, 0, 5, "excludes_cache:impossible"),
    ),
    (
        "openinference.instrumentation.bedrock",
        "openinference.span.kind=LLM llm.token_count.prompt=300 llm.token_count.completion=20"
        " llm.token_count.total=420 llm.token_count.prompt_details.cache_read=100",
        (400, 100, 0, 0, 20, "excludes_cache:total"),
    ),
    (
        "com.anthropic.sdk.python",
        "gen_ai.usage.input_tokens=1000 gen_ai.usage.output_tokens=5"
        " gen_ai.usage.cache_write.input_tokens=300"
        " anthropic.usage.cache_creation.ephemeral_5m_input_tokens=200"
        " anthropic.usage.cache_creation.ephemeral_1h_input_tokens=100",
        (1000, 0, 200, 100, 5, "includes_cache"),
    ),
]


@pytest.mark.parametrize(("scope", "attributes", "expected"), CASES)
def test_input_is_split_into_disjoint_parts(scope, attributes, expected):
    """The rule of the emitter decides; the parts add up to all input."""
    step = step_of(scope, attributes)
    found = (
        input_of(step),
        step["cache_read_tokens"],
        step["cache_write_short_tokens"],
        step["cache_write_long_tokens"],
        step["output_tokens"],
        step["usage_rule"],
    )
    assert found == expected


def test_unknown_retention_counts_as_short_and_says_so():
    """Cache writes without their retention are the cheaper kind until proven otherwise."""
    step = step_of(
        "opentelemetry.instrumentation.anthropic",
        "gen_ai.usage.input_tokens=461 gen_ai.usage.output_tokens=35"
        " gen_ai.usage.cache_creation.input_tokens=256",
    )
    assert step["cache_write_short_tokens"] == 256
    assert step["usage_note"] == "retention_unknown"


def test_vercel_input_leaves_cache_out_until_it_knows_the_split():
    """Versions 4 and 5 pass on what Anthropic says; version 6 includes the cache."""
    old = "ai.operationId=ai.generateText.doGenerate ai.model.provider=anthropic.messages"
    counts = " ai.usage.inputTokens=1000 ai.usage.outputTokens=5 ai.usage.cachedInputTokens=400"
    step = step_of("ai", old + counts)
    assert (input_of(step), step["input_tokens"]) == (1400, 1000)
    new = " ai.usage.inputTokenDetails.noCacheTokens=600"
    step = step_of("ai", old + counts + new)
    assert (input_of(step), step["input_tokens"]) == (1000, 600)


def test_thoughts_outside_the_output_are_found_in_the_total():
    """Gemini through OpenLLMetry: output 26, total 350 of which input 313, so 37 were billed."""
    step = step_of(
        "opentelemetry.instrumentation.google_generativeai",
        "gen_ai.usage.input_tokens=313 gen_ai.usage.output_tokens=26 gen_ai.usage.total_tokens=350",
        provider="gcp.gen_ai",
        model="gemini-2.5-flash",
    )
    assert (step["output_tokens"], step["reasoning_tokens"]) == (37, 11)
    assert step["usage_note"] == "output_from_total"


def test_reasoning_of_xai_is_added_where_the_total_proves_it():
    """2640 + 182 + 672 = 3494: the reasoning was left out of the completion tokens."""
    step = step_of(
        "opentelemetry.instrumentation.openai",
        "gen_ai.usage.input_tokens=2640 gen_ai.usage.output_tokens=182"
        " gen_ai.usage.reasoning_tokens=672 gen_ai.usage.total_tokens=3494",
        provider="x_ai",
        model="grok-4",
    )
    assert (step["output_tokens"], step["reasoning_tokens"]) == (854, 672)


@pytest.mark.parametrize(
    ("spelling", "count"),
    [('"120"', 120), ("120.0", 120), ("'\"120\"'", 120)],
)
def test_counts_are_read_in_any_spelling(spelling, count):
    """Counts as text, as doubles and as quoted text."""
    step = step_of("any", f"gen_ai.usage.input_tokens={spelling} gen_ai.usage.output_tokens=1")
    assert step["input_tokens"] == count


@pytest.mark.parametrize("spelling", ["-5", "1.5", "nan", "inf", "lots", "true", "1e300"])
def test_a_count_that_is_none_is_missing_and_marked_never_zero(spelling):
    """Negative, fractional, not finite, words, booleans, absurd; alone or beside a good one."""
    for more in ("", " gen_ai.usage.output_tokens=7"):
        step = step_of("any", f"gen_ai.usage.input_tokens={spelling} gen_ai.response.id=r1{more}")
        assert step["input_tokens"] is None
        assert step["output_tokens"] == (7 if more else None)
        assert step["usage_note"] == "unreadable_count"


@pytest.mark.parametrize(
    ("field", "columns"),
    [
        ("output_tokens", ["output_tokens"]),
        ("cache_read_input_tokens", ["cache_read_tokens"]),
        (
            "cache_creation_input_tokens",
            ["cache_write_short_tokens", "cache_write_long_tokens"],
        ),
    ],
)
def test_each_billed_count_can_be_unreadable(field, columns):
    """The columns that nobody can know are NULL, the others hold what was reported."""
    given = {"input_tokens": 100, "output_tokens": 10, field: -1}
    step = step_of("any", " ".join(f"gen_ai.usage.{k}={v}" for k, v in given.items()))
    assert [step[c] for c in columns] == [None] * len(columns)
    assert step["usage_note"] == "unreadable_count"
    if field != "output_tokens":
        assert (step["input_tokens"], step["output_tokens"]) == (100, 10)


@pytest.mark.parametrize("field", ["total_tokens", "reasoning_tokens"])
def test_a_count_that_nothing_is_billed_by_is_ignored_and_marked(field):
    """A total or reasoning that is no number leaves the rest as it is."""
    step = step_of(
        "any", f"gen_ai.usage.input_tokens=9 gen_ai.usage.output_tokens=3 gen_ai.usage.{field}=-1"
    )
    assert (step["input_tokens"], step["output_tokens"]) == (9, 3)
    assert step["usage_note"] == "count_ignored"


@pytest.mark.parametrize("nothing", ["None", "null", '""', "undefined"])
def test_a_word_for_nothing_is_absent(nothing):
    """Emitters write these where they know no count; nothing is marked."""
    step = step_of(
        "any",
        "gen_ai.usage.input_tokens=9 gen_ai.usage.output_tokens=3"
        f" gen_ai.usage.cache_read_input_tokens={nothing}",
    )
    assert (step["input_tokens"], step["cache_read_tokens"]) == (9, 0)
    assert step["usage_note"] is None


def test_two_spellings_on_one_span_are_never_added_up():
    """Old and new names of the same count, with equal values."""
    step = step_of(
        "strands.telemetry.tracer",
        "gen_ai.usage.input_tokens=237 gen_ai.usage.prompt_tokens=237"
        " gen_ai.usage.output_tokens=23 gen_ai.usage.completion_tokens=23"
        " gen_ai.usage.total_tokens=260",
        provider="strands-agents",
        model="gpt-4o-mini",
    )
    assert (input_of(step), step["output_tokens"], step["provider"]) == (237, 23, "openai")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        (
            "mlflow.chat.tokenUsage",
            '{"input_tokens": 500, "output_tokens": 20, "total_tokens": 520,'
            ' "cache_read_input_tokens": 100}',
            (500, 100, 20),
        ),
        (
            "langfuse.observation.usage_details",
            '{"input": 400, "input_cached_tokens": 100, "output": 15,'
            ' "output_reasoning_tokens": 5, "total": 520}',
            (500, 100, 20),
        ),
        (
            "llm.openai.usage",
            "{'prompt_tokens': 500, 'completion_tokens': 20, 'total_tokens': 520,"
            " 'prompt_tokens_details': {'cached_tokens': 100, 'audio_tokens': None}}",
            (500, 100, 20),
        ),
        (
            "llm.anthropic.usage",
            "{'input_tokens': 400, 'cache_read_input_tokens': 100,"
            " 'cache_creation_input_tokens': 0, 'output_tokens': 20}",
            (500, 100, 20),
        ),
    ],
)
def test_usage_written_as_text_is_read(key, text, expected):
    """JSON and Python literals, each in the convention of who writes it."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    step = step_of("any", f'{key}="{quoted}"')
    assert (input_of(step), step["cache_read_tokens"], step["output_tokens"]) == expected
