"""One span of every emitter, as it writes it, against what the provider billed.

Each case: who emits it, the span as drawn, then what must be read from it: kind, provider, bare
model, all input, all output, and the parts that are not zero. One Anthropic call is billed 150
uncached, 512 read from the cache, 256 written, 31 out; of OpenAI 237 in (64 cached), 23 out (4
reasoning); of Gemini 313 in (128 cached), 37 out (11 thoughts).
"""

import pytest

from tests.support.trees import draw
from tests.support.walked import input_of, walk_bodies

OTEL = "opentelemetry.instrumentation."
OI = "openinference.instrumentation."
CHAT = "gen_ai.operation.name=chat"
GPT = "gen_ai.request.model=gpt-4o-mini gen_ai.response.model=gpt-4o-mini-2024-07-18"
CLAUDE = "gen_ai.request.model=claude-haiku-4-5-20251001"
GEMINI = "gen_ai.request.model=gemini-2.5-flash"
PLAIN = "gen_ai.usage.input_tokens=237 gen_ai.usage.output_tokens=23"
CACHED = f"{PLAIN} gen_ai.usage.cache_read.input_tokens=64"
INCLUSIVE = (
    "gen_ai.usage.input_tokens=918 gen_ai.usage.output_tokens=31"
    " gen_ai.usage.cache_read.input_tokens=512 gen_ai.usage.cache_creation.input_tokens=256"
)
EXCLUSIVE = INCLUSIVE.replace("=918", "=150")
OI_GPT = (
    "openinference.span.kind=LLM llm.model_name=gpt-4o-mini-2024-07-18"
    " llm.token_count.prompt=237 llm.token_count.completion=23 llm.token_count.total=260"
    " llm.token_count.prompt_details.cache_read=64"
    " llm.token_count.completion_details.reasoning=4"
)
OI_CLAUDE = (
    "openinference.span.kind=LLM llm.model_name=claude-haiku-4-5 llm.token_count.prompt=918"
    " llm.token_count.completion=31 llm.token_count.prompt_details.cache_read=512"
    " llm.token_count.prompt_details.cache_write=256"
)
BEDROCK = "gen_ai.request.model=us.anthropic.claude-haiku-4-5-20251001-v1:0"
MLFLOW = (
    'mlflow.spanType="\\"CHAT_MODEL\\"" mlflow.llm.model="\\"{model}\\""'
    ' mlflow.llm.provider="\\"{provider}\\""'
)

OPENAI_CALL = ("llm", "openai", "gpt-4o-mini", 237, 23)
CLAUDE_CALL = ("llm", "anthropic", "claude-haiku-4-5", 918, 31)
BEDROCK_CALL = ("llm", "aws", "claude-haiku-4-5", 918, 31)
GEMINI_CALL = ("llm", "google", "gemini-2.5-flash", 313, 37)
READ = {"read": 64}
SPLIT = {"read": 512, "write": 256}
NO_PARTS: dict[str, int] = {}

CASES = [
    # the conventions and those who follow them
    ("openai_v2", OTEL + "openai_v2", f"{CHAT} gen_ai.system=openai {GPT} {PLAIN}",
     OPENAI_CALL, NO_PARTS),
    ("openai_v2_1_26", OTEL + "openai_v2",
     f"{CHAT} gen_ai.system=openai {GPT} gen_ai.usage.prompt_tokens=237"
     " gen_ai.usage.completion_tokens=23", OPENAI_CALL, NO_PARTS),
    ("genai_openai", OTEL + "genai.openai",
     f"{CHAT} gen_ai.provider.name=openai {GPT} {CACHED}"
     " gen_ai.usage.reasoning.output_tokens=4 gen_ai.usage.cache_write.input_tokens=32",
     OPENAI_CALL, {"read": 64, "write": 32, "reasoning": 4}),
    ("genai_anthropic", OTEL + "genai.anthropic",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}", CLAUDE_CALL, SPLIT),
    ("genai_langchain", OTEL + "genai.langchain",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}", CLAUDE_CALL, SPLIT),
    ("google_genai", OTEL + "google_genai",
     f"gen_ai.operation.name=generate_content gen_ai.provider.name=gcp.gemini {GEMINI}"
     " gen_ai.usage.input_tokens=313 gen_ai.usage.output_tokens=37"
     " gen_ai.usage.cache_read.input_tokens=128 gen_ai.usage.reasoning.output_tokens=11",
     GEMINI_CALL, {"read": 128, "reasoning": 11}),
    ("botocore_converse", OTEL + "botocore.bedrock-runtime",
     f"{CHAT} gen_ai.system=aws.bedrock {BEDROCK} {EXCLUSIVE}", BEDROCK_CALL, SPLIT),
    ("azure_inference", "azure.ai.inference",
     f"{CHAT} gen_ai.system=az.ai.inference {GPT} {PLAIN}",
     ("llm", "azure", "gpt-4o-mini", 237, 23), NO_PARTS),
    ("azure_agents", "azure.ai.projects",
     f"gen_ai.operation.name=responses gen_ai.system=az.ai.agents {GPT} {PLAIN}",
     ("llm", "azure", "gpt-4o-mini", 237, 23), NO_PARTS),
    ("agent_framework", "agent_framework",
     f"{CHAT} gen_ai.provider.name=microsoft.agent_framework {GPT} {CACHED}", OPENAI_CALL, READ),
    ("semantic_kernel", "semantic_kernel.utils.telemetry.model_diagnostics.decorators",
     f"gen_ai.operation.name=text_completions gen_ai.system=openai {GPT} {PLAIN}",
     OPENAI_CALL, NO_PARTS),
    ("semantic_kernel_chat", "semantic_kernel.connectors",
     f"gen_ai.operation.name=chat.completions gen_ai.system=openai {GPT} {PLAIN}",
     OPENAI_CALL, NO_PARTS),
    ("crewai", "crewai", f"{CHAT} gen_ai.provider.name=openai {GPT} {CACHED}"
     " gen_ai.usage.reasoning_tokens=4", OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("adk", "gcp.vertex.agent",
     f"gen_ai.operation.name=generate_content gen_ai.system=gcp.vertex.agent {GEMINI}"
     " gen_ai.usage.input_tokens=313 gen_ai.usage.output_tokens=37"
     " gen_ai.usage.cache_read.input_tokens=128", GEMINI_CALL, {"read": 128}),
    ("strands", "strands.telemetry.tracer",
     f"{CHAT} gen_ai.provider.name=strands-agents {CLAUDE} {INCLUSIVE}"
     " gen_ai.usage.prompt_tokens=918 gen_ai.usage.completion_tokens=31"
     " gen_ai.usage.total_tokens=949 gen_ai.usage.cache_read_input_tokens=512"
     " gen_ai.usage.cache_write_input_tokens=256", CLAUDE_CALL, SPLIT),
    ("strands_exclusive", "strands-agents",
     f"{CHAT} gen_ai.system=strands-agents {BEDROCK} gen_ai.usage.input_tokens=1500"
     " gen_ai.usage.output_tokens=31 gen_ai.usage.total_tokens=2299"
     " gen_ai.usage.cache_read_input_tokens=512 gen_ai.usage.cache_write_input_tokens=256",
     ("llm", "aws", "claude-haiku-4-5", 2268, 31), SPLIT),
    # Anthropic's own
    ("anthropic_sdk", "com.anthropic.sdk.python",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}"
     " anthropic.usage.cache_creation.ephemeral_5m_input_tokens=200"
     " anthropic.usage.cache_creation.ephemeral_1h_input_tokens=56",
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    ("anthropic_sdk_compaction", "com.anthropic.sdk.python",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}"
     " anthropic.usage.compaction.input_tokens=1000 anthropic.usage.compaction.output_tokens=69",
     ("llm", "anthropic", "claude-haiku-4-5", 1918, 100), SPLIT),
    ("anthropic_on_bedrock", "com.anthropic.sdk.python.bedrock",
     f"{CHAT} gen_ai.provider.name=aws.bedrock {BEDROCK} {INCLUSIVE}", BEDROCK_CALL, SPLIT),
    ("claude_code", "com.anthropic.claude_code",
     "span.type=llm_request model=claude-haiku-4-5 gen_ai.system=anthropic input_tokens=150"
     " output_tokens=31 cache_read_tokens=512 cache_creation_tokens=256", CLAUDE_CALL, SPLIT),
    # OpenInference
    ("oi_openai", OI + "openai", OI_GPT + " llm.system=openai llm.provider=openai",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("oi_azure", OI + "openai", OI_GPT + " llm.system=openai llm.provider=azure",
     ("llm", "azure", "gpt-4o-mini", 237, 23), {"read": 64, "reasoning": 4}),
    ("oi_js", "@arizeai/openinference-instrumentation-openai", OI_GPT + " llm.system=openai",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("oi_anthropic", OI + "anthropic", OI_CLAUDE + " llm.system=anthropic", CLAUDE_CALL, SPLIT),
    ("oi_bedrock", OI + "bedrock", OI_CLAUDE.replace("claude", "anthropic.claude")
     + " llm.provider=aws", BEDROCK_CALL, SPLIT),
    ("oi_bedrock_nova", OI + "bedrock",
     "openinference.span.kind=LLM llm.model_name=amazon.nova-lite-v1:0 llm.provider=aws"
     " llm.token_count.prompt=150 llm.token_count.completion=31 llm.token_count.total=693"
     " llm.token_count.prompt_details.cache_read=512",
     ("llm", "aws", "nova-lite", 662, 31), {"read": 512}),
    ("oi_langchain", OI + "langchain", OI_GPT + " llm.provider=openai",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("oi_langchain_gemini", OI + "langchain",
     "openinference.span.kind=LLM llm.model_name=models/gemini-2.5-flash llm.provider=google"
     " llm.token_count.prompt=313 llm.token_count.completion=26 llm.token_count.total=350"
     " llm.token_count.completion_details.reasoning=11", GEMINI_CALL, {"reasoning": 11}),
    ("oi_llamaindex_gemini", OI + "llama_index",
     "openinference.span.kind=LLM llm.model_name=models/gemini-2.5-flash"
     " llm.token_count.prompt=313 llm.token_count.completion=26 llm.token_count.total=350",
     GEMINI_CALL, {"reasoning": 11}),
    ("oi_llamaindex_anthropic", OI + "llama_index",
     "openinference.span.kind=LLM llm.model_name=claude-haiku-4-5 llm.token_count.prompt=150"
     " llm.token_count.completion=31 llm.token_count.total=949"
     " llm.token_count.prompt_details.cache_read=512"
     " llm.token_count.prompt_details.cache_write=256", CLAUDE_CALL, SPLIT),
    ("oi_llamaindex_anthropic_without_split", OI + "llama_index",
     "openinference.span.kind=LLM llm.model_name=claude-haiku-4-5 llm.token_count.prompt=150"
     " llm.token_count.completion=31 llm.token_count.total=949",
     ("llm", "anthropic", "claude-haiku-4-5", 150, 31), NO_PARTS),
    ("oi_google_genai", OI + "google_genai",
     "openinference.span.kind=LLM llm.model_name=gemini-2.5-flash llm.provider=google"
     " llm.token_count.prompt=313 llm.token_count.completion=37 llm.token_count.total=350"
     " llm.token_count.completion_details.reasoning=11", GEMINI_CALL, {"reasoning": 11}),
    ("oi_litellm", OI + "litellm",
     OI_GPT.replace("=gpt", "=openai/gpt") + " llm.cost.total=0.001",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("oi_pydantic_ai", "pydantic-ai",
     f"{OI_GPT} {CHAT} gen_ai.provider.name=openai {GPT} {PLAIN}",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("oi_decision", OI + "agents",
     "openinference.span.kind=DECISION decision.model_name=gpt-4o-mini"
     " decision.token_count.input=237 decision.token_count.output=23", OPENAI_CALL, NO_PARTS),
    ("oi_embedding", OI + "openai",
     "openinference.span.kind=EMBEDDING embedding.model_name=text-embedding-3-small"
     " llm.token_count.prompt=9 llm.token_count.total=9",
     ("embedding", "openai", "text-embedding-3-small", 9, 0), NO_PARTS),
    # OpenLLMetry
    ("tl_openai", OTEL + "openai",
     f"{CHAT} gen_ai.provider.name=openai {GPT} {CACHED} gen_ai.usage.total_tokens=260"
     " gen_ai.usage.reasoning_tokens=4", OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("tl_openai_old", OTEL + "openai",
     f"llm.request.type=chat gen_ai.system=OpenAI {GPT} gen_ai.usage.prompt_tokens=237"
     " gen_ai.usage.completion_tokens=23 llm.usage.total_tokens=260"
     " gen_ai.usage.cache_read_input_tokens=64", OPENAI_CALL, READ),
    ("tl_openai_oldest", OTEL + "openai",
     "llm.request.type=chat llm.vendor=OpenAI llm.request.model=gpt-4o-mini"
     " llm.response.model=gpt-4o-mini-2024-07-18 llm.usage.prompt_tokens=237"
     " llm.usage.completion_tokens=23 llm.usage.total_tokens=260", OPENAI_CALL, NO_PARTS),
    ("tl_js", "@traceloop/instrumentation-bedrock",
     f"llm.request.type=chat gen_ai.system=AWS {BEDROCK} {EXCLUSIVE}", BEDROCK_CALL, SPLIT),
    ("tl_anthropic", OTEL + "anthropic",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}", CLAUDE_CALL, SPLIT),
    ("tl_bedrock", OTEL + "bedrock",
     f"{CHAT} gen_ai.provider.name=aws.bedrock {BEDROCK}"
     " gen_ai.usage.input_tokens=1500 gen_ai.usage.output_tokens=31"
     " gen_ai.usage.total_tokens=1531 gen_ai.usage.cache_read.input_tokens=512"
     " gen_ai.usage.cache_creation.input_tokens=256",
     ("llm", "aws", "claude-haiku-4-5", 2268, 31), SPLIT),
    ("tl_langchain", OTEL + "langchain",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE} gen_ai.usage.total_tokens=949",
     CLAUDE_CALL, SPLIT),
    ("tl_gemini", OTEL + "google_generativeai",
     f"gen_ai.operation.name=generate_content gen_ai.provider.name=gcp.gen_ai {GEMINI}"
     " gen_ai.usage.input_tokens=313 gen_ai.usage.output_tokens=26 gen_ai.usage.total_tokens=350",
     GEMINI_CALL, {"reasoning": 11}),
    ("tl_vertex", OTEL + "vertexai",
     f"llm.request.type=completion gen_ai.system=VertexAI {GEMINI} gen_ai.usage.prompt_tokens=313"
     " gen_ai.usage.completion_tokens=26 llm.usage.total_tokens=350",
     ("llm", "vertex", "gemini-2.5-flash", 313, 37), {"reasoning": 11}),
    ("tl_cohere_rerank", OTEL + "cohere",
     "llm.request.type=rerank gen_ai.system=Cohere gen_ai.request.model=rerank-v3.5"
     " gen_ai.usage.prompt_tokens=9", ("rerank", "cohere", "rerank-v3.5", 9, 0), NO_PARTS),
    ("tl_xai", OTEL + "openai",
     f"{CHAT} gen_ai.provider.name=x_ai gen_ai.request.model=grok-4 gen_ai.usage.input_tokens=2640"
     " gen_ai.usage.output_tokens=182 gen_ai.usage.reasoning_tokens=672"
     " gen_ai.usage.total_tokens=3494", ("llm", "x-ai", "grok-4", 2640, 854), {"reasoning": 672}),
    # OpenLIT
    ("openlit_openai", "openlit.instrumentation.openai",
     f"{CHAT} gen_ai.provider.name=openai {GPT} {CACHED} gen_ai.usage.cost=0.1"
     " gen_ai.usage.cache_creation.input_tokens=0 gen_ai.usage.reasoning_tokens=4",
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    ("openlit_anthropic", "openlit.instrumentation.anthropic",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {EXCLUSIVE}", CLAUDE_CALL, SPLIT),
    ("openlit_bedrock", "openlit.instrumentation.bedrock",
     f"{CHAT} gen_ai.provider.name=aws.bedrock {BEDROCK} {EXCLUSIVE}", BEDROCK_CALL, SPLIT),
    ("openlit_langchain", "openlit.instrumentation.langchain",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}", CLAUDE_CALL, SPLIT),
    # Langfuse: disjoint buckets with free names
    ("langfuse", "langfuse-sdk",
     "langfuse.observation.type=generation langfuse.observation.model.name=claude-haiku-4-5"
     ' \'langfuse.observation.usage_details={"input": 150, "output": 31, "total": 949,'
     ' "input_cache_read": 512, "input_cache_creation": 256}\'', CLAUDE_CALL, SPLIT),
    ("langfuse_anthropic_names", "langfuse-sdk",
     "langfuse.observation.type=generation langfuse.observation.model.name=claude-haiku-4-5"
     ' \'langfuse.observation.usage_details={"input": 150, "output": 31,'
     ' "cache_read_input_tokens": 512, "cache_creation_input_tokens": 256}\'', CLAUDE_CALL, SPLIT),
    ("langfuse_retention", "langfuse-sdk",
     "langfuse.observation.type=generation langfuse.observation.model.name=claude-haiku-4-5"
     ' \'langfuse.observation.usage_details={"input": 150, "output": 31, "input_cache_read": 512,'
     ' "input_cache_creation_5m": 200, "input_cache_creation_1h": 56}\'',
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    ("langfuse_langchain_retention", "langfuse-sdk",
     "langfuse.observation.type=generation langfuse.observation.model.name=claude-haiku-4-5"
     ' \'langfuse.observation.usage_details={"input": 150, "output": 31, "input_cache_read": 512,'
     ' "input_cache_creation": 0, "input_ephemeral_5m_input_tokens": 200,'
     ' "input_ephemeral_1h_input_tokens": 56}\'',
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    ("langfuse_openai_wrapper", "langfuse-sdk",
     "langfuse.observation.type=generation langfuse.observation.model.name=gpt-4o-mini-2024-07-18"
     ' \'langfuse.observation.usage_details={"prompt_tokens": 237, "completion_tokens": 23,'
     ' "total_tokens": 260, "prompt_tokens_details": {"cached_tokens": 64},'
     ' "completion_tokens_details": {"reasoning_tokens": 4}}\'',
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    # Vercel AI SDK
    ("vercel_4", "ai",
     "ai.operationId=ai.generateText.doGenerate ai.model.provider=openai.chat"
     " ai.model.id=gpt-4o-mini ai.usage.promptTokens=237 ai.usage.completionTokens=23",
     OPENAI_CALL, NO_PARTS),
    ("vercel_5_anthropic", "ai",
     "ai.operationId=ai.generateText.doGenerate ai.model.provider=anthropic.messages"
     " ai.model.id=claude-haiku-4-5 ai.usage.inputTokens=150 ai.usage.outputTokens=31"
     " ai.usage.cachedInputTokens=512",
     ("llm", "anthropic", "claude-haiku-4-5", 662, 31), {"read": 512}),
    ("vercel_6_anthropic", "ai",
     "ai.operationId=ai.streamText.doStream ai.model.provider=anthropic.messages"
     " ai.model.id=claude-haiku-4-5 ai.usage.inputTokens=918 ai.usage.outputTokens=31"
     " ai.usage.inputTokenDetails.cacheReadTokens=512"
     " ai.usage.inputTokenDetails.cacheWriteTokens=256", CLAUDE_CALL, SPLIT),
    ("vercel_vertex", "ai",
     "ai.operationId=ai.generateText.doGenerate ai.model.provider=google.vertex.chat"
     " ai.model.id=gemini-2.5-flash ai.usage.inputTokens=313 ai.usage.outputTokens=37",
     ("llm", "vertex", "gemini-2.5-flash", 313, 37), NO_PARTS),
    ("vercel_7", "gen_ai",
     f"{CHAT} gen_ai.provider.name=anthropic {CLAUDE} {INCLUSIVE}", CLAUDE_CALL, SPLIT),
    # Pydantic AI, Logfire
    ("pydantic_ai", "pydantic-ai",
     f"{CHAT} gen_ai.system=anthropic {CLAUDE} {INCLUSIVE} operation.cost=0.1"
     " gen_ai.usage.details.cache_read_tokens=512 gen_ai.usage.details.cache_write_tokens=256",
     CLAUDE_CALL, SPLIT),
    ("pydantic_ai_gemini", "pydantic-ai",
     f"{CHAT} gen_ai.system=google-gla {GEMINI} gen_ai.usage.input_tokens=313"
     " gen_ai.usage.output_tokens=37 gen_ai.usage.details.thoughts_tokens=11",
     GEMINI_CALL, {"reasoning": 11}),
    ("logfire_anthropic", "logfire.anthropic",
     f"{CHAT} gen_ai.system=anthropic {CLAUDE} gen_ai.usage.input_tokens=918"
     " gen_ai.usage.output_tokens=31"
     ' \'gen_ai.usage.raw={"input_tokens": 150, "output_tokens": 31,'
     ' "cache_read_input_tokens": 512, "cache_creation_input_tokens": 256,'
     ' "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 56}}\'',
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    ("logfire_openai", "logfire.openai",
     f"{CHAT} gen_ai.system=openai {GPT} {PLAIN}"
     ' \'gen_ai.usage.raw={"prompt_tokens": 237, "completion_tokens": 23, "total_tokens": 260,'
     ' "prompt_tokens_details": {"cached_tokens": 64}}\'', OPENAI_CALL, READ),
    # LiteLLM
    ("litellm_v1", "litellm",
     f"gen_ai.operation.name=acompletion gen_ai.system=openai {GPT} {PLAIN}"
     " gen_ai.usage.total_tokens=260 gen_ai.cost.total_cost=0.1", OPENAI_CALL, NO_PARTS),
    ("litellm_v2", "litellm",
     f"{CHAT} gen_ai.provider.name=openai {GPT} {CACHED} litellm.cost.total=0.1",
     OPENAI_CALL, READ),
    ("litellm_raw_anthropic", "litellm",
     "llm.anthropic.model=claude-haiku-4-5 \"llm.anthropic.usage={'input_tokens': 150,"
     " 'cache_creation_input_tokens': 256, 'cache_read_input_tokens': 512, 'cache_creation':"
     " {'ephemeral_5m_input_tokens': 200, 'ephemeral_1h_input_tokens': 56}, 'output_tokens': 31}\"",
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    # MLflow: everything is JSON
    ("mlflow", "mlflow.openai.autolog",
     MLFLOW.format(model="gpt-4o-mini", provider="openai")
     + ' \'mlflow.chat.tokenUsage={"input_tokens": 237, "output_tokens": 23, "total_tokens": 260,'
     ' "cache_read_input_tokens": 64}\'', OPENAI_CALL, READ),
    ("mlflow_anthropic", "mlflow.anthropic.autolog",
     MLFLOW.format(model="claude-haiku-4-5", provider="anthropic")
     + ' \'mlflow.chat.tokenUsage={"input_tokens": 918, "output_tokens": 31, "total_tokens": 949,'
     ' "cache_read_input_tokens": 512, "cache_creation_input_tokens": 256,'
     ' "cache_creation_input_tokens_above_1hr": 56}\'',
     CLAUDE_CALL, {"read": 512, "write": 200, "long": 56}),
    # LangSmith
    ("langsmith", "langsmith",
     f"langsmith.span.kind=llm {CHAT} gen_ai.system=anthropic {CLAUDE}"
     " gen_ai.usage.input_tokens=918 gen_ai.usage.output_tokens=31 gen_ai.usage.total_tokens=949"
     " \"gen_ai.usage.input_token_details={'cache_read': 512, 'cache_creation': 256}\"",
     CLAUDE_CALL, SPLIT),
    ("langsmith_metadata", "langsmith",
     f"langsmith.span.kind=llm gen_ai.system=openai {GPT}"
     ' \'langsmith.usage_metadata={"input_tokens": 237, "output_tokens": 23, "total_tokens": 260,'
     ' "input_token_details": {"cache_read": 64}, "output_token_details": {"reasoning": 4}}\'',
     OPENAI_CALL, {"read": 64, "reasoning": 4}),
    # others
    ("agentops", "agentops",
     f"agentops.span.kind=llm gen_ai.system=openai {GPT} gen_ai.usage.prompt_tokens=237"
     " gen_ai.usage.completion_tokens=23 gen_ai.usage.cache_read_input_tokens=64",
     OPENAI_CALL, READ),
    ("langtrace", "langtrace",
     f"langtrace.service.type=llm langtrace.service.name=OpenAI {GPT} {PLAIN}"
     " gen_ai.usage.cached_tokens=64 gen_ai.system=OpenAI", OPENAI_CALL, READ),
    ("vllm", "vllm.llm_engine",
     "gen_ai.response.model=gpt-4o-mini gen_ai.usage.prompt_tokens=237"
     " gen_ai.usage.completion_tokens=23 gen_ai.request.id=cmpl-1",
     ("llm", "openai", "gpt-4o-mini", 237, 23), NO_PARTS),
    ("sentry", "sentry",
     f"{CHAT} gen_ai.system=anthropic {CLAUDE} gen_ai.usage.input_tokens=918"
     " gen_ai.usage.output_tokens=31 gen_ai.usage.input_tokens.cached=512"
     " gen_ai.usage.input_tokens.cache_write=256 gen_ai.usage.output_tokens.reasoning=4",
     CLAUDE_CALL, {"read": 512, "write": 256, "reasoning": 4}),
    ("gemini_cli", "gemini-cli",
     f"gen_ai.operation.name=llm_call gen_ai.provider.name=gcp.gen_ai {GEMINI}"
     " gen_ai.usage.input_tokens=313 gen_ai.usage.output_tokens=37", GEMINI_CALL, NO_PARTS),
    ("loongsuite", "loongsuite.instrumentation.dashscope",
     f"gen_ai.span.kind=LLM gen_ai.system=openai {GPT} {PLAIN}", OPENAI_CALL, NO_PARTS),
    ("laminar", "lmnr.sdk",
     f"lmnr.span.type=LLM gen_ai.system=openai {GPT} {PLAIN}", OPENAI_CALL, NO_PARTS),
    ("voltagent", "voltagent",
     "entity.type=llm gen_ai.request.model=gpt-4o-mini llm.usage.prompt_tokens=237"
     " llm.usage.completion_tokens=23", OPENAI_CALL, NO_PARTS),
]  # fmt: skip

PARTS = {
    "read": "cache_read_tokens",
    "write": "cache_write_short_tokens",
    "long": "cache_write_long_tokens",
    "reasoning": "reasoning_tokens",
}


@pytest.mark.parametrize(
    ("scope", "span", "call", "parts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_call_is_read_as_it_was_billed(scope, span, call, parts):
    """Every emitter's own names, conventions and spellings lead to the same disjoint counts."""
    (step,) = walk_bodies([draw(f"call scope={scope} {span}").body()]).rows()
    kind, provider, model, total_in, total_out = call
    assert step["kind"] == kind
    assert step["provider"] == provider
    assert model in step["model"]
    assert '"' not in step["model"]
    assert (input_of(step), step["output_tokens"]) == (total_in, total_out)
    assert {name: step[column] for name, column in PARTS.items() if step[column]} == parts


KINDS = [
    # scope, span as drawn, kind of the span
    ("agentops", "agentops.span.kind=tool", "tool"),
    ("agentops", "agentops.span.kind=agent", "agent"),
    ("haystack", "haystack.tool.name=search", "tool"),
    ("any", "gen_ai.tool.name=search", "tool"),
    ("lmnr.sdk", "lmnr.span.type=TOOL", "tool"),
    ("voltagent", "entity.type=tool", "tool"),
    ("voltagent", "entity.type=retriever", "retrieval"),
    ("loongsuite.x", "gen_ai.span.kind=RETRIEVER", "retrieval"),
    ("loongsuite.x", "gen_ai.span.kind=AGENT", "agent"),
    ("langtrace", "langtrace.service.type=vectordb db.system=chromadb", "retrieval"),
    ("langsmith", "langsmith.span.kind=retriever gen_ai.operation.name=embeddings", "retrieval"),
    ("opentelemetry.instrumentation.mcp", "traceloop.span.kind=session", "other"),
    ("logfire.openai_agents", "gen_ai.system=openai", "other"),
    ("mlflow.x", 'mlflow.spanType="\\"RETRIEVER\\""', "retrieval"),
    ("openlit.instrumentation.mcp", "gen_ai.operation.name=mcp_tool_call", "tool"),
    ("any", "mcp.method.name=tools/call", "tool"),
    ("any", "mcp.method.name=resources/read", "other"),
    ("autogen-core", "gen_ai.operation.name=create_agent gen_ai.system=autogen", "other"),
    ("litellm", "gen_ai.operation.name=aimage_generation", "llm"),
]


@pytest.mark.parametrize(("scope", "span", "kind"), KINDS)
def test_a_span_is_what_its_emitter_says(scope, span, kind):
    """Kinds in every vocabulary; structure stays structure."""
    walked = walk_bodies([draw(f"span scope={scope} {span}").body()])
    assert walked.verdicts.column("kind").to_pylist() == [kind]
