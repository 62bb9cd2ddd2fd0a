"""What a sender's credential pins stands before everything that spans and resources say."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agentcost_collector.attribute.policy import Policy
from agentcost_collector.decode.config import Config
from agentcost_collector.decode.decode import Decoder
from agentcost_collector.kept import keep_of
from agentcost_collector.model.access import UNBOUND, Binding
from agentcost_collector.model.payload import Payload
from tests.support.trees import draw
from tests.support.walked import VOCABULARY, walk_table

ACME = Binding(tenant="acme")
PROD = Binding(tenant="acme", environment="prod")
SHARED = Binding(tenant="platform")

TREE = """
ask tenant=liar environment=dev service=shop
  chat openinference.span.kind=LLM llm.token_count.prompt=5 llm.model_name=gpt-4o
  look openinference.span.kind=TOOL
    serve tenant=search-team service=search
      embed openinference.span.kind=EMBEDDING llm.token_count.prompt=5
"""


def sent(tree, policy=None, **bindings):
    """SPANS of the drawing, each service in a request of its own with its binding; all in one
    group."""
    decoder = Decoder(keep_of((), VOCABULARY, policy or Policy()), Config())
    whole = ExportTraceServiceRequest.FromString(draw(tree).body())
    payloads = []
    for resource_spans in whole.resource_spans:
        texts = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
        part = ExportTraceServiceRequest(resource_spans=[resource_spans])
        binding = bindings.get(texts["service.name"], UNBOUND)
        payloads.append(Payload(part.SerializeToString(), 0, binding))
    decoded = decoder.decode(payloads)
    assert not decoded.rejects.num_rows
    return decoded.spans


def tags_of(spans, policy=None):
    """(tenant, how found, environment, how found) of each step, by name."""
    rows = walk_table(spans, policy=policy or Policy()).rows()
    return {
        r["name"]: (r["tenant"], r["tenant_from"], r["environment"], r["environment_from"])
        for r in rows
    }


def test_nothing_pinned_changes_nothing():
    """Without a binding the declared tags count, and the resources are as they came."""
    spans = sent(TREE)
    assert tags_of(spans)["embed"] == ("liar", "ancestor", "dev", "ancestor")
    assert "pinned" not in "".join(spans["resource"].unique().to_pylist())


def test_a_pin_beats_what_spans_declare():
    """The tenant of the token counts for all that was sent with it; a tag that it does not pin
    stays as declared."""
    found = tags_of(sent(TREE, shop=ACME, search=ACME))
    assert found["chat"] == ("acme", "credential", "dev", "ancestor")
    assert found["embed"] == ("acme", "credential", "dev", "ancestor")
    found = tags_of(sent(TREE, shop=PROD, search=PROD))
    assert found["embed"] == ("acme", "credential", "prod", "credential")


def test_a_sender_charges_its_own_tenant_only():
    """Spans hung beneath another tenant's trace stay with the tenant whose token sent them; those
    sent without a pin follow their caller, as its token says, not its attributes."""
    found = tags_of(sent(TREE, shop=ACME, search=SHARED))
    assert found["chat"][:2] == ("acme", "credential")
    assert found["embed"][:2] == ("platform", "credential")
    found = tags_of(sent(TREE, shop=ACME))
    assert found["embed"][:2] == ("acme", "ancestor")


@pytest.mark.parametrize("where", ["agentcost.pinned.tenant", "resource.agentcost.pinned.tenant"])
def test_a_sender_cannot_pin(where):
    """The reserved key of a sender is dropped, as an attribute and in the resource, even where
    the policy reads it as an alias; with a pin there is one, of the token."""
    tree = f"""
chat openinference.span.kind=LLM llm.token_count.prompt=5 service=shop {where}=evil
"""
    policy = Policy.model_validate(
        {"tags": {"tenant": {"attributes": ["agentcost.pinned.tenant"]}}}
    )
    spans = sent(tree)
    assert "evil" not in json.dumps(spans["resource"].to_pylist())
    assert tags_of(spans)["chat"][:2] == (None, "none")
    spans = sent(tree, policy, shop=ACME)
    (resource,) = spans["resource"].to_pylist()
    assert json.loads(resource)["agentcost.pinned.tenant"] == "acme"
    assert tags_of(spans, policy)["chat"][:2] == ("acme", "credential")


def test_a_pin_beats_the_policy():
    """Neither a list of allowed values nor a default nor a rule takes it away."""
    policy = Policy.model_validate(
        {
            "tags": {"tenant": {"values": ["known"], "default": "known"}},
            "rules": [{"when": "service = 'shop'", "set": {"tenant": "ruled"}}],
        }
    )
    found = tags_of(sent(TREE, shop=ACME, search=ACME), policy)
    assert {row[:2] for row in found.values()} == {("acme", "credential")}


def test_one_group_keeps_bindings_apart():
    """Equal resources in requests with other bindings, decoded in one call, do not mix."""
    decoder = Decoder(keep_of((), VOCABULARY, Policy()), Config())
    bodies = [draw(f"chat n={n} service=shop").body() for n in range(6)]
    bindings = [ACME, UNBOUND, SHARED, ACME, PROD, UNBOUND]
    payloads = [Payload(b, 0, w) for b, w in zip(bodies, bindings, strict=True)]
    payloads.insert(2, Payload(b"\xff", 0, SHARED))  # malformed: the others keep their places
    texts = pa.table(decoder.decode(payloads).spans)["resource"].to_pylist()
    pins = [
        (r.get("agentcost.pinned.tenant"), r.get("agentcost.pinned.environment"))
        for r in map(json.loads, texts)
    ]
    assert pins == [(w.tenant, w.environment) for w in bindings]
