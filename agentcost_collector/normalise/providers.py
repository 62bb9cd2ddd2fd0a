"""Names of providers and models: many spellings to one, and a guess only where it is safe."""

from __future__ import annotations

import re

_SPELLINGS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gemini": "google",
    "google": "google",
    "google_genai": "google",
    "google.generative-ai": "google",
    "googleai": "google",
    "google_ai_studio": "google",
    "google-gla": "google",
    "gcp.vertex_ai": "vertex",
    "vertex_ai": "vertex",
    "vertexai": "vertex",
    "google.vertex": "vertex",
    "google-vertex": "vertex",
    "google_vertexai": "vertex",
    "vertex": "vertex",
    "aws.bedrock": "aws",
    "aws": "aws",
    "bedrock": "aws",
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock_converse": "aws",
    "az.ai.openai": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "azure": "azure",
    "az.ai.inference": "azure",
    "az.ai.agents": "azure",
    "azure.ai.agents": "azure",
    "azure.ai.inference": "azure",
    "azure_ai": "azure",
    "azure_ai_foundry": "azure",
    "mistral_ai": "mistral",
    "mistral": "mistral",
    "mistralai": "mistral",
    "cohere": "cohere",
    "voyageai": "voyageai",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "x-ai": "x-ai",
    "deepseek": "deepseek",
    "groq": "groq",
    "together_ai": "together",
    "together": "together",
    "togetherai": "together",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "perplexity": "perplexity",
    "moonshot_ai": "moonshot",
    "moonshot": "moonshot",
    "moonshotai": "moonshot",
    "ibm.watsonx.ai": "ibm",
    "openrouter": "openrouter",
    "hugging_face": "huggingface",
    "ollama": "ollama",
    "vllm": "vllm",
}

_FRAMEWORKS = frozenset(
    [
        "langchain",
        "langgraph",
        "crewai",
        "strands-agents",
        "strands_agents",
        "microsoft.agent_framework",
        "gcp.vertex.agent",
        "autogen",
        "openai_agents",
        "claude_agent_sdk",
        "agent_framework",
        "smolagents",
        "inmemoryvectorstore",
        "llamaindex",
        "haystack",
        "litellm",
        "none",
        "unknown",
    ]
)

_HOSTS = (
    (re.compile(r"\.openai\.azure\.com$|\.services\.ai\.azure\.com$"), "azure"),
    (re.compile(r"(^|\.)openai\.com$"), "openai"),
    (re.compile(r"(^|\.)anthropic\.com$"), "anthropic"),
    (re.compile(r"^bedrock-runtime\..*\.amazonaws\.com$"), "aws"),
    (re.compile(r"^generativelanguage\.googleapis\.com$"), "google"),
    (re.compile(r"aiplatform\.googleapis\.com$"), "vertex"),
    (re.compile(r"(^|\.)mistral\.ai$"), "mistral"),
    (re.compile(r"(^|\.)groq\.com$"), "groq"),
    (re.compile(r"(^|\.)deepseek\.com$"), "deepseek"),
    (re.compile(r"(^|\.)openrouter\.ai$"), "openrouter"),
    (re.compile(r"(^|\.)cohere\.(com|ai)$"), "cohere"),
    (re.compile(r"(^|\.)voyageai\.com$"), "voyageai"),
    (re.compile(r"(^|\.)x\.ai$"), "x-ai"),
    (re.compile(r"(^|\.)together\.(xyz|ai)$"), "together"),
    (re.compile(r"(^|\.)fireworks\.ai$"), "fireworks"),
    (re.compile(r"(^|\.)perplexity\.ai$"), "perplexity"),
)

_MAKERS = (
    (
        re.compile(r"^(gpt-|chatgpt-|o[1-9](-|$)|text-embedding-|ft:gpt-|codex-|whisper|tts-)"),
        "openai",
    ),
    (re.compile(r"^claude-"), "anthropic"),
    (re.compile(r"^(gemini-|text-embedding-00|gemini-embedding)"), "google"),
    (re.compile(r"^(mistral-|codestral|ministral|magistral|pixtral|open-mi[sx]tral)"), "mistral"),
    (re.compile(r"^(command-|embed-(v|english|multilingual)|rerank-v)"), "cohere"),
    (re.compile(r"^(voyage-)"), "voyageai"),
    (re.compile(r"^grok-"), "x-ai"),
    (re.compile(r"^deepseek-"), "deepseek"),
)

_BEDROCK = re.compile(
    r"^(?:(?:us|eu|apac|au|jp|us-gov|global)\.)?"
    r"(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|writer)\.[a-z0-9]"
)
"""A model id of Amazon Bedrock: perhaps a region, then its maker, then the model."""
_PREFIX = re.compile(r"^(models/|publishers/[^/]+/models/|(?:[a-z_.-]+/)+)")
_REGION = re.compile(r"^(us|eu|apac|au|jp|us-gov|global)\.")
_DATE = re.compile(r"(-\d{4}-\d{2}-\d{2}|[-@]\d{8})?(-v\d+(:\d+)?)?(:\d+)?$")


def provider_of(spelling: str | None, model: str | None, host: str | None) -> str | None:
    """Canonical provider id, or None where only a guess would be possible.

    `openai.chat`, `google.vertex.chat` (Vercel) name the API after the last dot. A framework's name
    says nothing; then the host decides, then the form of the model id, then the maker of the model.
    Only Bedrock puts a maker and a dot before the model, so there the maker is not the provider.
    """
    text = (spelling or "").strip().lower()
    on_bedrock = _BEDROCK.match((model or "").strip().lower())
    if text and text not in _FRAMEWORKS:
        found = _spelled(text) or text[:64]
        return "aws" if on_bedrock and found == on_bedrock.group(1) else found
    for pattern, provider in _HOSTS:
        if host and pattern.search(host):
            return provider
    if on_bedrock:
        return "aws"
    bare = bare_model(model)
    for pattern, provider in _MAKERS:
        if bare and pattern.search(bare):
            return provider
    return None


def _spelled(text: str) -> str | None:
    """The provider of a spelling, or of what remains when parts after dots are left out."""
    while text not in _SPELLINGS and "." in text:
        text = text.rpartition(".")[0]
    return _SPELLINGS.get(text)


def bare_model(model: str | None) -> str | None:
    """A model's family name: without provider prefix, region, date and version suffix."""
    if not model:
        return None
    text = _REGION.sub("", _PREFIX.sub("", model.strip().lower()))
    if text.startswith(("anthropic.", "amazon.", "meta.", "mistral.", "cohere.")):
        text = text.split(".", 1)[1]
    return _DATE.sub("", text) or text
