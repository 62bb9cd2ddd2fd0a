"""OpenInference (Arize). Input includes cached tokens, output includes reasoning."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

DIALECT = Dialect(
    name="openinference",
    title="OpenInference instrumentations (Arize)",
    scopes=("openinference.instrumentation", "@arizeai/openinference-instrumentation-"),
    signature=("openinference.span.kind",),
    fields={
        "provider": ("llm.provider", "llm.system"),
        "model": (
            "llm.response.model_name",
            "llm.model_name",
            "embedding.model_name",
            "reranker.model_name",
            "decision.model_name",
        ),
        "requested_model": ("llm.request.model_name",),
        "response_id": ("llm.response.id",),
        "input": ("llm.token_count.prompt", "decision.token_count.input"),
        "output": ("llm.token_count.completion", "decision.token_count.output"),
        "total": ("llm.token_count.total",),
        "cache_read": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write": ("llm.token_count.prompt_details.cache_write",),
        "reasoning": ("llm.token_count.completion_details.reasoning",),
        "input_audio": ("llm.token_count.prompt_details.audio",),
        "output_audio": ("llm.token_count.completion_details.audio",),
        "reported_cost": ("llm.cost.total",),
        "tool": ("tool.name",),
        "tool_call_id": ("tool_call.id", "tool.id"),
        "session_id": ("session.id",),
        "user_id": ("user.id",),
        "agent": ("agent.name",),
    },
    kinds={
        "openinference.span.kind": {
            "llm": Kind.LLM,
            "embedding": Kind.EMBEDDING,
            "reranker": Kind.RERANK,
            "retriever": Kind.RETRIEVAL,
            "tool": Kind.TOOL,
            "agent": Kind.AGENT,
            "chain": Kind.WORKFLOW,
            "decision": Kind.LLM,
            "guardrail": Kind.OTHER,
            "prompt": Kind.OTHER,
            "evaluator": Kind.OTHER,
        }
    },
    names={r"\._prepare_chat_with_tools$": Kind.OTHER},
    loses_cache_write=("openinference.instrumentation.langchain",),
    excludes_reasoning=("openinference.instrumentation.llama_index",),
    total_is_reported=True,
    running_totals=("openinference.instrumentation.smolagents",),
    last_call_only=("openinference.instrumentation.google_genai",),
    tools_offered=("message.tool_calls.0.tool_call.function.name",),
)
