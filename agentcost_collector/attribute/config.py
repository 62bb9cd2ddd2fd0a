"""Settings of the walk."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

METERED_HOSTS = (
    "api.tavily.com",
    "api.exa.ai",
    "api.firecrawl.dev",
    "google.serper.dev",
    "serpapi.com",
    "api.search.brave.com",
    "api.perplexity.ai",
    "api.cohere.com",
    "api.voyageai.com",
    "api.jina.ai",
    "api.pinecone.io",
)


class Config(BaseModel):
    """What the walk takes for a call, and its tolerances."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metered_hosts: tuple[str, ...] = METERED_HOSTS
    """Hosts of third-party APIs that charge for a call. An HTTP request to one of them (or to a
    host below it) is a step of its own, unless it carries a model call that is counted already."""
    clock_slack_ms: int = Field(default=5, ge=0)
    """How far the clocks of two spans may disagree when one must lie within the other."""
