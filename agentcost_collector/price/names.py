"""Spellings of one model: what a gateway or client library puts in front of its name."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PROVIDERS = {
    "anthropic": "anthropic",
    "aws": "aws",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "google": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "groq": "groq",
    "mistral": "mistral",
    "mistralai": "mistral",
    "openai": "openai",
    "perplexity": "perplexity",
    "together": "together",
    "together_ai": "together",
    "vertex_ai": "google",
    "voyage": "voyageai",
    "voyageai": "voyageai",
    "x-ai": "x-ai",
    "xai": "x-ai",
}
_PREFIX = re.compile(r"([a-z0-9_-]+)[/:](.+)")
_RESOURCE = re.compile(r"(?:arn:aws:bedrock:.*/|(?:projects/.*/)?(?:publishers/.*/)?models/)(.+)")


def spellings(model: str) -> Iterator[tuple[str | None, str]]:
    """(provider that the name itself states, lower-case name), from the whole name to the bare one.

    `openai/gpt-4o` gives (None, "openai/gpt-4o") and ("openai", "gpt-4o").
    """
    name = model.strip().lower()
    provider = None
    yield provider, name
    while True:
        resource = _RESOURCE.fullmatch(name)
        prefix = _PREFIX.fullmatch(name)
        if resource:
            name = resource[1]
        elif prefix and prefix[1] in _PROVIDERS:
            provider, name = provider or _PROVIDERS[prefix[1]], prefix[2]
        else:
            return
        yield provider, name
