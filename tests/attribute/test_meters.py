"""What is billable beside tokens, drawn as trees. Behind `|`: kind, tool, units, unit."""

import pytest

from tests.support.trees import draw, drawn_in
from tests.support.walked import decode, walk_bodies


def vector_database():
    """A query with the units that the database reported; the retriever around it is no second step.

    ask
      retrieve openinference.span.kind=RETRIEVER
        query db.system=pinecone pinecone.usage.read_units=6       | retrieval - 6 vector.read_unit
    """


def writes_to_a_vector_database():
    """Writes are counted like searches, the innermost of one another; care of the store is free.

    ask
      upsert db.system=pinecone pinecone.usage.write_units=5       | retrieval - 5 vector.write_unit
      qdrant.upload_collection db.system=Qdrant
        qdrant.upsert db.system=Qdrant                             | retrieval - - -
      delete db.system=milvus db.operation=delete                  | retrieval - - -
      chroma.create_collection db.system=chroma
      search db.system=milvus db.operation=search                  | retrieval - - -
    """


def request_to_a_metered_api():
    """An HTTP request to an API that charges for calls is a step, named by its host.

    ask
      search openinference.span.kind=TOOL tool.name=web             | tool web - -
        POST kind=client http.method=POST http.url=https://api.exa.ai/s?key=x  | tool api.exa.ai - -
    """


def two_http_libraries():
    """One request that two libraries report is one step.

    ask
      POST kind=client http.method=POST server.address=api.exa.ai   | tool api.exa.ai - -
        POST kind=client http.request.method=POST server.address=api.exa.ai
    """


def request_under_a_model_call():
    """The transport of a call that is counted is not counted again.

    ask
      chat openinference.span.kind=LLM llm.token_count.prompt=5     | llm - - -
        POST kind=client http.method=POST server.address=api.openai.com
    """


def request_to_a_provider_nobody_instrumented():
    """A model call that only HTTP saw is a call without usage.

    ask
      POST kind=client http.method=POST server.address=api.openai.com  | llm - - -
    """


def requests_to_a_provider_by_path():
    """Of requests whose URL is known, only those to the paths of model calls are calls.

    ask
      POST http.method=POST http.url=https://api.openai.com/v1/chat/completions      | llm - - -
      POST kind=client http.method=POST http.url=https://api.openai.com/v1/files
      POST kind=client http.method=POST http.url=https://api.anthropic.com/v1/messages?beta=true \
| llm - - -
      POST kind=client http.method=POST http.url=https://api.anthropic.com/v1/messages/count_tokens
      POST kind=client http.method=POST http.url=https://api.anthropic.com/v1/messages/batches
      POST kind=client http.method=POST http.url=https://api.openai.com/v1/threads/t/messages
      POST kind=client http.method=POST url.full=https://api.openai.com:443/v1/embeddings/#x \
| embedding - - -
      POST kind=client http.method=POST url.full=https://api.openai.com/v1/files?a=/v1/embeddings
      POST kind=client http.method=POST server.address=generativelanguage.googleapis.com \
url.template=/v1beta/models/{model}:generateContent                          | llm - - -
      POST kind=client http.method=POST server.address=generativelanguage.googleapis.com \
url.template=/v1beta/models/{model}:countTokens
      POST kind=client http.method=POST \
url.full=https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse-stream  | llm - - -
    """


def ordinary_request():
    """Other requests, and those that come in, are no steps.

    POST kind=server http.method=POST server.address=api.openai.com
      GET kind=client http.method=GET server.address=inventory.internal
    """


def units_of_our_own():
    """Any unit can be counted with an attribute of ours.

    ask
      render agentcost.units.page=12                                | other - 12 page
    """


def measured_seconds():
    """A span with measured seconds is compute.

    ask
      train agentcost.kind=compute agentcost.gpu_seconds=2.5        | compute - - -
    """


def time_of_its_own():
    """Compute that measured nothing has the time that its children, overlapping or not, left over.

    ask
      transform agentcost.kind=compute start=0 end=1000       | compute - 0.55 compute.self_second
        part start=100 end=400
        part start=300 end=500
        part start=950 end=1200
    """


def one_tool_call_seen_four_times():
    """Framework, client, server and handler of one tool call are one step.

    ask service=api
      quote openinference.span.kind=TOOL tool.name=quote scope=framework   | tool quote - -
        MCP send tools/call quote scope=mcp-python-sdk mcp.method.name=tools/call kind=client
          tools/call quote service=tools mcp.method.name=tools/call kind=server
            handler openinference.span.kind=TOOL tool.name=quote scope=handler
    """


def a_tool_that_calls_itself():
    """Recursion is several calls: same scope, same process.

    ask service=api
      walk openinference.span.kind=TOOL tool.name=walk              | tool walk - -
        walk openinference.span.kind=TOOL tool.name=walk            | tool walk - -
    """


DRAWINGS = [
    vector_database,
    writes_to_a_vector_database,
    request_to_a_metered_api,
    two_http_libraries,
    request_under_a_model_call,
    request_to_a_provider_nobody_instrumented,
    requests_to_a_provider_by_path,
    ordinary_request,
    units_of_our_own,
    measured_seconds,
    time_of_its_own,
    one_tool_call_seen_four_times,
    a_tool_that_calls_itself,
]


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.__name__)
def test_steps_and_units_are_as_drawn(drawing):
    """Every drawn expectation holds, and every step was drawn with one."""
    tree = drawn_in(drawing)
    steps = {step["span_id"]: step for step in walk_bodies([tree.body()]).rows()}
    expected = {line.span_id: line for line in tree.lines if line.expected}
    assert steps.keys() == expected.keys()
    for span_id, line in expected.items():
        step = steps[span_id]
        units = None if step["units"] is None else f"{step['units'].normalize():f}"
        found = (step["kind"], step["tool"], units, step["unit"])
        assert tuple(value or "-" for value in found) == line.expected, line.name


@pytest.mark.parametrize(
    ("drawing", "operation"),
    [
        ("pinecone.upsert db.system=Pinecone", "upsert"),
        ("chroma.query db.system=chroma db.operation=query", "query"),
        (
            "QUERY docs db.system.name=qdrant db.operation.name=UPSERT "
            "gen_ai.operation.name=vectordb",
            "upsert",
        ),
        ("find openinference.span.kind=RETRIEVER", None),
    ],
)
def test_what_was_done_to_a_vector_database_is_told(drawing, operation):
    """Searches and writes differ in `operation`, whoever instrumented the client."""
    (step,) = walk_bodies([draw(drawing).body()]).rows()
    assert (step["kind"], step["operation"]) == ("retrieval", operation)


def test_a_write_is_no_boundary():
    """What happens within a write is paid and owned as if it was not there; within a search not."""
    tree = draw("""
    ask agentcost.feature=outer
      add db.system=chroma db.operation=add agentcost.feature=inner
        embed openinference.span.kind=EMBEDDING llm.token_count.prompt=5
      get db.system=chroma db.operation=query agentcost.feature=inner
        embed again openinference.span.kind=EMBEDDING llm.token_count.prompt=5
    """)
    steps = {step["name"]: step["feature"] for step in walk_bodies([tree.body()]).rows()}
    assert steps["embed"] == "inner"
    assert steps["embed again"] == "outer"


@pytest.mark.parametrize(
    ("drawing", "value"),
    [
        ("call agentcost.kind=llm operation.cost=0.0005 gen_ai.usage.input_tokens=1", "0.0005"),
        ("call agentcost.kind=llm llm.cost.total=1e-3 llm.token_count.prompt=1", "0.001"),
        ("call agentcost.kind=llm gen_ai.usage.cost=0.25 gen_ai.usage.input_tokens=1", "0.25"),
        ("call agentcost.kind=llm gen_ai.cost.total_cost=2 gen_ai.usage.input_tokens=1", "2"),
        ("call agentcost.kind=llm operation.cost=nan gen_ai.usage.input_tokens=1", None),
        ("call agentcost.kind=llm operation.cost=-1 gen_ai.usage.input_tokens=1", None),
    ],
)
def test_what_the_emitter_says_it_cost_is_kept_beside(drawing, value):
    """Reported cost in every spelling; what is no amount is NULL, never 0."""
    (step,) = walk_bodies([draw(drawing).body()]).rows()
    found = step["reported_cost_usd"]
    assert (None if found is None else f"{found.normalize():f}") == value


def test_no_part_of_a_url_but_its_host_is_kept():
    """Paths and queries of URLs may hold secrets; the known end of a path holds none."""
    url = "https://user:pw@api.tavily.com:443/search?key=s3cret#frag"
    tree = draw(f'POST kind=client http.method=POST http.url="{url}"')
    result = walk_bodies([tree.body()])
    kept = dict(result.spans.column("attributes").to_pylist()[0])
    assert kept == {"http.method": "POST", "http.url": "api.tavily.com"}
    assert [s["tool"] for s in result.rows()] == ["api.tavily.com"]
    url = "https://user:pw@acme.openai.azure.com/openai/deployments/s3cret/completions?key=s3cret"
    tree = draw(f'POST kind=client http.method=POST http.url="{url}"')
    kept = dict(walk_bodies([tree.body()]).spans.column("attributes").to_pylist()[0])
    assert kept == {"http.method": "POST", "http.url": "acme.openai.azure.com/completions"}


def test_of_a_providers_metadata_only_numbers_by_name_are_kept():
    """The JSON beside them may hold thoughts and citations, and those may look like counts."""
    metadata = (
        '{"anthropic": {"thinking": "s3cret \\"cacheReadInputTokens\\": 7", "s3cret": 5, '
        '"cacheReadInputTokens" : 12, "usage": {"ephemeral_1h_input_tokens": 1.5}}}'
    )
    tree = draw(f"""
    call ai.operationId=x 'ai.response.providerMetadata={metadata}'
    call ai.operationId=x 'ai.response.providerMetadata={{"openai":{{"s3cret":0}}}}'
    """)
    kept = [dict(row) for row in decode([tree.body()]).column("attributes").to_pylist()]
    assert kept == [
        {"ai.operationId": "x", "ai.response.providerMetadata": '{"cacheReadInputTokens":12}'},
        {"ai.operationId": "x"},
    ]
