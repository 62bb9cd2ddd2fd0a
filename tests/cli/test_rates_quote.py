"""`agentcost rates quote`: exact answers, reasons instead of guesses, and every bad line named."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import agentcost, refusal

CALL = ("--provider", "openai", "--model", "gpt-5-2025-08-07", "--at", "2026-11-20T12:00:00Z")
GPT5 = {"provider": "openai", "model": "gpt-5-2025-08-07", "at": "2026-11-20T12:00:00Z"}


def asked(tmp_path: Path, *quotes: Any) -> tuple[list[dict[str, Any]], int, str]:
    """Answers, exit code and standard error for a file of quotes; text is a line as it is."""
    file = tmp_path / "quotes.jsonl"
    lines = [q if isinstance(q, str) else json.dumps(q) for q in quotes]
    file.write_text("".join(f"{line}\n" for line in lines))
    done = agentcost("rates", "quote", "--file", file, "--format", "json")
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode, done.stderr


def test_one_call_as_json() -> None:
    """OAI-06 by flags: the exact amount, its lines and the rate each of them has."""
    usage = "token.input=90000,token.input.cache_read=10000,token.output=8000"
    done = agentcost(
        "rates", "quote", *CALL, "--usage", usage, "--context", "service_tier=flex",
        "--format", "json",
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer["cost_usd"] == answer["list_cost_usd"] == "0.096875000000"
    assert (answer["cost_status"], answer["cost_reason"]) == ("priced", None)
    assert [(ln["kind"], ln["quantity"], ln["amount_usd"]) for ln in answer["lines"]] == [
        ("token.input", "90000", "0.056250000000"),
        ("token.input.cache_read", "10000", "0.000625000000"),
        ("token.output", "8000", "0.040000000000"),
    ]
    assert all(ln["rate_id"].startswith("openai/gpt-5@") for ln in answer["lines"])


def test_one_call_as_a_table() -> None:
    """For people: each line, and the total with its status."""
    done = agentcost("rates", "quote", *CALL, "--usage", "token.input=5000,token.output=3000")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1:4] for row in rows[2:4]] == [
        ["token.input", "5000", "0.00625"],
        ["token.output", "3000", "0.03"],
    ]
    assert rows[4][1:] == ["total", "0.03625", "priced"]


def test_columns_of_the_ledger_are_kinds(tmp_path: Path) -> None:
    """What a row of the ledger counts can be asked about as it stands there."""
    usage = {"input_tokens": 10_000, "cache_read_tokens": 15_000, "output_tokens": 2000}
    call = {"provider": "openai", "model": "gpt-6-sol", "at": "2026-11-20T12:00:00Z"}
    write = {"cache_write_short_tokens": 25_000}
    long = {"input_tokens": 10_000, "cache_write_long_tokens": 10_000, "output_tokens": 2000}
    answers, _, _ = asked(tmp_path, {**call, "usage": usage | write}, {**call, "usage": long})
    assert [a["cost_usd"] for a in answers] == ["0.105500000000", "0.090000000000"]


NEGATIVE = {
    "misspelt tier": ({"context": {"service_tier": "flexx"}}, "unknown_context"),
    "a fact that no card knows": ({"context": {"moon": "full"}}, "unknown_context"),
    "unknown model": ({"model": "gpt-99"}, "no_sku"),
    "no model": ({"model": None}, "no_model"),
    "unknown provider": ({"provider": "nobody"}, "no_sku"),
    "before the model": ({"at": "2020-01-01T00:00:00Z"}, "before_history"),
    "nothing counted": ({"usage": {}}, "no_usage"),
    "null counts": ({"usage": {"token.input": None, "token.output": None}}, "no_usage"),
    "negative count": ({"usage": {"token.input": -1, "token.output": 5}}, "usage_inconsistent"),
    "parts beyond the whole": (
        {"usage": {"token.input": 10, "token.input.cache_read": 20, "token.input.total": 20}},
        "usage_inconsistent",
    ),
    "more reasoning than output": (
        {"usage": {"token.output": 5, "token.output.reasoning": 6}},
        "usage_inconsistent",
    ),
}


@pytest.mark.parametrize("case", NEGATIVE)
def test_what_is_not_known_has_no_price(case: str, tmp_path: Path) -> None:
    """Every negative case is unpriced with its own reason: null, never 0, never a crash."""
    more, reason = NEGATIVE[case]
    (answer,), code, _ = asked(tmp_path, {**GPT5, "usage": {"token.input": 1}, **more})
    assert (answer["cost_usd"], answer["cost_status"]) == (None, "unpriced")
    assert (answer["cost_reason"], code) == (reason, 0)


def test_one_kind_without_price_makes_it_partial(tmp_path: Path) -> None:
    """The part with a price is shown, and which kind has none; a retention never has another's."""
    call = {"provider": "anthropic", "model": "claude-sonnet-4-5", "at": "2026-11-20T12:00:00Z"}
    usage = {"token.input": 1000, "token.input.cache_write.12h": 1000}
    (answer,), _, _ = asked(tmp_path, {**call, "usage": {**usage, "token.output": 0}})
    assert (answer["cost_status"], answer["cost_reason"]) == ("partial", "no_line")
    assert answer["lines"][-1]["kind"] == "token.input.cache_write.12h"
    assert answer["lines"][-1]["amount_usd"] is None


def test_bad_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Each line that cannot be read is named by its number; all others have their answers."""
    good = {**GPT5, "id": "good", "usage": {"token.input": 1_000_000}}
    answers, code, error = asked(
        tmp_path,
        good,
        "{not json",
        "[]",
        {**good, "usage": {"token.inptu": 1}},
        {**good, "usage": {"token.input": "many"}},
        {**good, "usage": {"token.input": 1.5}},
        {**good, "usage": {"token.input": 10**30}},
        {**good, "at": "yesterday"},
        {**good, "colour": "red"},
        '{"id": 1, "usage": {"page": 1, "page": 2}}',
        "",
        {**good, "id": 7},
    )
    assert code == 1
    assert [int(line.split(":")[2]) for line in error.splitlines()] == list(range(2, 11))
    assert [a["id"] for a in answers if a["cost_usd"] == "1.250000000000"] == ["good", 7]
    assert [a["cost_status"] for a in answers].count("error") == 9
    assert all(a["error"] for a in answers if a["cost_status"] == "error")


def test_numbers_are_never_floats(tmp_path: Path) -> None:
    """A quantity with many digits is priced as written, not as the nearest float."""
    call = {"provider": "openai", "model": "container(1GB)", "at": "2026-11-20T12:00:00Z"}
    line = json.dumps({**call, "usage": {"container.second": 0}}).replace("0}", "333.333333333}")
    (answer,), _, _ = asked(tmp_path, line)
    assert answer["cost_usd"] == "0.008333333333"  # 333.333333333 * 0.0015 / 60


METERS = [
    ("container.second", "openai", "container(1GB)", "0.0075"),
    ("container.minute", "openai", "container(1GB)", "0.0075"),
    ("session.ms", "anthropic", None, "0.000000022222"),
    ("tool.web_search.call", "anthropic", "claude-opus-5", "0.01"),
    ("tool.search.credit", "tavily", None, "0.008"),
    ("vector.read_unit", "pinecone", None, "0.000016"),
    ("vector.write_unit", "pinecone", None, "0.000004"),
    ("rerank.search_unit", "cohere", "rerank-v3.5", "0.002"),
    ("rerank.token", "voyageai", "rerank-2.5", "0.00000005"),
    ("cache.storage.token_hour", "google", "gemini-3.6-flash", "0.0000005"),
]


@pytest.mark.parametrize(("kind", "provider", "model", "cost"), METERS, ids=[m[0] for m in METERS])
def test_meters_other_than_tokens(
    kind: str, provider: str, model: str | None, cost: str, tmp_path: Path
) -> None:
    """One unit of each kind of meter, at the price of its card."""
    call = {"provider": provider, "model": model, "at": GPT5["at"], "usage": {kind: 1}}
    (answer,), _, _ = asked(tmp_path, call)
    assert (Decimal(answer["cost_usd"]), answer["cost_status"]) == (Decimal(cost), "priced")


def test_wrong_use() -> None:
    """What is missing or said twice is refused in a sentence."""
    assert "--usage" in refusal("rates", "quote")
    assert "--file" in refusal("rates", "quote", *CALL, "--file", "x.jsonl")
    assert "name=value" in refusal("rates", "quote", *CALL, "--usage", "token.input")
    assert "leaf kind" in refusal("rates", "quote", *CALL, "--usage", "tokens=1")
    assert "cannot be read" in refusal("rates", "quote", "--file", "/nonexistent/q.jsonl")
