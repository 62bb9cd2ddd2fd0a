"""Conditions of rules: what passes, what is refused, and what a failing one costs."""

import pickle

import pytest

from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import COLUMNS, RuleError, Rules
from agentcost_collector.normalise import normalise_spans
from tests.support.trees import draw
from tests.support.walked import VOCABULARY, decode

DRAWING = """
ask service=web scope=app feature=cart resource.k8s.ns=agents
  chat gpt kind=client status=error openinference.span.kind=LLM llm.model_name=gpt-4o shard=7
  look openinference.span.kind=TOOL tool.name=search shard=x7 service=search
"""


def policy_of(*conditions):
    """A policy of rules with these conditions."""
    rules = [{"when": when, "set": {"team": "any"}} for when in conditions]
    return Policy.model_validate({"rules": rules})


def names_matched(*conditions):
    """Per condition the names of the drawn spans that it matches."""
    policy = policy_of(*conditions)
    spans = decode([draw(DRAWING).body()], policy)
    facts = normalise_spans(spans, VOCABULARY)
    kind = facts.column("kind").to_numpy()
    names = spans.column("name").to_pylist()
    matched = Rules(policy.rules).match(spans, facts, kind)
    return [{n for n, hit in zip(names, row, strict=True) if hit} for row in matched]


@pytest.mark.parametrize(
    ("when", "matched"),
    [
        ("true", {"ask", "chat gpt", "look"}),
        ("name = 'ask'", {"ask"}),
        ("kind = 'llm'", {"chat gpt"}),
        ("kind IN ('tool', 'llm') AND NOT status = 'error'", {"look"}),
        ("span_kind = 'client' OR tool = 'search'", {"chat gpt", "look"}),
        ("scope = 'app' AND service <> 'web'", {"look"}),
        ("model LIKE 'gpt%' AND lower(provider) = 'openai'", {"chat gpt"}),
        ("model IS NULL", {"ask", "look"}),
        ("feature = 'cart'", {"ask"}),
        ("resource['k8s.ns'] = 'agents' AND service = 'search'", {"look"}),
        ("regexp_matches(name, '^(ask|look)$')", {"ask", "look"}),
        ("CAST(attributes['shard'] AS INTEGER) > 3", {"chat gpt"}),
        ("NOT (CAST(attributes['shard'] AS INTEGER) > 3)", set()),
        ("CASE WHEN name = 'ask' THEN true END -- a comment", {"ask"}),
        ("name BETWEEN 'a' AND 'b' OR starts_with(name, 'lo')", {"ask", "look"}),
        ("ATTRIBUTES['shard'] = '7'", {"chat gpt"}),
    ],
)
def test_conditions_see_the_columns_of_a_span(when, matched):
    """Structure, facts, tags, attributes; what cannot be computed for a span is no match."""
    assert names_matched(when) == [matched]


def test_a_failing_condition_costs_the_others_nothing():
    """Each condition is tried alone, on each span alone."""
    found = names_matched("CAST(name AS INTEGER) = 1", "name = 'ask'", "1 // length('') = 1")
    assert found == [set(), {"ask"}, set()]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("servce = 'x'", "servce is not a column of a span; did you mean service?"),
        ("spans.name = 'x'", "spans.name is not a column"),
        ("name = ", "not a condition"),
        ("name", "gives VARCHAR; compare it"),
        ("1", "gives INTEGER; compare it"),
        ("name + 1 = 'a' + true", "cannot be"),
        ("true) AS a, (true", "not one condition"),
        ("true; DROP TABLE spans", "not a condition"),
        ("true) FROM spans WHERE (true", "not a condition"),
        ("(SELECT true)", "a subquery is not allowed"),
        ("EXISTS (FROM read_csv('/etc/passwd'))", "a subquery is not allowed"),
        ("name IN (SELECT content FROM read_text('/etc/passwd'))", "a subquery is not allowed"),
        ("getenv('HOME') = 'x'", "getenv is not a function"),
        ("random() < 0.5", "random is not a function"),
        ("now() > '2026-01-01'", "now is not a function"),
        ("sum(1) > 1", "sum is not a function"),
        ("lowr(name) = 'a'", "did you mean lower?"),
        ("row_number() OVER () = 1", "a window is not allowed"),
        ("COLUMNS(*) = 'x'", "a star is not allowed"),
        ("name = ?", "a parameter is not allowed"),
        ("attributes[name] = 'x'", "read attributes by a key in quotes"),
        ("attributes['a' || 'b'] = 'x'", "read attributes by a key in quotes"),
        ("resource = '{}'", "read resource by a key in quotes"),
        ("attributes['a'] = attributes['A']", "differ only in case"),
        ("[" * 400, "not a condition"),
    ],
)
def test_what_is_no_condition_over_one_span_is_refused(when, told):
    """When the policy is loaded, with the number of the rule and what to do."""
    with pytest.raises(RuleError) as refused:
        Rules(policy_of("true", when).rules)
    assert refused.value.rule == 1
    assert told in str(refused.value)


@pytest.mark.parametrize("column", [c for c in COLUMNS if c not in ("attributes", "resource")])
def test_every_column_can_be_used(column):
    """No documented column fails where it is used."""
    (matched,) = names_matched(f"{column} IS NULL OR {column} IS NOT NULL")
    assert matched == {"ask", "chat gpt", "look"}


def test_deep_brackets_are_refused_without_a_crash():
    """What DuckDB's parser does not follow is a condition that cannot be used."""
    with pytest.raises(RuleError):
        Rules(policy_of("(" * 2000 + "true" + ")" * 2000).rules)


def test_rules_can_be_sent_to_another_process():
    """A pickled rule set is compiled again where it arrives."""
    rules = Rules(policy_of("name = 'ask'").rules)
    assert pickle.loads(pickle.dumps(rules)).rules == rules.rules
