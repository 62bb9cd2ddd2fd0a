"""Every rule of who pays, drawn as trees, with the policy that the rule needs.

Behind `|`: feature that pays, how it was found, team that pays, team that did the work, reason
where nobody pays. Every span that is a step has them. Words in capitals stand for what an
instrumentation writes: LLM, EMBED, RETRIEVER, RERANKER, AGENT, TOOL:name, WEB (a request handler).
A case returns its policy as a file would say it; None is the default policy.
"""

import inspect
import re

import pytest

from agentcost_collector.attribute.policy import Policy
from tests.support.trees import draw
from tests.support.walked import walk_bodies

_SPELLED = {
    "LLM": "openinference.span.kind=LLM llm.token_count.prompt=5",
    "EMBED": "openinference.span.kind=EMBEDDING llm.token_count.prompt=5",
    "RETRIEVER": "openinference.span.kind=RETRIEVER",
    "RERANKER": "openinference.span.kind=RERANKER",
    "AGENT": "openinference.span.kind=AGENT",
    "WEB": "kind=server",
}
CASES = []


def case(drawing):
    """Adds a drawing to the suite."""
    CASES.append(drawing)
    return drawing


# --- where a tag is found ------------------------------------------------------------------------


@case
def on_the_call_itself():
    """A call that declares its feature pays with it.

    chat LLM feature=cart team=shop          | cart span shop shop -
    """


@case
def on_the_parent():
    """What the span above declares holds for what is beneath it.

    ask feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
    """


@case
def far_above():
    """However deep the call.

    ask feature=cart team=shop
      a
        b
          c
            chat LLM                         | cart ancestor shop shop -
    """


@case
def nearest_above():
    """Of two features above the nearer pays.

    ask feature=cart team=shop
      part feature=price
        chat LLM                             | price ancestor shop shop -
    """


@case
def tags_are_found_one_by_one():
    """Each tag comes from its own nearest place.

    ask feature=cart
      part team=money
        chat LLM                             | cart ancestor money money -
    """


@case
def alias_of_the_app():
    """`app.feature` says the same as `agentcost.feature`.

    ask app.feature=cart app.team=shop
      chat LLM                               | cart ancestor shop shop -
    """


@case
def first_alias_counts():
    """`agentcost.feature` is stronger than `app.feature` on the same span.

    ask app.feature=other feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
    """


@case
def association_properties():
    """The metadata prefix of a dialect.

    ask traceloop.association.properties.feature=cart
      chat LLM                               | cart ancestor - - -
    """


@case
def copied_baggage():
    """An attribute copied out of baggage is stronger than the resource.

    ask resource.feature=other
      chat LLM baggage.app.feature=cart      | cart baggage - - -
    """


@case
def span_above_beats_baggage():
    """What a span above declares is stronger than copied baggage.

    ask feature=cart
      chat LLM baggage.app.feature=other     | cart ancestor - - -
    """


@case
def own_resource():
    """A service that declares once, on its resource.

    ask resource.feature=cart resource.team=shop
      chat LLM                               | cart resource shop shop -
    """


@case
def resource_of_the_caller():
    """A gateway that declares nothing: the resource of the service that called it counts.

    ask service=web resource.feature=cart resource.team=shop
      proxy service=gateway resource.feature= resource.team= kind=server
        chat LLM                             | cart resource shop shop -
    """


@case
def nothing_anywhere():
    """Nobody declares anything: nobody pays, and it is said why.

    ask service=web
      chat LLM                               | - none - - no_tag
    """


@case
def attributes_of_the_policy():
    """The policy names the attribute that carries a tag; the default ones no longer count.

    ask product.area=cart feature=other
      chat LLM                               | cart ancestor - - -
    """
    return {"tags": {"feature": {"attributes": ["product.area"]}}}


@case
def default_of_the_policy():
    """What nothing declares gets the default, marked as such.

    ask team=shop
      chat LLM                               | unknown default shop shop -
    """
    return {"tags": {"feature": {"default": "unknown"}}}


# --- boundaries ----------------------------------------------------------------------------------


@case
def tool_in_the_same_process():
    """What a tool does is paid by its caller.

    ask feature=cart team=shop
      search TOOL:search                     | cart ancestor shop shop -
        chat LLM                             | cart ancestor shop shop -
    """


@case
def tool_that_declares():
    """What the tool declares is its owner, not the payer.

    ask feature=cart team=shop
      search TOOL:search feature=find team=infra     | cart ancestor shop infra -
        chat LLM                             | cart ancestor shop infra -
    """


@case
def tool_in_another_service():
    """The resource of the tool's service names the owner.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop shop -
        serve WEB service=search resource.feature=find resource.team=infra
          chat LLM                           | cart ancestor shop infra -
    """


@case
def retrieval():
    """A retrieval is a boundary.

    ask feature=cart team=shop
      look RETRIEVER team=infra feature=find         | cart ancestor shop infra -
        embed EMBED                          | cart ancestor shop infra -
    """


@case
def rerank():
    """A rerank is a boundary.

    ask feature=cart team=shop
      rank RERANKER team=infra feature=find
        chat LLM                             | cart ancestor shop infra -
    """


@case
def tool_in_a_tool():
    """The outermost boundary decides, the innermost owner did the work.

    ask feature=cart team=shop
      plan TOOL:plan feature=plans team=ml   | cart ancestor shop ml -
        search TOOL:search feature=find team=infra   | cart ancestor shop infra -
          chat LLM                           | cart ancestor shop infra -
    """


@case
def feature_between_two_tools():
    """A feature declared inside a tool does not pay for the tools that it calls.

    ask feature=cart team=shop
      plan TOOL:plan                         | cart ancestor shop shop -
        part feature=plans team=ml
          search TOOL:search                 | cart ancestor shop ml -
            chat LLM                         | cart ancestor shop ml -
    """


@case
def nearest_feature_above_the_tool():
    """Above the boundary the nearest feature pays.

    ask feature=cart team=shop
      part feature=price team=money
        search TOOL:search                   | price ancestor money money -
          chat LLM                           | price ancestor money money -
    """


@case
def beside_a_tool():
    """What runs beside a tool is no business of its owner.

    ask feature=cart team=shop
      search TOOL:search feature=find team=infra     | cart ancestor shop infra -
      chat LLM                               | cart ancestor shop shop -
    """


@case
def caller_declares_on_its_resource():
    """The caller's resource pays, the tool's own resource does not.

    ask service=web resource.feature=cart resource.team=shop
      search TOOL:search                     | cart resource shop shop -
        serve WEB service=search resource.feature=find resource.team=infra
          chat LLM                           | cart resource shop infra -
    """


@case
def baggage_at_the_callee():
    """Baggage copied inside the tool is none of its own: nobody above, so it counts as inside.

    search TOOL:search                       | - none - - no_tag
      chat LLM baggage.app.feature=cart      | cart inside - - -
    """


@case
def nobody_above_the_tool():
    """Without a caller what is declared inside counts, and says so.

    search TOOL:search feature=find team=infra       | find inside infra infra -
      chat LLM                               | find inside infra infra -
    """


@case
def caller_pays_even_without_a_team():
    """The caller's feature pays; the team, declared nowhere above, is found inside.

    ask feature=cart
      search TOOL:search team=infra          | cart ancestor infra infra -
        chat LLM                             | cart ancestor infra infra -
    """


@case
def handed_down_tags_name_no_owner():
    """A caller's team that is set again inside the tool was handed down; the service owns it.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop shop -
        serve WEB service=search resource.team=infra team=shop feature=cart
          chat LLM                           | cart ancestor shop infra -
    """


@case
def two_callers():
    """Two features through one tool service: each pays for its own call.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop shop -
        serve WEB service=search resource.team=infra
          chat LLM                           | cart ancestor shop infra -
    quote feature=quote team=sales service=crm
      search TOOL:search                     | quote ancestor sales sales -
        serve WEB service=search resource.team=infra
          chat LLM                           | quote ancestor sales infra -
    """


# --- transparent and absorb ----------------------------------------------------------------------


@case
def transparent_tool():
    """A transparent tool is no boundary: the nearest feature pays.

    ask feature=cart team=shop
      think TOOL:think feature=plans team=ml         | plans span ml ml -
        chat LLM                             | plans ancestor ml ml -
    """
    return {"boundaries": {"tools": {"think": "transparent"}}}


@case
def transparent_tool_by_name_only():
    """Other tools stay boundaries.

    ask feature=cart team=shop
      search TOOL:search feature=plans team=ml       | cart ancestor shop ml -
    """
    return {"boundaries": {"tools": {"think": "transparent"}}}


@case
def tool_within_a_transparent_tool():
    """Inside a transparent tool the next boundary counts.

    ask feature=cart team=shop
      think TOOL:think feature=plans team=ml         | plans span ml ml -
        search TOOL:search team=infra        | plans ancestor ml infra -
          chat LLM                           | plans ancestor ml infra -
    """
    return {"boundaries": {"tools": {"think": "transparent"}}}


@case
def transparent_service():
    """Tools that a transparent service reports are no boundaries.

    ask feature=cart team=shop service=web
      route TOOL:route service=gateway       | cart ancestor shop shop -
        part feature=plans team=ml
          chat LLM                           | plans ancestor ml ml -
    """
    return {"boundaries": {"services": {"gateway": "transparent"}}}


@case
def absorbing_tool():
    """The owner of an absorbing tool pays for it.

    ask feature=cart team=shop
      search TOOL:search feature=find team=infra     | find span infra infra -
        chat LLM                             | find ancestor infra infra -
      chat LLM                               | cart ancestor shop shop -
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def absorbing_tool_without_an_owner():
    """An absorbing tool that declares nobody is paid by the caller: no money is lost.

    ask feature=cart team=shop
      search TOOL:search                     | cart ancestor shop shop -
        chat LLM                             | cart ancestor shop shop -
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def absorbing_tool_with_a_team_only():
    """The owner pays as far as it is known; the caller's feature does not pay for another team.

    ask feature=cart team=shop
      search TOOL:search team=infra          | - none infra infra no_tag
        chat LLM                             | - none infra infra no_tag
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def absorbing_service():
    """What happens in an absorbing service is paid by it; the tool span of its caller is not.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop shop -
        serve WEB service=search resource.feature=find resource.team=infra
          chat LLM                           | find resource infra infra -
    """
    return {"boundaries": {"services": {"search": "absorb"}}}


@case
def tool_called_by_an_absorbing_tool():
    """Whoever absorbs pays for the tools that it calls.

    ask feature=cart team=shop
      search TOOL:search feature=find team=infra     | find span infra infra -
        rank TOOL:rank team=ml feature=ranks         | find ancestor infra ml -
          chat LLM                           | find ancestor infra ml -
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def absorbing_tool_within_a_tool():
    """Inside another tool the absorbing one still pays for itself.

    ask feature=cart team=shop
      plan TOOL:plan                         | cart ancestor shop shop -
        chat LLM                             | cart ancestor shop shop -
        search TOOL:search feature=find team=infra   | find span infra infra -
          chat LLM                           | find ancestor infra infra -
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def absorbed_call_seen_twice():
    """Client and server report one call of an absorbing tool: its first span begins it.

    ask feature=cart team=shop service=web
      search TOOL:search feature=find team=infra     | find span infra infra -
        search TOOL:search service=search kind=server
          chat LLM                           | find ancestor infra infra -
    """
    return {"boundaries": {"tools": {"search": "absorb"}}}


@case
def baggage_in_an_absorbing_service():
    """Baggage comes from the caller: it does not say who owns an absorbing service.

    ask feature=cart team=shop service=web
      serve WEB service=search resource.feature=find resource.team=infra
        chat LLM baggage.app.feature=cart baggage.app.team=shop  | find resource infra infra -
    """
    return {"boundaries": {"services": {"search": "absorb"}}}


# --- agents --------------------------------------------------------------------------------------


@case
def agent_pays_for_itself():
    """An agent inside no other is like any span: its feature pays.

    ask feature=cart team=shop
      planner AGENT feature=plans team=ml
        chat LLM                             | plans ancestor ml ml -
    """


@case
def sub_agent():
    """Of agents inside one another the outermost pays, the inner one did the work.

    boss AGENT feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
      helper AGENT feature=plans team=ml
        chat LLM                             | cart ancestor shop ml -
    """


@case
def sub_agent_in_another_service():
    """A sub-agent that declares on its resource is a boundary too.

    boss AGENT service=web resource.feature=cart resource.team=shop
      POST kind=client
        helper AGENT service=ml resource.feature=plans resource.team=ml
          chat LLM                           | cart resource shop ml -
    """


@case
def sub_agent_without_a_feature():
    """A sub-agent that declares no feature is no boundary.

    boss AGENT feature=cart team=shop
      helper AGENT
        part feature=price team=money
          chat LLM                           | price ancestor money money -
    """


@case
def sub_agent_with_the_same_feature():
    """A feature that is set again on every agent was handed down.

    boss AGENT feature=cart team=shop
      helper AGENT feature=cart team=shop
        part feature=price team=money
          chat LLM                           | price ancestor money money -
    """


@case
def agents_three_deep():
    """However many agents, the outermost pays.

    boss AGENT feature=cart team=shop
      helper AGENT feature=plans team=ml
        expert AGENT feature=laws team=legal
          chat LLM                           | cart ancestor shop legal -
    """


@case
def agent_as_tool():
    """An agent that is all that a tool does owns the tool's call as well.

    boss AGENT feature=cart team=shop
      research TOOL:research                 | cart ancestor shop ml -
        researcher AGENT feature=plans team=ml
          chat LLM                           | cart ancestor shop ml -
    """


@case
def agent_beside_other_work_in_a_tool():
    """A tool that does more than run an agent keeps its own owner.

    boss AGENT feature=cart team=shop
      research TOOL:research                 | cart ancestor shop shop -
        chat LLM                             | cart ancestor shop shop -
        researcher AGENT feature=plans team=ml
          chat LLM                           | cart ancestor shop ml -
    """


@case
def agent_as_absorbing_tool():
    """An agent that runs as an absorbing tool pays for all of it.

    boss AGENT feature=cart team=shop
      research TOOL:research                 | plans span ml ml -
        researcher AGENT feature=plans team=ml
          chat LLM                           | plans ancestor ml ml -
    """
    return {"boundaries": {"tools": {"research": "absorb"}}}


@case
def agent_as_transparent_tool():
    """Where the tool is transparent, so is the agent that is all it does.

    boss AGENT feature=cart team=shop
      research TOOL:research                 | cart ancestor shop shop -
        researcher AGENT feature=plans team=ml
          chat LLM                           | plans ancestor ml ml -
    """
    return {"boundaries": {"tools": {"research": "transparent"}}}


# --- product boundaries --------------------------------------------------------------------------

_PLANS = {"features": {"plans": {"product_boundary": True}}}


@case
def product_among_agents():
    """A sub-agent whose feature is a product pays for itself.

    boss AGENT feature=cart team=shop
      helper AGENT feature=plans team=ml
        chat LLM                             | plans ancestor ml ml -
      chat LLM                               | cart ancestor shop shop -
    """
    return _PLANS


@case
def product_inside_a_tool():
    """A product pays for itself even inside somebody's tool.

    ask feature=cart team=shop
      plan TOOL:plan                         | cart ancestor shop shop -
        part feature=plans team=ml
          chat LLM                           | plans ancestor ml ml -
    """
    return _PLANS


@case
def product_on_a_resource():
    """A service that is a product begins where it is entered.

    ask feature=cart team=shop service=web
      plan TOOL:plan                         | cart ancestor shop shop -
        serve WEB service=plans resource.feature=plans resource.team=ml
          chat LLM                           | plans resource ml ml -
    """
    return _PLANS


@case
def tool_called_by_a_product():
    """A product pays for the tools that it calls.

    ask feature=cart team=shop
      plan TOOL:plan feature=plans team=ml   | plans span ml ml -
        search TOOL:search team=infra        | plans ancestor ml infra -
          chat LLM                           | plans ancestor ml infra -
    """
    return _PLANS


@case
def feature_beneath_a_product():
    """Beneath a product the nearest feature pays, as anywhere.

    ask feature=cart team=shop
      part feature=plans team=ml
        detail feature=price
          chat LLM                           | price ancestor ml ml -
    """
    return _PLANS


@case
def team_of_a_product_is_not_the_callers():
    """A product without a team is not paid by the caller's team.

    ask feature=cart team=shop
      part feature=plans
        chat LLM                             | plans ancestor - - -
    """
    return _PLANS


# --- links and lost spans ------------------------------------------------------------------------


@case
def job_linked_to_its_request():
    """A job that declares nothing is paid by the request that its root links to.

    ask feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
    job link=ask
      chat LLM                               | cart link shop shop -
    """


@case
def job_with_its_own_feature():
    """What the job declares itself is stronger than a link.

    ask feature=cart team=shop
    job link=ask feature=digest team=mail
      chat LLM                               | digest ancestor mail mail -
    """


@case
def consumer_of_a_batch():
    """Each message of a batch is paid by the request that sent it.

    ask feature=cart team=shop
    quote feature=quote team=sales
    poll service=worker
      one kind=consumer link=ask
        chat LLM                             | cart link shop shop -
      two kind=consumer link=quote
        chat LLM                             | quote link sales sales -
    """


@case
def linked_into_a_tool():
    """A job that a tool started is paid by the tool's caller, as if it had run inside.

    ask feature=cart team=shop
      search TOOL:search feature=find team=infra     | cart ancestor shop infra -
        send kind=producer
    job link=send
      chat LLM                               | cart link shop shop -
    """


@case
def linked_into_a_product():
    """A job that a product started is paid by the product.

    ask feature=cart team=shop
      plan TOOL:plan                         | cart ancestor shop shop -
        part feature=plans team=ml
          send kind=producer
    job link=send
      chat LLM                               | plans link ml ml -
    """
    return _PLANS


@case
def link_on_a_tool_server():
    """A tool's server that does not continue the trace: its root is the tool, the link its caller.

    ask feature=cart team=shop
    search TOOL:search service=search link=ask       | cart link shop shop -
      chat LLM                               | cart link shop shop -
    """


@case
def link_inside_the_boundary():
    """What the inside of a tool links to did not call the tool.

    other feature=other team=others
    search TOOL:search                       | - none - - no_tag
      part link=other
        chat LLM                             | - none - - no_tag
    """


@case
def links_are_followed_once():
    """A link leads to what that trace itself says, not along its links.

    ask feature=cart team=shop
    first link=ask
    second link=first
      chat LLM                               | - none - - no_tag
    """


@case
def lost_parent():
    """A span above never came; it may have declared the feature.

    ask feature=cart team=shop
      chat LLM parent=lost                   | - none - - root_missing
    """


@case
def lost_root_above_a_feature():
    """A lost root costs nothing where the rest declares a feature.

    part parent=lost feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
    """


# --- values --------------------------------------------------------------------------------------

_KNOWN = {"tags": {"feature": {"values": ["cart", "price"]}}}


@case
def value_that_is_not_allowed():
    """A value that the policy does not know does not count as declared.

    ask feature=carrt team=shop
      chat LLM                               | - none shop shop tag_invalid
    """
    return _KNOWN


@case
def search_goes_on_past_an_invalid_value():
    """The next valid value above pays.

    ask feature=cart team=shop
      part feature=user-4711
        chat LLM                             | cart ancestor shop shop -
    """
    return _KNOWN


@case
def pattern_of_values():
    """A pattern is for the whole value.

    ask feature=cart team=shop
      part feature=cart!
        chat LLM                             | cart ancestor shop shop -
    """
    return {"tags": {"feature": {"pattern": "[a-z]+"}}}


@case
def value_that_is_too_long():
    """A value that is too long becomes `__other__`; its money stays visible.

    ask feature=abcdefghijk team=shop
      chat LLM                               | __other__ ancestor shop shop -
    """
    return {"limits": {"value_chars_max": 10}}


@case
def too_many_values_in_a_trace():
    """Of many values in one trace the first to begin are kept.

    ask team=shop
      a feature=a
        chat LLM                             | a ancestor shop shop -
      b feature=b
        chat LLM                             | b ancestor shop shop -
      c feature=c
        chat LLM                             | __other__ ancestor shop shop -
      d feature=d
        chat LLM                             | __other__ ancestor shop shop -
      again feature=a
        chat LLM                             | a ancestor shop shop -
    other feature=e team=shop
      chat LLM                               | e ancestor shop shop -
    """
    return {"limits": {"values_per_trace_max": 2}}


@case
def feature_that_is_not_required():
    """Where the policy requires no feature, that is the reason.

    ask environment=dev
      chat LLM                               | - none - - not_required
    live environment=prod
      chat LLM                               | - none - - no_tag
    """
    return {"tags": {"feature": {"required": ["prod"]}}}


@case
def another_tag_that_is_required():
    """A required tag that is missing is named as the reason, in that environment.

    ask environment=prod feature=cart team=shop
      chat LLM                               | cart ancestor shop shop required_tag_missing
    dev environment=dev feature=cart team=shop
      chat LLM                               | cart ancestor shop shop -
    """
    return {"tags": {"tenant": {"required": ["prod"]}}}


# --- rules ---------------------------------------------------------------------------------------


def rule(when, **given):
    """A policy of one rule."""
    return {"rules": [{"when": when, "set": given}]}


@case
def rule_by_service():
    """A rule gives tags to a service whose code nobody can change.

    ask service=legacy
      chat LLM                               | old rule core core -
    """
    return rule("service = 'legacy'", feature="old", team="core")


@case
def rule_is_weaker_than_a_declaration():
    """What spans and resources declare is stronger than a rule.

    ask service=legacy feature=cart resource.team=shop
      chat LLM                               | cart ancestor shop shop -
    """
    return rule("service = 'legacy'", feature="old", team="core")


@case
def rule_reaches_down():
    """A rule's tag holds beneath the span that it matches.

    checkout service=web
      step
        chat LLM                             | cart rule - - -
    """
    return rule("name = 'checkout'", feature="cart")


@case
def first_rule_counts():
    """Of two rules that set the same tag the first counts; the other may set another tag.

    ask service=web
      chat LLM                               | cart rule shop shop -
    """
    first = {"when": "kind = 'llm'", "set": {"feature": "cart"}}
    second = {"when": "service = 'web'", "set": {"feature": "other", "team": "shop"}}
    return {"rules": [first, second]}


@case
def rule_inside_a_tool():
    """What a rule says of a tool's service names its owner; the caller pays.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop shop -
        serve WEB service=search
          chat LLM                           | cart ancestor shop infra -
    """
    return rule("service = 'search'", feature="find", team="infra")


@case
def rule_for_the_owner():
    """A rule can name the owner of a tool, more exactly than its service does.

    ask feature=cart team=shop service=web
      search TOOL:search                     | cart ancestor shop infra -
        chat LLM                             | cart ancestor shop infra -
      chat LLM                               | cart ancestor shop shop -
    """
    return rule("tool = 'search'", owner_team="infra")


@case
def rule_for_the_owner_of_a_model():
    """Without a boundary too: a model that a team of the house runs.

    ask feature=cart team=shop
      chat LLM llm.model_name=house-7b       | cart ancestor shop ml -
    """
    return rule("model LIKE 'house-%'", owner_team="ml")


@case
def rule_by_attribute_and_resource():
    """Conditions read any attribute and resource attribute that they name.

    ask resource.k8s.namespace.name=agents http.route=/cart service=web
      chat LLM                               | cart rule - - -
    other resource.k8s.namespace.name=agents http.route=/price service=web
      chat LLM                               | - none - - no_tag
    """
    when = "attributes['http.route'] = '/cart' AND resource['k8s.namespace.name'] = 'agents'"
    return rule(when, feature="cart")


@case
def rule_that_fails_on_a_span():
    """A condition that cannot be computed for a span does not match it, and matches others.

    one shard=x7
      chat LLM                               | - none - - no_tag
    two shard=7
      chat LLM                               | cart rule - - -
    """
    return rule("CAST(attributes['shard'] AS INTEGER) > 3", feature="cart")


@case
def rule_for_an_absorbing_service():
    """An absorbing service that declares nothing is known by a rule.

    ask feature=cart team=shop service=web
      serve WEB service=search
        chat LLM                             | find rule infra infra -
    """
    return {
        **rule("service = 'search'", feature="find", team="infra"),
        "boundaries": {"services": {"search": "absorb"}},
    }


@case
def rule_before_inside_and_link():
    """A rule for the caller is stronger than what the tool declares.

    ask service=web
      search TOOL:search feature=find team=infra     | cart rule shop infra -
        chat LLM                             | cart rule shop infra -
    """
    return rule("name = 'ask'", feature="cart", team="shop")


def spelled_out(drawing):
    """A case's drawing, its short words written as attributes."""
    _, _, text = inspect.cleandoc(drawing.__doc__).partition("\n\n")
    text = re.sub(r"\bTOOL:(\w+)", r"openinference.span.kind=TOOL tool.name=\1", text)
    words = "|".join(_SPELLED)
    return re.sub(rf" ({words})\b(?=.*)", lambda m: f" {_SPELLED[m[1]]}", text)


@pytest.mark.parametrize("drawing", CASES, ids=lambda d: d.__name__)
def test_each_step_is_paid_and_owned_as_drawn(drawing):
    """Every drawn expectation holds, and every step was drawn with one."""
    tree = draw(spelled_out(drawing))
    policy = Policy.model_validate(drawing() or {})
    steps = {step["span_id"]: step for step in walk_bodies([tree.body()], policy).rows()}
    expected = {line.span_id: line for line in tree.lines if line.expected}
    assert steps.keys() == expected.keys()
    names = ("feature", "feature_from", "team", "owner_team", "unattributed_reason")
    for span_id, line in expected.items():
        found = tuple(steps[span_id][name] or "-" for name in names)
        assert found == line.expected, line.name


def test_the_suite_is_whole():
    """No two cases share a name, so that none hides another."""
    assert len({drawing.__name__ for drawing in CASES}) == len(CASES) >= 60
