"""The stacks that report one call twice, or report what is no call, drawn as trees.

Behind `|` stands every step that must come out, and no other: kind, feature that pays, all input
and all output (`-` where no span says it), then the parts that are not zero. What was billed is
written from the providers' side. Keys are shortened as in SHORT. Times are in milliseconds.
"""

import re

import pytest

from tests.support.trees import Line, Tree, draw
from tests.support.walked import Walked, input_of, walk_bodies

SHORT = {
    "oi": "openinference.span.kind",
    "prompt": "llm.token_count.prompt",
    "completion": "llm.token_count.completion",
    "oimodel": "llm.model_name",
    "op": "gen_ai.operation.name",
    "by": "gen_ai.provider.name",
    "asked": "gen_ai.request.model",
    "served": "gen_ai.response.model",
    "id": "gen_ai.response.id",
    "in": "gen_ai.usage.input_tokens",
    "out": "gen_ai.usage.output_tokens",
    "read": "gen_ai.usage.cache_read.input_tokens",
    "write": "gen_ai.usage.cache_creation.input_tokens",
    "tl": "traceloop.span.kind",
    "tool": "gen_ai.tool.name",
    "aiop": "ai.operationId",
    "host": "server.address",
    "method": "http.request.method",
    "rpc": "mcp.method.name",
}
PARTS = {
    "read": "cache_read_tokens",
    "write": "cache_write_short_tokens",
    "long": "cache_write_long_tokens",
    "reasoning": "reasoning_tokens",
}
_SHORT_KEY = re.compile(r"(?<![\w.\-/])(" + "|".join(SHORT) + r")=")


def otel_agent_and_its_chats():
    """1. An agent span of the conventions sums its chats.

    root feature=f scope=opentelemetry.instrumentation.genai.langchain
      invoke_agent a op=invoke_agent by=openai asked=gpt-4o in=300 out=30
        chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10      | llm f 100 10
        execute_tool t op=execute_tool tool=t                         | tool f
        chat gpt-4o op=chat by=openai asked=gpt-4o in=200 out=20      | llm f 200 20
    """


def otel_remote_agent_alone():
    """1. A remote agent is the only span that knows what it used.

    root feature=f scope=opentelemetry.instrumentation.genai.openai
      invoke_agent a kind=client op=invoke_agent by=openai asked=gpt-4o in=300 out=30 \
    | agent f 300 30
    """


def old_pydantic_ai_run():
    """2. Pydantic AI before version 2: the run's span sums its chats under the same names.

    root feature=f scope=pydantic-ai
      agent run agent_name=boss model_name=gpt-4o in=300 out=30
        chat gpt-4o op=chat gen_ai.system=openai asked=gpt-4o in=100 out=10   | llm f 100 10
        running tools
          running tool tool=search                                            | tool f
        chat gpt-4o op=chat gen_ai.system=openai asked=gpt-4o in=200 out=20   | llm f 200 20
    """


def pydantic_ai_run_with_a_sub_agent():
    """2. and 24. A run within a tool: neither run's sum counts, aggregated names never do.

    root feature=f scope=pydantic-ai
      invoke_agent boss op=invoke_agent gen_ai.aggregated_usage.input_tokens=900 in=900 out=30
        chat gpt-4o op=chat gen_ai.system=openai asked=gpt-4o in=100 out=10   | llm f 100 10
        execute_tool ask op=execute_tool tool=ask                             | tool f
          invoke_agent helper op=invoke_agent in=800 out=20
            chat gpt-4o op=chat gen_ai.system=openai asked=gpt-4o in=800 out=20   | llm f 800 20
    """


def pydantic_ai_and_logfire():
    """3. Two chat spans a call, one in the other.

    root feature=f scope=pydantic-ai
      chat gpt-4o op=chat gen_ai.system=openai asked=gpt-4o in=100 out=10
        Chat Completion scope=logfire.openai op=chat asked=gpt-4o in=100 out=10   | llm f 100 10
    """


def logfire_stream():
    """3. A stream through Logfire: a span, and later a log of the same call. Neither has usage.

    root feature=f scope=logfire.openai
      "Chat Completion with {model!r}" op=chat asked=gpt-4o gen_ai.system=openai  | llm f - -
      "streaming response from {model!r} took" op=chat asked=gpt-4o gen_ai.system=openai
    """


def logfire_raw_usage():
    """3. Logfire writes the provider's own usage beside: the cached part is known from it.

    root feature=f scope=logfire.anthropic
      Message op=chat gen_ai.system=anthropic asked=claude-x in=662 out=31 \
'gen_ai.usage.raw={"input_tokens": 150, "cache_read_input_tokens": 512, \
"cache_creation_input_tokens": 0, "output_tokens": 31}'     | llm f 662 31 read=512
    """


def vercel_outer_and_inner():
    """4. Vercel AI SDK: outer spans sum the inner ones, which are the calls.

    root feature=f scope=ai
      ai.generateText aiop=ai.generateText ai.usage.inputTokens=300 ai.usage.outputTokens=30
        ai.generateText.doGenerate aiop=ai.generateText.doGenerate ai.usage.inputTokens=100 \
ai.usage.outputTokens=10 in=100 out=10 ai.model.id=gpt-4o       | llm f 100 10
        ai.toolCall aiop=ai.toolCall ai.toolCall.name=t         | tool f
        ai.generateText.doGenerate aiop=ai.generateText.doGenerate ai.usage.inputTokens=200 \
ai.usage.outputTokens=20 in=200 out=20 ai.model.id=gpt-4o       | llm f 200 20
      ai.embedMany aiop=ai.embedMany ai.usage.tokens=17 ai.model.id=text-embedding-3-small
        ai.embedMany.doEmbed aiop=ai.embedMany.doEmbed ai.usage.tokens=8 \
ai.model.id=text-embedding-3-small                              | embedding f 8 0
        ai.embedMany.doEmbed aiop=ai.embedMany.doEmbed ai.usage.tokens=9 \
ai.model.id=text-embedding-3-small                              | embedding f 9 0
    """


def vercel_v4_names_as_text():
    """4. Version 4 counts prompt and completion; a stream without usage says NaN.

    root feature=f scope=ai
      ai.streamText aiop=ai.streamText ai.usage.promptTokens="100" ai.usage.completionTokens="10"
        ai.streamText.doStream aiop=ai.streamText.doStream ai.usage.promptTokens="100" \
ai.usage.completionTokens="10" ai.model.id=gpt-4o ai.model.provider=openai.chat   | llm f 100 10
      ai.streamText aiop=ai.streamText ai.usage.promptTokens=NaN ai.usage.completionTokens=NaN
        ai.streamText.doStream aiop=ai.streamText.doStream ai.usage.promptTokens=NaN \
ai.usage.completionTokens=NaN ai.model.id=gpt-4o ai.model.provider=openai.chat    | llm f - -
    """


def vercel_v4_cache_in_metadata():
    """4. Versions 4 and 5 have Anthropic's cache writes only in the provider's metadata.

    root feature=f scope=ai
      ai.generateText aiop=ai.generateText ai.usage.promptTokens=150 ai.usage.completionTokens=10 \
'ai.response.providerMetadata={"anthropic":{"cacheCreationInputTokens":256,\
"cacheReadInputTokens":512}}'
        ai.generateText.doGenerate aiop=ai.generateText.doGenerate ai.usage.promptTokens=150 \
ai.usage.completionTokens=10 ai.model.id=claude-x ai.model.provider=anthropic.messages \
'ai.response.providerMetadata={"anthropic":{"cacheCreationInputTokens":256,\
"cacheReadInputTokens":512}}'                               | llm f 918 10 read=512 write=256
      ai.generateText.doGenerate aiop=ai.generateText.doGenerate ai.usage.inputTokens=150 \
ai.usage.outputTokens=10 ai.usage.cachedInputTokens=512 ai.model.id=claude-x \
ai.model.provider=anthropic.messages 'ai.response.providerMetadata={"anthropic": {"usage": \
{"input_tokens": 150, "cache_creation_input_tokens": 256, "cache_read_input_tokens": 512, \
"cache_creation": {"ephemeral_5m_input_tokens": 56, "ephemeral_1h_input_tokens": 200}}}}' \
| llm f 918 10 read=512 write=56 long=200
    """


def vercel_v7_same_operation_twice():
    """5. Version 7: embeddings and rerank have a root and a child of one operation and usage.

    root feature=f scope=gen_ai
      invoke_agent shop op=invoke_agent by=anthropic asked=claude-x in=612 out=10 read=512
        step 0 op=agent_step
          chat claude-x kind=client op=chat by=anthropic asked=claude-x in=612 out=10 \
read=512                                                                  | llm f 612 10 read=512
      embeddings m kind=client op=embeddings by=openai asked=text-embedding-3-small in=8
        embeddings m kind=client op=embeddings by=openai asked=text-embedding-3-small \
in=8                                                                      | embedding f 8 0
      rerank r kind=client op=rerank by=cohere asked=rerank-v3.5
        rerank r kind=client op=rerank by=cohere asked=rerank-v3.5        | rerank f - -
    """


def langchain_and_provider_nested():
    """6. A framework's model span around the provider SDK's: the inner one is the call.

    root feature=f scope=opentelemetry.instrumentation.langchain
      LangGraph.workflow tl=workflow
        ChatOpenAI.chat op=chat gen_ai.system=Langchain served=gpt-4o-2024-08-06 in=100 out=10
          openai.chat scope=opentelemetry.instrumentation.openai llm.request.type=chat \
gen_ai.system=OpenAI served=gpt-4o-2024-08-06 in=100 out=10 read=64    | llm f 100 10 read=64
    """


def langchain_and_provider_siblings():
    """6. The framework's span is not made current: the provider's hangs on the root, beside.

    root feature=f scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        ChatOpenAI oi=LLM oimodel=gpt-4o prompt=100 completion=10 start=2 end=40  | llm f 100 10
        search oi=TOOL tool.name=search start=41 end=50                           | tool f
        ChatOpenAI oi=LLM oimodel=gpt-4o prompt=200 completion=20 start=51 end=80 | llm f 200 20
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM \
oimodel=gpt-4o-2024-08-06 prompt=100 completion=10 start=3 end=39
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM \
oimodel=gpt-4o-2024-08-06 prompt=200 completion=20 start=52 end=79
    """


def siblings_over_http():
    """6. As before with an HTTP library instrumented too: its span hangs on the root as well.

    root feature=f scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        ChatOpenAI oi=LLM oimodel=gpt-4o prompt=100 completion=10 start=2 end=40  | llm f 100 10
      POST scope=opentelemetry.instrumentation.httpx kind=client method=POST host=api.openai.com \
start=3 end=39
    """


def siblings_where_only_one_knows_the_model():
    """6. A framework that knows the deployment only, the SDK the served model: one call.

    root feature=f scope=app end=100
      AzureChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=prod-chat \
prompt=100 completion=10 start=2 end=40
      chat prod-chat scope=opentelemetry.instrumentation.openai_v2 op=chat by=azure.ai.openai \
asked=prod-chat served=gpt-4o-mini in=100 out=10 start=3 end=39           | llm f 100 10
      Model scope=framework oi=LLM prompt=70 completion=7 start=50 end=60
      chat gpt-4o scope=opentelemetry.instrumentation.openai_v2 op=chat by=openai asked=gpt-4o \
in=70 out=7 start=51 end=59                                               | llm f 70 7
    """


def three_anthropic_spans():
    """7. The Anthropic SDK's own span, an instrumentation's and a framework's: one call.

    root feature=f scope=app end=100
      ChatAnthropic scope=openinference.instrumentation.langchain oi=LLM oimodel=claude-x \
prompt=662 completion=31 llm.token_count.prompt_details.cache_read=512 start=2 end=40
      anthropic.chat scope=opentelemetry.instrumentation.anthropic op=chat gen_ai.system=Anthropic \
served=claude-x in=662 out=31 read=512 id=msg_1 start=3 end=39
        anthropic.messages.create scope=com.anthropic.sdk.python kind=client op=chat by=anthropic \
served=claude-x in=662 out=31 read=512 id=msg_1 start=4 end=38            | llm f 662 31 read=512
    """


def anthropic_client_and_platform():
    """8. The platform's own span joins the trace beneath the client's.

    root feature=f scope=com.anthropic.sdk.python
      anthropic.messages.create kind=client op=chat by=anthropic served=claude-x in=100 out=10 \
id=msg_1                                                                  | llm f 100 10
        messages scope=com.anthropic.claude-platform service=claude-platform kind=server op=chat \
by=anthropic served=claude-x in=100 out=10 id=msg_1
    """


def app_and_model_server():
    """9. The app's span and the span of the model server that it called.

    root feature=f service=app scope=opentelemetry.instrumentation.openai
      openai.chat llm.request.type=chat served=llama-3 in=100 out=10      | llm f 100 10
        POST scope=opentelemetry.instrumentation.httpx method=POST kind=client host=vllm.internal
          llm_request scope=vllm.llm_engine service=vllm kind=server served=llama-3 \
gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10 gen_ai.latency.e2e=1.5
    """


def model_server_beside_its_client():
    """9. The client's span is not current: the server's hangs beside it, by a clock that is off.

    root feature=f service=app scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        ChatOpenAI oi=LLM oimodel=llama-3 prompt=100 completion=10 start=2 end=40   | llm f 100 10
      POST scope=httpx kind=client method=POST host=vllm start=3 end=39
        llm_request scope=vllm.llm_engine service=vllm kind=server served=meta/llama-3 start=64 \
end=98 gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10
    """


def model_server_under_what_was_current():
    """9. No HTTP library is instrumented: the server's span hangs on the root as well.

    root feature=f service=app scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=llama-3 prompt=100 \
completion=10 start=2 end=40                                              | llm f 100 10
      llm_request scope=vllm.llm_engine service=vllm kind=server served=llama-3 start=4 end=38 \
gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10
      llm_request scope=vllm.llm_engine service=vllm kind=server served=llama-3 start=50 end=60 \
gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10          | llm f 100 10
    """


def model_server_whose_request_was_lost():
    """9. As before, and the request's span never arrives.

    root feature=f service=app scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=llama-3 prompt=100 \
completion=10 start=2 end=40                                              | llm f 100 10
      llm_request parent=lost scope=vllm.llm_engine service=vllm kind=server served=llama-3 \
start=4 end=38 gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10
    """


def model_server_knows_what_the_stream_did_not():
    """9. A stream without usage in the app; the server beside it counted: one call, with usage.

    root feature=f service=app scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=llama-3 start=2 end=40
      POST scope=httpx kind=client method=POST host=vllm start=3 end=39
        llm_request scope=vllm.llm_engine service=vllm kind=server served=llama-3 start=4 end=38 \
gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10          | llm f 100 10
    """


def equal_calls_in_parallel_and_their_servers():
    """9. Two equal calls at once on two replicas of a server: two calls, each counted once.

    root feature=f service=app scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=llama-3 prompt=100 \
completion=10 start=2 end=40                                              | llm f 100 10
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=llama-3 prompt=100 \
completion=10 start=3 end=41                                              | llm f 100 10
      POST scope=httpx kind=client method=POST host=vllm start=3 end=39
        llm_request scope=vllm.llm_engine service=vllm resource.host.name=a kind=server start=4 \
end=38 served=llama-3 gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10
      POST scope=httpx kind=client method=POST host=vllm start=4 end=40
        llm_request scope=vllm.llm_engine service=vllm resource.host.name=b kind=server start=5 \
end=39 served=llama-3 gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10
    """


def proxy_beside_its_client():
    """10. A proxy's spans beside the app's, with a gateway between and the proxy's own SDK.

    root feature=f service=app scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        agent oi=AGENT start=1 end=80
          ChatOpenAI oi=LLM oimodel=gpt-4o prompt=100 completion=10 start=2 end=60  | llm f 100 10
      POST scope=httpx kind=client method=POST host=proxy start=3 end=59
        proxy.internal scope=envoy service=gateway kind=server start=4 end=58
          Received Proxy Server Request scope=litellm service=proxy kind=server start=5 end=57
            litellm_request op=acompletion gen_ai.system=openai asked=gpt-4o in=100 out=10 start=6 \
end=56
              ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o \
prompt=100 completion=10 start=7 end=55
    """


def equal_calls_of_two_apps():
    """An app that serves people, not models, made an equal call meanwhile: it is another one.

    root feature=f service=app scope=app end=100
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o prompt=100 \
completion=10 start=2 end=60                                              | llm f 100 10
      POST scope=httpx kind=client method=POST host=other start=3 end=59
        POST /ask scope=fastapi service=other kind=server start=4 end=58
          chat gpt-4o scope=opentelemetry.instrumentation.openai_v2 op=chat by=openai \
asked=gpt-4o in=100 out=10 start=5 end=50                                 | llm f 100 10
    """


def four_spans_through_a_proxy():
    """10. App SDK, proxy, proxy's call, proxy's provider SDK: one call, in the app.

    root feature=f service=app scope=openinference.instrumentation.openai
      ChatCompletion oi=LLM oimodel=gpt-4o prompt=100 completion=10       | llm f 100 10
        POST scope=opentelemetry.instrumentation.httpx method=POST kind=client host=proxy.internal
          Received Proxy Server Request scope=litellm service=proxy kind=server
            litellm_request op=acompletion gen_ai.system=openai asked=gpt-4o in=100 out=10
              raw_gen_ai_request llm.openai.id=c1 \
"llm.openai.usage={'prompt_tokens': 100, 'completion_tokens': 10, 'total_tokens': 110}"
              ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o \
prompt=100 completion=10
    """


def litellm_on_its_caller():
    """11. LiteLLM writes a call's usage on the caller's span, whatever else lies beneath it.

    answer feature=f scope=traceloop.tracer tl=workflow litellm.call_id=l1 gen_ai.system=openai \
served=gpt-4o in=100 out=10                                               | other f 100 10
      openai.embeddings scope=opentelemetry.instrumentation.openai llm.request.type=embedding \
served=text-embedding-3-small in=8                                        | embedding f 8 0
    """


def litellm_on_its_caller_and_the_sdk_beneath():
    """11. As before, and the SDK that LiteLLM called is instrumented: the call is beneath.

    answer feature=f scope=app litellm.call_id=l1 gen_ai.cost.total_cost=0.1 gen_ai.system=openai \
served=gpt-4o in=100 out=10
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o \
prompt=100 completion=10                                                  | llm f 100 10
    """


def litellm_on_a_workflow_and_the_sdk_beneath():
    """11. As before on a workflow's span, which shows the last of two calls: both are beneath.

    answer feature=f scope=traceloop.tracer tl=workflow litellm.call_id=l2 gen_ai.system=openai \
served=gpt-4o in=200 out=20
      openai.chat scope=opentelemetry.instrumentation.openai llm.request.type=chat \
served=gpt-4o-2024-08-06 in=100 out=10                                    | llm f 100 10
      openai.chat scope=opentelemetry.instrumentation.openai llm.request.type=chat \
served=gpt-4o-2024-08-06 in=200 out=20                                    | llm f 200 20
    """


def litellm_answers_from_its_cache():
    """11. What LiteLLM answers from its own cache shows the usage of the first time: free.

    root feature=f scope=litellm
      chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10            | llm f 100 10
      chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10 litellm.cache_hit=true
    """


def three_scopes_where_one_counts_otherwise():
    """6. and 7. Three spans beside each other; one leaves the cached tokens out.

    root feature=f scope=app end=100
      A scope=a oi=LLM oimodel=claude-x prompt=662 completion=31 start=2 end=40 \
llm.token_count.prompt_details.cache_read=512
      B scope=b op=chat served=claude-x in=662 out=31 read=512 start=3 end=39
      C scope=c op=chat served=claude-x in=150 out=31 start=4 end=38      | llm f 662 31 read=512
    """


def openllmetry_crewai():
    """12. CrewAI through OpenLLMetry: crew and agent carry running sums.

    root feature=f scope=opentelemetry.instrumentation.crewai
      crewai.workflow tl=workflow op=invoke_agent in=700 out=70
        writer.agent tl=agent op=invoke_agent served=gpt-4o in=300 out=30
          gpt-4o.llm op=chat served=gpt-4o in=100 out=10                  | llm f 100 10
        editor.agent tl=agent op=invoke_agent served=gpt-4o in=700 out=70
          gpt-4o.llm op=chat served=gpt-4o in=200 out=20                  | llm f 200 20
    """


def openinference_crewai():
    """13. A crew's span that has a total only.

    root feature=f scope=openinference.instrumentation.crewai
      Crew.kickoff oi=CHAIN llm.token_count.total=110
        Agent._execute_core oi=AGENT
          ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o \
prompt=100 completion=10                                                  | llm f 100 10
    """


def smolagents():
    """14. An agent that sums its lifetime, steps and model calls: only the calls count.

    root feature=f scope=openinference.instrumentation.smolagents
      CodeAgent.run oi=AGENT prompt=900 completion=90
        Step 1 oi=CHAIN prompt=100 completion=10
          OpenAIModel.generate oi=LLM oimodel=gpt-4o prompt=100 completion=10
            ChatCompletion scope=openinference.instrumentation.openai oi=LLM \
oimodel=gpt-4o-2024-08-06 prompt=100 completion=10                        | llm f 100 10
        Step 2 oi=CHAIN prompt=200 completion=20
          search oi=TOOL tool.name=search                                 | tool f
          OpenAIModel.generate oi=LLM oimodel=gpt-4o prompt=200 completion=20   | llm f 200 20
    """


def openlit_claude_agent():
    """15. OpenLIT: the root of a Claude agent has usage and cost, and so have its chats.

    root feature=f scope=openlit.instrumentation.claude_agent_sdk
      invoke_agent claude op=invoke_agent by=anthropic asked=claude-x in=300 out=30 \
gen_ai.usage.cost=0.5
        chat claude-x op=chat by=anthropic asked=claude-x in=100 out=10   | llm f 100 10
        execute_tool Bash op=execute_tool tool=Bash                       | tool f
        chat claude-x op=chat by=anthropic asked=claude-x in=200 out=20   | llm f 200 20
    """


def strands_lifetime():
    """16. Strands: an agent span sums the agent object's whole life, also earlier traces.

    first feature=f scope=strands.telemetry.tracer
      invoke_agent a op=invoke_agent by=strands-agents in=100 out=10
        execute_event_loop_cycle op=execute_event_loop_cycle event_loop.cycle_id=1
          chat op=chat by=strands-agents asked=gpt-4o in=100 out=10       | llm f 100 10
    second feature=f scope=strands.telemetry.tracer
      invoke_agent a op=invoke_agent by=strands-agents in=300 out=30
        execute_event_loop_cycle op=execute_event_loop_cycle event_loop.cycle_id=2
          chat op=chat by=strands-agents asked=gpt-4o in=200 out=20       | llm f 200 20
    """


def strands_lifetime_with_a_lost_chat():
    """16. The chat of the second run never arrives: what its agent has added is its own step.

    root feature=f scope=strands.telemetry.tracer
      invoke_agent a op=invoke_agent by=strands-agents gen_ai.agent.name=a in=100 out=10 \
start=1 end=10
        chat op=chat by=strands-agents asked=gpt-4o in=100 out=10 start=2 end=9 | llm f 100 10
      invoke_agent a op=invoke_agent by=strands-agents gen_ai.agent.name=a in=300 out=30 \
start=11 end=20                                                           | agent f 200 20
    """


def strands_runs_of_two_agents():
    """16. Another agent has a life of its own.

    root feature=f scope=strands.telemetry.tracer
      invoke_agent a op=invoke_agent by=strands-agents gen_ai.agent.name=a in=100 out=10 \
start=1 end=10
        chat op=chat by=strands-agents asked=gpt-4o in=100 out=10 start=2 end=9 | llm f 100 10
      invoke_agent b op=invoke_agent by=strands-agents gen_ai.agent.name=b in=300 out=30 \
start=11 end=20                                                           | agent f 300 30
    """


def strands_speech_session():
    """17. A session of speech has no calls beneath it: its span is the only one that counts.

    root feature=f scope=strands.telemetry.tracer
      invoke_agent live op=invoke_agent by=strands-agents asked=nova-sonic in=300 out=30 \
    | agent f 300 30
    """


def agent_framework():
    """18. An agent that sums its chats, within a workflow.

    workflow.run feature=f scope=agent_framework
      executor.process a
        invoke_agent a op=invoke_agent by=openai asked=gpt-4o in=300 out=30
          chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10        | llm f 100 10
          execute_tool t op=execute_tool tool=t                           | tool f
          chat gpt-4o op=chat by=openai asked=gpt-4o in=200 out=20        | llm f 200 20
    """


def agent_framework_with_a_lost_chat():
    """18. One of the two chats never arrives: what the agent's sum has more is its own step.

    workflow.run feature=f scope=agent_framework
      invoke_agent a op=invoke_agent by=openai asked=gpt-4o in=300 out=30 | agent f 200 20
        chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10          | llm f 100 10
    """


def adk_schema_one():
    """19. ADK before schema 2: call_llm and the generate_content in it.

    invocation feature=f scope=gcp.vertex.agent
      invoke_agent a op=invoke_agent gen_ai.system=gcp.vertex.agent
        call_llm gen_ai.system=gcp.vertex.agent asked=gemini-2.5-flash in=100 out=10
          generate_content op=generate_content by=gcp.gemini asked=gemini-2.5-flash \
in=100 out=10                                                             | llm f 100 10
        execute_tool (merged tools) op=execute_tool tool="(merged tools)"
        execute_tool t op=execute_tool tool=t                             | tool f
    """


def openai_agents_with_turns():
    """20. Exporters of the Agents SDK: task and turn sum the responses.

    root feature=f scope=agents.exporter
      task by=openai in=300 out=30 op=invoke_workflow
        turn by=openai in=100 out=10 op=invoke_workflow
          response by=openai op=chat served=gpt-4o in=100 out=10          | llm f 100 10
        turn by=openai in=200 out=20 op=invoke_workflow
          response by=openai op=chat served=gpt-4o in=200 out=20          | llm f 200 20
    """


def langsmith():
    """21. LangSmith: whatever returned a message has usage; details are a Python literal.

    LangGraph feature=f scope=langsmith langsmith.span.kind=chain op=chat in=100 out=10
      call_model langsmith.span.kind=chain op=chat in=100 out=10
        ChatOpenAI langsmith.span.kind=llm op=chat gen_ai.system=openai asked=gpt-4o in=100 out=10 \
"gen_ai.usage.input_token_details={'audio': 0, 'cache_read': 64}" \
"gen_ai.usage.output_token_details={'reasoning': 4}"       | llm f 100 10 read=64 reasoning=4
      VectorStoreRetriever langsmith.span.kind=retriever op=embeddings    | retrieval f
    """


def mlflow_at_three_levels():
    """22. MLflow: a wrapper, an agent and the call carry the same usage; all values are JSON.

    root feature=f scope=mlflow.tracing.fluent 'mlflow.spanType="CHAIN"' \
'mlflow.chat.tokenUsage={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}'
      Agent 'mlflow.spanType="AGENT"' \
'mlflow.chat.tokenUsage={"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}'
        Completions 'mlflow.spanType="CHAT_MODEL"' 'mlflow.llm.model="gpt-4o"' \
'mlflow.llm.provider="openai"' 'mlflow.chat.tokenUsage={"input_tokens": 100, "output_tokens": 10, \
"total_tokens": 110, "cache_read_input_tokens": 64}'               | llm f 100 10 read=64
        search 'mlflow.spanType="TOOL"'                             | tool f
    """


def claude_agent_root_only():
    """23. OpenInference: the usage of the whole run is on the agent's span alone.

    root feature=f scope=openinference.instrumentation.claude_agent_sdk
      ClaudeAgentSDK.query oi=AGENT oimodel=claude-x prompt=300 completion=30 \
llm.token_count.prompt_details.cache_read=100                 | agent f 300 30 read=100
        Bash oi=TOOL tool.name=Bash                           | tool f
    """


def claude_agent_partial_chats():
    """23. Logfire: chats have unreliable partial counts under another name; the root is right.

    root feature=f scope=logfire.claude_agent_sdk
      invoke_agent op=invoke_agent by=anthropic asked=claude-x in=300 out=30 | agent f 300 30
        chat claude-x op=chat by=anthropic asked=claude-x gen_ai.usage.partial.input_tokens=3
        execute_tool Bash op=execute_tool tool=Bash                       | tool f
        chat claude-x op=chat by=anthropic asked=claude-x gen_ai.usage.partial.input_tokens=4
    """


def claude_code():
    """23. Claude Code: bare names, cached tokens left out of the input.

    root feature=f scope=com.anthropic.claude_code.tracing
      claude_code.interaction span.type=interaction
        claude_code.llm_request span.type=llm_request model=claude-x input_tokens=100 \
output_tokens=10 cache_read_tokens=512 cache_creation_tokens=256  | llm f 868 10 read=512 write=256
        claude_code.tool span.type=tool tool_name=Bash                    | tool f
          claude_code.tool.execution span.type=tool.execution
    """


def claude_code_under_another_scope():
    """23. As before; the scope name was rewritten on the way.

    root feature=f scope=app
      llm_request span.type=llm_request model=claude-x input_tokens=100 \
output_tokens=10 cache_read_tokens=80 cache_creation_tokens=0             | llm f 180 10 read=80
    """


def agents_as_tools():
    """24. A sub-agent's tokens are in the parent's sum as well, or not: only calls count.

    root feature=f scope=openinference.instrumentation.agno
      Team.run oi=AGENT prompt=600 completion=60
        OpenAIChat.invoke oi=LLM oimodel=gpt-4o prompt=100 completion=10  | llm f 100 10
        delegate oi=TOOL tool.name=delegate                               | tool f
          Agent.run oi=AGENT prompt=500 completion=50
            OpenAIChat.invoke oi=LLM oimodel=gpt-4o prompt=500 completion=50   | llm f 500 50
    """


def synonyms_on_one_span():
    """25. Old and new names, cache under two names, two vocabularies: read once.

    root feature=f scope=litellm
      chat gpt-4o kind=client op=chat by=openai asked=gpt-4o in=100 out=10 read=64 \
gen_ai.usage.prompt_tokens=100 gen_ai.usage.completion_tokens=10 gen_ai.usage.total_tokens=110 \
llm.usage.total_tokens=110 prompt=100 completion=10 oi=LLM gen_ai.usage.cache_read_input_tokens=64 \
gen_ai.usage.details.cache_read_tokens=64                         | llm f 100 10 read=64
    """


def rollups_are_no_usage():
    """26. Sums of metrics, kept as attributes, are never counted.

    root feature=f scope=logfire logfire.metrics="{}" gen_ai.client.token.usage=110
      chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10 gen_ai.client.token.usage=110 \
    | llm f 100 10
    """


def retries_within_the_sdk():
    """27. One call with two failed attempts: three requests carry it.

    root feature=f scope=opentelemetry.instrumentation.genai.openai
      chat gpt-4o op=chat by=openai asked=gpt-4o in=100 out=10            | llm f 100 10
        POST method=POST kind=client host=api.openai.com status=error
        POST method=POST kind=client host=api.openai.com http.request.resend_count=1 status=error
        POST method=POST kind=client host=api.openai.com http.request.resend_count=2
    """


def fallback_to_another_deployment():
    """27. A router: the first deployment fails, the second answers. One is billed.

    root feature=f scope=litellm
      router op=acompletion asked=group-a in=100 out=10
        litellm_request op=acompletion asked=azure/gpt-4o status=error
        litellm_request op=acompletion asked=gpt-4o in=100 out=10         | llm f 100 10
    """


def wrapper_typed_as_a_call():
    """27b. A decorator that calls its function a generation, around an instrumented SDK.

    root feature=f scope=langfuse-sdk
      ask langfuse.observation.type=generation langfuse.observation.model.name=gpt-4o \
'langfuse.observation.usage_details={"input": 36, "input_cached_tokens": 64, "output": 10}'
        ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o-2024-08-06 \
prompt=100 completion=10                                          | llm f 100 10 read=64
    """


def wrapper_without_numbers():
    """27b. The same wrapper without usage says nothing of its own.

    root feature=f scope=braintrust
      ask oi=LLM
        plan
          chat gpt-4o scope=opentelemetry.instrumentation.genai.openai op=chat by=openai \
asked=gpt-4o in=100 out=10                                        | llm f 100 10
    """


def stream_without_usage():
    """27. Streams without usage are calls without counts, however many spans report them.

    root feature=f scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=gpt-4o start=2 end=40
        ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o start=3 \
end=39                                                            | llm f - -
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=gpt-4o start=42 end=60
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o start=43 \
end=59                                                            | llm f - -
    """


def failed_call_seen_twice():
    """27. A call that failed, reported by framework and SDK, is one step without usage.

    root feature=f scope=app end=100
      ChatOpenAI scope=openinference.instrumentation.langchain oi=LLM oimodel=gpt-4o status=error \
start=2 end=40
      ChatCompletion scope=openinference.instrumentation.openai oi=LLM oimodel=gpt-4o status=error \
start=3 end=39                                                    | llm f - -
    """


def mcp_through_every_layer():
    """Tool chain: framework, FastMCP, MCP SDK client, server, FastMCP server, proxy's delegate.

    root feature=f service=app scope=openinference.instrumentation.openai_agents
      quote oi=TOOL tool.name=quote                                       | tool f
        tools/call quote scope=fastmcp kind=client rpc=tools/call tool=quote
          MCP send tools/call quote scope=mcp-python-sdk kind=client rpc=tools/call
            POST scope=opentelemetry.instrumentation.httpx kind=client method=POST host=mcp.internal
              tools/call quote scope=mcp-python-sdk service=tools kind=server rpc=tools/call \
op=execute_tool tool=quote
                tools/call quote scope=fastmcp kind=server rpc=tools/call tool=quote
                  delegate quote scope=fastmcp rpc=tools/call tool=quote
                    openai.chat scope=opentelemetry.instrumentation.openai llm.request.type=chat \
served=gpt-4o in=100 out=10                                               | llm f 100 10
      MCP send tools/list scope=mcp-python-sdk kind=client rpc=tools/list
    """


def openllmetry_mcp():
    """OpenLLMetry's MCP spans: client, session, server and the tool itself.

    root feature=f service=app scope=traceloop.tracer
      quote.tool scope=opentelemetry.instrumentation.mcp tl=tool traceloop.entity.name=quote \
rpc=tools/call                                                            | tool f
        mcp.server service=tools kind=server tl=server rpc=tools/call traceloop.workflow.name=tools
          quote.tool tl=tool traceloop.entity.name=quote
            openai.chat scope=opentelemetry.instrumentation.openai llm.request.type=chat \
served=gpt-4o in=100 out=10                                               | llm f 100 10
    """


def crewai_native():
    """CrewAI's own spans: an MCP tool within a tool is one; JSON sums are not read.

    execute crew feature=f scope=crewai op=invoke_workflow crewai.crew.usage_metrics="{}"
      execute task op=execute_task
        execute agent op=invoke_agent
          call llm kind=client op=chat by=openai asked=gpt-4o in=100 out=10   | llm f 100 10
          call tool op=execute_tool tool=quote                                | tool f
            execute mcp tool op=execute_tool gen_ai.tool.type=mcp tool=quote
    """


def retriever_over_a_vector_database():
    """A framework's retriever wraps the embedding and the query that it made.

    root feature=f scope=openinference.instrumentation.llama_index
      VectorIndexRetriever.retrieve oi=RETRIEVER
        OpenAIEmbedding.get oi=EMBEDDING embedding.model_name=text-embedding-3-small
          CreateEmbeddings scope=openinference.instrumentation.openai oi=EMBEDDING \
embedding.model_name=text-embedding-3-small prompt=8                      | embedding f 8 0
        qdrant.search scope=opentelemetry.instrumentation.qdrant db.system=Qdrant | retrieval f
      CohereRerank oi=RERANKER reranker.model_name=rerank-v3.5            | rerank f - -
    """


def retriever_beside_its_vector_database():
    """A retriever that is not made current: the query that it made hangs on the root.

    root feature=f scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        VectorStoreRetriever oi=RETRIEVER start=10 end=40
      pinecone.query scope=opentelemetry.instrumentation.pinecone db.system=Pinecone start=12 \
end=30                                                                    | retrieval f
      pinecone.query scope=opentelemetry.instrumentation.pinecone db.system=Pinecone start=31 \
end=39                                                                    | retrieval f
      pinecone.query scope=opentelemetry.instrumentation.pinecone db.system=Pinecone start=60 \
end=70                                                                    | retrieval f
    """


def retrievers_in_parallel_beside_their_database():
    """Two retrievers at once and the query of each; a third one's database is not instrumented.

    root feature=f scope=app end=100
      tools scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        VectorStoreRetriever oi=RETRIEVER start=10 end=40
        VectorStoreRetriever oi=RETRIEVER start=11 end=41
        WikipediaRetriever oi=RETRIEVER start=50 end=60                   | retrieval f
      qdrant.search scope=opentelemetry.instrumentation.qdrant db.system=Qdrant start=12 \
end=35                                                                    | retrieval f
      qdrant.search scope=opentelemetry.instrumentation.qdrant db.system=Qdrant start=13 \
end=36                                                                    | retrieval f
    """


def hybrid_search_in_two_databases():
    """Two databases asked at once are two retrievals, within one another in time or not.

    root feature=f scope=app end=100
      qdrant.search scope=opentelemetry.instrumentation.qdrant db.system=Qdrant start=10 \
end=50                                                                    | retrieval f
      search scope=opentelemetry.instrumentation.elasticsearch db.system=elasticsearch start=12 \
end=40                                                                    | retrieval f
    """


def embedding_beside_the_tool():
    """A tool that is not made current: its embedding hangs on the root, and belongs in it.

    root feature=f scope=app end=100
      LangGraph scope=openinference.instrumentation.langchain oi=CHAIN start=1 end=90
        search oi=TOOL tool.name=search start=10 end=40                   | tool f
      CreateEmbeddings scope=openinference.instrumentation.openai oi=EMBEDDING start=12 end=20 \
embedding.model_name=text-embedding-3-small prompt=8                      | embedding f 8 0
    """


def another_service_over_http():
    """A tool that calls another team's service: its model call is paid by the caller.

    root feature=f service=app scope=app
      quote scope=openinference.instrumentation.langchain oi=TOOL tool.name=quote     | tool f
        POST scope=opentelemetry.instrumentation.requests kind=client http.method=POST \
http.host=pricing
          POST /quote scope=opentelemetry.instrumentation.flask service=pricing kind=server \
feature=pricing http.method=POST
            chat gpt-4o scope=opentelemetry.instrumentation.openai_v2 op=chat gen_ai.system=openai \
asked=gpt-4o in=100 out=10                                                | llm f 100 10
    """


def two_equal_calls_in_parallel():
    """Two calls of one scope with equal numbers at one time are two calls.

    root feature=f scope=openinference.instrumentation.openai end=100
      ChatCompletion oi=LLM oimodel=gpt-4o prompt=100 completion=10 start=2 end=40   | llm f 100 10
      ChatCompletion oi=LLM oimodel=gpt-4o prompt=100 completion=10 start=3 end=39   | llm f 100 10
    """


def model_that_calls_its_tools():
    """Automatic function calling: a model span around a tool around another model call.

    root feature=f scope=opentelemetry.instrumentation.google_genai
      generate_content g op=generate_content by=gcp.gemini asked=gemini-2.5-flash in=100 out=10 \
    | llm f 100 10
        execute_tool t op=execute_tool tool=t                             | tool f
          generate_content g op=generate_content by=gcp.gemini asked=gemini-2.5-flash in=100 \
out=10                                                                    | llm f 100 10
    """


def guardrail_is_a_call_of_its_own():
    """A guardrail's model call within an agent, with a cheaper model, is billed beside.

    root feature=f scope=openinference.instrumentation.openai_agents
      agent oi=AGENT
        guardrail oi=GUARDRAIL
          response oi=LLM oimodel=gpt-4o-mini prompt=30 completion=3      | llm f 30 3
        response oi=LLM oimodel=gpt-4o prompt=100 completion=10           | llm f 100 10
    """


def counting_tokens_is_free():
    """The endpoint that counts tokens is no call.

    root feature=f scope=com.anthropic.sdk.python
      anthropic.messages.tool_runner op=invoke_agent by=anthropic
        anthropic.messages.count_tokens kind=client anthropic.message.count_tokens.input_tokens=99 \
asked=claude-x by=anthropic
        anthropic.messages.create kind=client op=chat by=anthropic asked=claude-x in=100 out=10 \
    | llm f 100 10
    """


DRAWINGS = [
    drawing
    for drawing in list(globals().values())
    if callable(drawing) and "\n\n" in (drawing.__doc__ or "") and drawing.__module__ == __name__
]


def tree_of(drawing) -> Tree:
    text = drawing.__doc__.partition("\n\n")[2].replace("\\\n", "")
    drawn = [line.partition("|") for line in text.splitlines()]
    spelled = ("".join((_SHORT_KEY.sub(_spell, left), *rest)) for left, *rest in drawn)
    return draw("\n".join(spelled))


def _spell(key: re.Match[str]) -> str:
    return f"{SHORT[key[1]]}="


def expected_of(line: Line) -> dict[str, object]:
    kind, feature, *counts = line.expected
    parts = dict(part.split("=") for part in counts[2:])
    told = counts[:1] not in ([], ["-"])
    return {
        "kind": kind,
        "feature": feature,
        "input": int(counts[0]) if told else None,
        "output": int(counts[1]) if told else None,
        **{name: int(parts.get(name, 0)) if told else None for name in PARTS},
    }


def found_in(step: dict[str, object]) -> dict[str, object]:
    told = step["usage_role"] is not None
    return {
        "kind": step["kind"],
        "feature": step["feature"],
        "input": input_of(step) if told else None,
        "output": step["output_tokens"],
        **{name: step[column] for name, column in PARTS.items()},
    }


def readable(tree: Tree, walked: Walked) -> dict[str, object]:
    names = {line.span_id: f"{n} {line.name}" for n, line in enumerate(tree.lines)}
    return {names[step["span_id"]]: found_in(step) for step in walked.rows()}


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.__name__)
def test_each_stack_is_counted_as_it_was_billed(drawing):
    """Every drawn step comes out with its payer and its counts, and nothing else does."""
    tree = tree_of(drawing)
    expected = {f"{n} {x.name}": expected_of(x) for n, x in enumerate(tree.lines) if x.expected}
    assert readable(tree, walk_bodies([tree.body()])) == expected


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.__name__)
def test_what_is_not_counted_names_what_is(drawing):
    """Usage that is dropped says why, and names a step of the same trace."""
    walked = walk_bodies([tree_of(drawing).body()])
    steps = {step["span_id"] for step in walked.rows()}
    for verdict in walked.verdicts.to_pylist():
        if verdict["input_tokens"] is not None and verdict["verdict"] != "step":
            assert verdict["reason"]
            assert verdict["survivor_span_id"] in steps
