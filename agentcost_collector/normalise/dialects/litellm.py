"""LiteLLM. Version 1 writes a call's usage onto the caller's current span, call after call."""

from agentcost_collector.model.kinds import Kind
from agentcost_collector.normalise.dialect import Dialect

_PROVIDERS = [
    "openai",
    "anthropic",
    "azure",
    "azure_ai",
    "bedrock",
    "gemini",
    "vertex_ai",
    "mistral",
    "groq",
    "cohere",
    "deepseek",
    "xai",
    "together_ai",
    "fireworks_ai",
    "openrouter",
    "perplexity",
    "voyage",
    "None",
]
_CALLS = {
    **dict.fromkeys(
        [
            "completion",
            "acompletion",
            "responses",
            "aresponses",
            "anthropic_messages",
            "text_completion",
            "atext_completion",
            "chat.completions",
            "image_generation",
            "aimage_generation",
            "speech",
            "aspeech",
            "transcription",
            "atranscription",
            "moderation",
            "amoderation",
        ],
        Kind.LLM,
    ),
    **dict.fromkeys(["embedding", "aembedding"], Kind.EMBEDDING),
    **dict.fromkeys(["rerank", "arerank"], Kind.RERANK),
}

DIALECT = Dialect(
    name="litellm",
    title="LiteLLM",
    scopes=("litellm",),
    signature=("litellm.call_id", "gen_ai.cost.total_cost"),
    fields={
        "model": ("litellm.provider.model", *(f"llm.{p}.model" for p in _PROVIDERS)),
        "response_id": tuple(f"llm.{p}.id" for p in _PROVIDERS),
        "service_tier": tuple(f"llm.{p}.service_tier" for p in _PROVIDERS),
        "usage_text": (*(f"llm.{p}.usage" for p in _PROVIDERS), "metadata.usage_object"),
        "reported_cost": ("litellm.cost.total", "gen_ai.cost.total_cost"),
        "session_id": ("litellm.session_id",),
        "user_id": ("litellm.end_user.id", "llm.user", "metadata.user_api_key_user_id"),
    },
    kinds={"gen_ai.operation.name": _CALLS, "llm.request.type": _CALLS},
    names={r"^raw_gen_ai_request$": Kind.LLM, r"^Received Proxy Server Request$": Kind.WORKFLOW},
    writes_on_caller=True,
    call_needs_usage=r"^raw_gen_ai_request$",
)
