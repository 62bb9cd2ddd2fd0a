"""Settings of the walk: where tags are found and what they default to."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agentcost_collector.model.schemas import TAGS

_METADATA = (
    "traceloop.association.properties",
    "ai.telemetry.metadata",
    "langfuse.trace.metadata",
    "langsmith.metadata",
    "mlflow.traceTag",
    "metadata",
)
_MORE: dict[str, tuple[str, ...]] = {
    "environment": (
        "deployment.environment.name",
        "deployment.environment",
        "langfuse.environment",
        "gen_ai.environment",
        "sentry.environment",
        "deployment.env",
    ),
    "tenant": (
        "tenant.id",
        "app.tenant.id",
        "traceloop.association.properties.tenant_id",
        "traceloop.association.properties.customer_id",
        "ai.telemetry.metadata.tenantId",
        "litellm.team.id",
        "metadata.user_api_key_team_id",
    ),
    "parent_run_id": ("ai.telemetry.metadata.parentRunId",),
    "workload_class": ("app.workload",),
}


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


def default_aliases(tag: str) -> tuple[str, ...]:
    """Attributes that carry a tag unless configured otherwise, in order of preference."""
    return (
        f"agentcost.{tag}",
        f"app.{tag}",
        tag,
        *(f"{prefix}.{name}" for prefix in _METADATA for name in (tag, f"app_{tag}")),
        *_MORE.get(tag, ()),
    )


class Config(BaseModel):
    """Tag policy and tolerances of the walk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag_aliases: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: {tag: default_aliases(tag) for tag in TAGS}
    )
    """Per tag the attributes that carry it, first present wins. Read from spans, from attributes
    copied out of baggage (`baggage.<attribute>`) and from the resource. A tag left out keeps its
    default list."""
    tag_defaults: dict[str, str] = Field(default_factory=dict)
    """Value of a tag where nothing declares it; marked `default`. None by default: what nobody
    declared stays visible as unattributed."""
    metered_hosts: tuple[str, ...] = METERED_HOSTS
    """Hosts of third-party APIs that charge for a call. An HTTP request to one of them (or to a
    host below it) is a step of its own, unless it carries a model call that is counted already."""
    clock_slack_ms: int = Field(default=5, ge=0)
    """How far the clocks of two spans may disagree when one must lie within the other."""

    @field_validator("tag_aliases")
    @classmethod
    def _known_tags(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        unknown = sorted(value.keys() - set(TAGS))
        if unknown:
            raise ValueError(f"unknown tag {unknown[0]!r}; the six tags are {', '.join(TAGS)}")
        return {tag: value.get(tag, default_aliases(tag)) for tag in TAGS}

    @field_validator("tag_defaults")
    @classmethod
    def _known_defaults(cls, value: dict[str, str]) -> dict[str, str]:
        unknown = sorted(value.keys() - set(TAGS))
        if unknown:
            raise ValueError(f"unknown tag {unknown[0]!r}; the six tags are {', '.join(TAGS)}")
        return value
