"""Who pays and who did the work, drawn as trees.

In each drawing the columns behind `|` are: feature that pays, how it was found, owner's service,
owner's team. Only spans that are steps have columns.
"""

import pytest

from tests.support.trees import drawn_in
from tests.support.walked import walk_bodies


def call_below_a_feature():
    """The nearest feature above a call pays for it.

    checkout feature=cart team=shop service=web       | -
      chat openinference.span.kind=LLM llm.token_count.prompt=5   | cart ancestor web shop
    """


def call_that_declares_its_own():
    """A feature on the call itself is nearest of all.

    checkout feature=cart team=shop service=web
      chat openinference.span.kind=LLM llm.token_count.prompt=5 feature=up  | up span web shop
    """


def nested_feature():
    """A feature declared further down pays for its own subtree.

    report feature=weekly team=bi service=bi
      chat openinference.span.kind=LLM llm.token_count.prompt=5       | weekly ancestor bi bi
      captions feature=charts team=viz
        chat openinference.span.kind=LLM llm.token_count.prompt=6     | charts ancestor bi viz
    """


def tool_in_another_service():
    """What a tool does is paid by the caller, though its service declares a feature and a team.

    ask feature=bot team=sales service=api
      search openinference.span.kind=TOOL                             | bot ancestor api sales
        serve kind=server service=search resource.team=infra feature=search-api
          chat openinference.span.kind=LLM llm.token_count.prompt=5   | bot ancestor search infra
    """


def feature_of_the_tool_itself():
    """A feature on the tool span is inside the boundary: the caller still pays.

    ask feature=bot team=sales service=api
      search openinference.span.kind=TOOL feature=search-api          | bot ancestor api sales
        chat openinference.span.kind=LLM llm.token_count.prompt=5     | bot ancestor api sales
    """


def outermost_boundary():
    """Of nested tools the outermost decides: whoever called it first pays for everything.

    ask feature=bot team=sales service=api
      plan openinference.span.kind=TOOL                               | bot ancestor api ml
        agent openinference.span.kind=AGENT feature=planner team=ml
          search openinference.span.kind=TOOL                         | bot ancestor api ml
            chat openinference.span.kind=LLM llm.token_count.prompt=5 | bot ancestor api ml
    """


def retrieval_is_a_boundary():
    """A retrieval is a boundary like a tool.

    ask feature=bot team=sales service=api
      retrieve openinference.span.kind=RETRIEVER feature=search team=find   | bot ancestor api find
        embed openinference.span.kind=EMBEDDING llm.token_count.prompt=5    | bot ancestor api find
    """


def nothing_above_the_boundary():
    """Where nobody called, what is declared inside counts, and the source says so.

    search openinference.span.kind=TOOL feature=api team=find service=find | api inside find find
      chat openinference.span.kind=LLM llm.token_count.prompt=5            | api inside find find
    """


def feature_on_the_resource():
    """A service that declares its feature once, on the resource.

    ask service=api resource.feature=bot resource.team=sales
      chat openinference.span.kind=LLM llm.token_count.prompt=5       | bot resource api sales
    """


def feature_from_baggage():
    """An attribute copied out of baggage is weaker than a declaration, stronger than the resource.

    ask service=api resource.feature=other baggage.app.feature=bot resource.team=sales
      chat openinference.span.kind=LLM llm.token_count.prompt=5       | bot baggage api sales
    """


def lost_middle():
    """A call whose parent never arrived has nobody above it: nobody pays, and it is counted.

    ask feature=bot team=sales service=api
      step
        chat openinference.span.kind=LLM llm.token_count.prompt=5 parent=lost   | - none api -
    """


def linked_trace():
    """A trace that declares nothing is paid by the one that its root links to.

    ask feature=digest team=content service=api
      chat openinference.span.kind=LLM llm.token_count.prompt=5       | digest ancestor api content
    followup link=ask service=worker
      chat openinference.span.kind=LLM llm.token_count.prompt=6       | digest link worker content
    """


def two_features_through_one_tool_service():
    """Two callers of one tool service: each pays for its own call, the service owns both.

    cart feature=cart team=shop service=web
      price openinference.span.kind=TOOL                              | cart ancestor web shop
        serve kind=server service=pricing resource.team=money
          chat openinference.span.kind=LLM llm.token_count.prompt=5   | cart ancestor pricing money
    quote feature=quote team=sales service=crm
      price openinference.span.kind=TOOL                              | quote ancestor crm sales
        serve kind=server service=pricing resource.team=money
          chat openinference.span.kind=LLM llm.token_count.prompt=6   | quote ancestor pricing money
    """


DRAWINGS = [
    call_below_a_feature,
    call_that_declares_its_own,
    nested_feature,
    tool_in_another_service,
    feature_of_the_tool_itself,
    outermost_boundary,
    retrieval_is_a_boundary,
    nothing_above_the_boundary,
    feature_on_the_resource,
    feature_from_baggage,
    lost_middle,
    linked_trace,
    two_features_through_one_tool_service,
]


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.__name__)
def test_payer_and_owner_are_as_drawn(drawing):
    """Every drawn expectation holds, and every step was drawn with one."""
    tree = drawn_in(drawing)
    steps = {step["span_id"]: step for step in walk_bodies([tree.body()]).rows()}
    expected = {line.span_id: line for line in tree.lines if len(line.expected) == 4}
    assert steps.keys() == expected.keys()
    for span_id, line in expected.items():
        step = steps[span_id]
        found = (step["feature"], step["feature_from"], step["owner_service"], step["owner_team"])
        assert tuple(value or "-" for value in found) == line.expected, line.name


def test_the_path_names_every_span_from_the_root():
    """Paths are what flame graphs are made of.

    ask
      plan
        chat openinference.span.kind=LLM llm.token_count.prompt=5
    """
    tree = drawn_in(test_the_path_names_every_span_from_the_root)
    assert [s["path"] for s in walk_bodies([tree.body()]).rows()] == ["ask;plan;chat"]
