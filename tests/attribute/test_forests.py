"""Random forests with random tags, boundaries and links: nothing is lost, order does not matter."""

import json
import random
from collections import defaultdict
from decimal import Decimal
from functools import cache

import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.attribute.policy import Policy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.kernel import Rulebook, kernel
from agentcost_collector.settings import Settings
from tests.support.walked import table_of, walk_table

START_NS = 1_790_000_000_000_000_000
MS = 1_000_000
KIND = "openinference.span.kind"
FEATURE = "agentcost.feature"
MODEL = {"llm.model_name": "gpt-4o-mini", "llm.provider": "openai"}
KINDS = ("", "LLM", "TOOL", "RETRIEVER", "AGENT")
FEATURES = ("cart", "price", "plans", "find")
SERVICES = ("web", "search", "gateway")
POLICY = Policy.model_validate(
    {
        "schema": "agentcost.policy/v1",
        "tags": {"feature": {"values": ["cart", "price", "plans"]}, "team": {"required": True}},
        "labels": ["plan"],
        "limits": {"values_per_trace_max": 2},
        "boundaries": {
            "tools": {"search": "absorb", "think": "transparent"},
            "services": {"search": "absorb", "gateway": "transparent"},
        },
        "features": {"plans": {"product_boundary": True}},
        "rules": [
            {"when": "service = 'gateway'", "set": {"feature": "price", "owner_team": "infra"}},
            {"when": "attributes['plan'] = 'gold'", "set": {"team": "gold"}},
        ],
    }
)


@st.composite
def forests(draw, at_most=10):
    """Spans of some traces as rows: parents come first, some are lost, some spans link."""
    rows = []
    for number in range(draw(st.integers(1, at_most))):
        groups = [r for r in rows if (KIND, "LLM") not in r["attributes"]]  # calls are leaves
        parent = draw(st.sampled_from([None, *groups, *groups]))
        kind = draw(st.sampled_from(KINDS))
        attributes = {KIND: kind} if kind else {}
        if kind == "LLM":
            attributes |= {**MODEL, "llm.token_count.prompt": str(1000 + number)}
        if kind == "TOOL":
            attributes["tool.name"] = draw(st.sampled_from(["search", "think", "other"]))
        for key, values in (
            ("agentcost.feature", FEATURES),
            ("agentcost.team", ("shop", "ml")),
            ("baggage.app.feature", FEATURES),
            ("plan", ("gold", "free")),
        ):
            value = draw(st.sampled_from([None, None, *values]))
            attributes |= {key: value} if value else {}
        service = draw(st.sampled_from(SERVICES))
        resource = {"service.name": service}
        if service == "search":
            resource |= {"feature": "find", "team": "infra"}
        target = draw(st.sampled_from([None, None, *rows])) if rows else None
        trace_id = parent["trace_id"] if parent else f"{number + 1:032x}"
        lost = draw(st.integers(0, 9)) == 0
        rows.append(
            {
                "trace_id": trace_id,
                "span_id": f"{number + 1:016x}",
                "parent_span_id": "f" * 16 if lost else parent and parent["span_id"],
                "kind": 1,
                "name": f"span {number}",
                "start_ns": START_NS + number * MS,
                "end_ns": START_NS + (number + 1) * MS,
                "status": 0,
                "scope_name": "forest",
                "resource": json.dumps(resource),
                "attributes": sorted(attributes.items()),
                "links": [{k: target[k] for k in ("trace_id", "span_id")}] if target else [],
                "dropped_attributes": 0,
                "received_at_ns": 0,
            }
        )
    return rows


@cache
def rulebook(policy_name):
    """The usual rule book with a policy of this file."""
    usual = Rulebook.of(Settings())
    policy = {"default": Policy(), "all": POLICY}[policy_name]
    return Rulebook(usual.vocabulary, usual.walk, policy, Rules(policy.rules), usual.rates)


def linked_traces(rows, trace_ids):
    """Traces that some traces link to, as the pipeline looks them up."""
    links = {k["trace_id"] for r in rows if r["trace_id"] in trace_ids for k in r["links"]}
    return links - trace_ids


@settings(max_examples=60, deadline=None)
@given(rows=forests(), policy=st.sampled_from(["default", "all"]))
def test_payers_owners_and_steps_add_up_to_the_same(rows, policy):
    """By payer, by owner and in all: every call is in each sum once, priced or not."""
    charges = kernel(table_of(rows), rulebook(policy)).to_pylist()
    calls = {r["span_id"] for r in rows if dict(r["attributes"]).get(KIND) == "LLM"}
    assert calls <= {c["span_id"] for c in charges}
    assert len({c["step_id"] for c in charges}) == len(charges)
    tokens = sum(int(dict(r["attributes"]).get("llm.token_count.prompt", 0)) for r in rows)
    whole = sum((c["cost_usd"] or 0 for c in charges), Decimal(0))
    # $0.15 for a million input tokens
    assert whole == tokens * Decimal("0.00000015")
    for columns in (("feature", "team"), ("owner_feature", "owner_team", "owner_service")):
        sums = defaultdict(Decimal)
        for charge in charges:
            sums[tuple(charge[name] for name in columns)] += charge["cost_usd"] or 0
        assert sum(sums.values()) == whole
    for charge in charges:
        assert (charge["feature"] is None) == (charge["feature_from"] == "none")
        if charge["feature"] is None:
            assert charge["unattributed_reason"] is not None


@settings(max_examples=40, deadline=None)
@given(rows=forests(), policy=st.sampled_from(["default", "all"]), seed=st.integers(0, 2**32))
def test_order_and_split_do_not_matter(rows, policy, seed):
    """Any order of arrival, and any split of the traces into batches, gives the same steps."""
    whole = kernel(table_of(rows), rulebook(policy))
    source = random.Random(seed)
    trace_ids = sorted({r["trace_id"] for r in rows})
    batch_of = {trace_id: source.randrange(3) for trace_id in trace_ids}
    found = []
    for batch in range(3):
        mine = {trace_id for trace_id in trace_ids if batch_of[trace_id] == batch}
        seen = mine | linked_traces(rows, mine)
        part = [r for r in rows if r["trace_id"] in seen]
        source.shuffle(part)
        charges = kernel(table_of(part), rulebook(policy))
        found += [c for c in charges.to_pylist() if c["trace_id"] in mine]
    found.sort(key=lambda c: (c["trace_id"], c["started_at"], c["step_id"]))
    assert found == whole.to_pylist()


def attribute(row, key):
    """An attribute of a span, or None."""
    return dict(row["attributes"]).get(key)


def resource_feature(row):
    """What the span's resource declares."""
    return json.loads(row["resource"]).get("feature")


def plainly_paid(rows):
    """Feature per span by the default policy, told as a story: climb, find the outermost tool,
    retrieval or sub-agent, and ask upwards from the one that called it."""
    by_id = {(r["trace_id"], r["span_id"]): r for r in rows}

    def above(row):
        return by_id.get((row["trace_id"], row["parent_span_id"]))

    def chain_of(row):
        chain = [row]
        while above(chain[-1]):
            chain.append(above(chain[-1]))
        return chain

    def worker(row):
        """The nearest tool, retrieval, agent or call above."""
        return next((r for r in chain_of(row)[1:] if attribute(r, KIND)), None)

    def own(row):
        mine = [r for r in rows if attribute(r, KIND) and worker(r) is row]
        runs_agent = len(mine) == 1 and attribute(mine[0], KIND) == "AGENT"
        lent = runs_agent and attribute(row, KIND) == "TOOL" and attribute(mine[0], FEATURE)
        return attribute(row, FEATURE) or lent or None

    def is_boundary(chain, at):
        row, higher = chain[at], chain[at + 1 :]
        if attribute(row, KIND) != "AGENT":
            return attribute(row, KIND) in ("TOOL", "RETRIEVER")
        mine = attribute(row, FEATURE)
        if not mine and (not higher or resource_feature(higher[0]) != resource_feature(row)):
            mine = resource_feature(row)
        known = next((f for r in higher if (f := attribute(r, FEATURE))), None)
        return any(attribute(r, KIND) == "AGENT" for r in higher) and mine not in (None, known)

    def asked(chain):
        for value in (own, lambda r: attribute(r, "baggage.app.feature"), resource_feature):
            for row in chain:
                if value(row):
                    return value(row)
        return None

    def paid(row):
        chain = chain_of(row)
        outermost = max((n for n in range(len(chain)) if is_boundary(chain, n)), default=-1)
        return asked(chain[outermost + 1 :]) or asked(chain)

    return {r["span_id"]: paid(r) for r in rows}


@settings(max_examples=100, deadline=None)
@given(rows=forests())
def test_the_payer_is_the_one_that_a_plain_search_finds(rows):
    """Against a search written as one would tell it, span by span; without links."""
    rows = [{**row, "links": []} for row in rows]
    expected = plainly_paid(rows)
    for step in walk_table(table_of(rows)).rows():
        assert step["feature"] == expected[step["span_id"]], step["name"]


@settings(max_examples=20, deadline=None)
@given(rows=forests(at_most=20), limit=st.integers(1, 3))
def test_no_trace_has_more_values_than_the_policy_allows(rows, limit):
    """Beyond the limit a trace's features are `__other__`, with all of their steps."""
    rows = [{**row, "links": []} for row in rows]
    policy = Policy.model_validate({"limits": {"values_per_trace_max": limit}})
    steps = walk_table(table_of(rows), policy=policy).steps
    assert steps.num_rows == walk_table(table_of(rows)).steps.num_rows
    for trace_id in pc.unique(steps.column("trace_id")):
        mine = steps.filter(pc.equal(steps.column("trace_id"), trace_id))
        assert len(set(mine.column("feature").drop_null().to_pylist()) - {"__other__"}) <= limit
