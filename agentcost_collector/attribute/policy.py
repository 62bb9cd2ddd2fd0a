"""The tag policy: what a user may say about who pays. One file, `schema: agentcost.policy/v1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agentcost_collector.model.schemas import TAGS

OWNERS = ("owner_team", "owner_feature")
OTHER_VALUE = "__other__"
"""Stands for a value that is too long, or one too many in a trace: its money is kept."""

LABELS_MAX = 16
RULES_MAX = 1000
_BAGGAGE = "baggage."
_KEY = r"""\b{}\s*\[\s*'((?:[^']|'')+)'\s*\]"""

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

Text = Annotated[str, Field(min_length=1, max_length=256)]


def default_aliases(tag: str) -> tuple[str, ...]:
    """Attributes that carry a tag unless configured otherwise, in order of preference."""
    return (
        f"agentcost.{tag}",
        f"app.{tag}",
        tag,
        *(f"{prefix}.{name}" for prefix in _METADATA for name in (tag, f"app_{tag}")),
        *_MORE.get(tag, ()),
    )


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TagPolicy(_Part):
    """Where one tag is found, what it may say, and what holds where nothing is found."""

    attributes: tuple[Text, ...] | None = None
    """Attributes that carry the tag, the first that a span has counts. None: the default list."""
    values: tuple[Text, ...] | None = None
    """All values that are allowed. Any other does not count as declared. None: any value."""
    pattern: Text | None = None
    """Regular expression (RE2) for the whole of an allowed value."""
    required: bool | tuple[Text, ...] | None = None
    """Environments in which a step must have the tag, or true for all. None: true for `feature`,
    false for the others."""
    default: Text | None = None
    """The tag where nothing declares it; marked `default`. None: what nobody declared stays
    visible as unattributed."""

    @field_validator("pattern")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                _matches(pa.array([""]), value)
            except pa.ArrowInvalid as wrong:
                raise ValueError(f"not a regular expression: {wrong}") from wrong
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.values is not None and self.pattern is not None:
            raise ValueError("has both `values` and `pattern`; keep one of them")
        if self.default is not None and not self.allows(self.default):
            raise ValueError(f"default '{self.default}' is not an allowed value; add it to them")
        return self

    @property
    def is_strict(self) -> bool:
        """Whether some values are not allowed."""
        return self.values is not None or self.pattern is not None

    def allowed(self, values: Sequence[str]) -> list[bool]:
        """Which of some texts are allowed values."""
        if self.values is not None:
            return [value in self.values for value in values]
        if self.pattern is not None:
            matched: list[bool] = _matches(pa.array(values, pa.string()), self.pattern).to_pylist()
            return matched
        return [True] * len(values)

    def allows(self, value: str) -> bool:
        """Whether one text is an allowed value."""
        return self.allowed([value])[0]


class Tags(_Part):
    """The six tags."""

    feature: TagPolicy = TagPolicy()
    team: TagPolicy = TagPolicy()
    workload_class: TagPolicy = TagPolicy()
    tenant: TagPolicy = TagPolicy()
    environment: TagPolicy = TagPolicy()
    parent_run_id: TagPolicy = TagPolicy()


class Boundary(StrEnum):
    """What a tool or service is instead of a boundary behind which its caller pays."""

    ABSORB = "absorb"
    """Its owner pays for what happens in it."""
    TRANSPARENT = "transparent"
    """No boundary: the nearest feature pays, as anywhere else."""


class Boundaries(_Part):
    """Exceptions from the rule that the caller of a tool, retrieval or rerank pays."""

    tools: dict[Text, Boundary] = Field(default_factory=dict)
    """By name of the tool, as the column `tool` has it."""
    services: dict[Text, Boundary] = Field(default_factory=dict)
    """By service. `absorb`: of all that happens in it and beneath; `transparent`: of the tools,
    retrievals and reranks that it reports."""


class FeaturePolicy(_Part):
    """What is special about one feature."""

    product_boundary: bool = False
    """It pays for itself even where it runs inside another feature's tool or agent."""


class Limits(_Part):
    """Bounds on what comes from outside. What exceeds them becomes `__other__`."""

    value_chars_max: int = Field(default=128, ge=1, le=1024)
    """Characters of a tag or label."""
    values_per_trace_max: int = Field(default=1000, ge=1)
    """Distinct values of one tag or label in one trace, the first to begin are kept."""


class Given(_Part):
    """What a rule gives to the spans that it matches."""

    feature: Text | None = None
    team: Text | None = None
    workload_class: Text | None = None
    tenant: Text | None = None
    environment: Text | None = None
    parent_run_id: Text | None = None
    owner_team: Text | None = None
    """Team that did the work, whoever pays."""
    owner_feature: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(value is None for _, value in self):
            raise ValueError("sets nothing; name a tag, owner_team or owner_feature")
        return self


class Rule(_Part):
    """Tags for spans whose code nobody can change."""

    when: Annotated[str, Field(min_length=1, max_length=4096)]
    """SQL condition over the columns of a span; see attribute/rules.py."""
    set: Given


class Policy(_Part):
    """Tags, boundaries and rules. The empty policy is what holds without a file."""

    version: Literal["agentcost.policy/v1"] = Field(
        default="agentcost.policy/v1", validation_alias="schema"
    )
    tags: Tags = Tags()
    labels: Annotated[tuple[Text, ...], Field(max_length=LABELS_MAX)] = ()
    """Further attributes that are kept with every step, in the column `labels`."""
    boundaries: Boundaries = Boundaries()
    features: dict[Text, FeaturePolicy] = Field(default_factory=dict)
    limits: Limits = Limits()
    rules: Annotated[tuple[Rule, ...], Field(max_length=RULES_MAX)] = ()
    """In order: of those that match a span and set the same tag the first counts."""

    def tag(self, tag: str) -> TagPolicy:
        """Policy of one of the six tags."""
        policy: TagPolicy = getattr(self.tags, tag)
        return policy

    def required_in(self, tag: str) -> bool | tuple[str, ...]:
        """Environments in which a tag is required, True for all, False for none."""
        required = self.tag(tag).required
        return tag == "feature" if required is None else required

    @cached_property
    def aliases(self) -> Mapping[str, Sequence[str]]:
        """Per tag the attributes that carry it, in order."""
        own = {tag: self.tag(tag).attributes for tag in TAGS}
        return {tag: default_aliases(tag) if of is None else of for tag, of in own.items()}

    def refused_settings(self) -> Iterator[tuple[int, str, str]]:
        """(rule, name, value) where a rule sets what the policy of that tag does not allow."""
        for number, rule in enumerate(self.rules):
            for name, value in rule.set:
                tag = self.tag(name.removeprefix("owner_"))
                if value is not None and not tag.allows(value):
                    yield number, name, value

    def rule_keys(self, map_name: Literal["attributes", "resource"]) -> frozenset[str]:
        """The keys that rules look up in `attributes['key']` or `resource['key']`."""
        return frozenset(key for rule in self.rules for key in keys_in(rule.when, map_name))

    def span_keys(self) -> Iterator[str]:
        """Span attributes that the policy reads beside the tags': what decode must keep."""
        yield from self.labels
        yield from (_BAGGAGE + key for key in self.labels)
        yield from self.rule_keys("attributes")

    def resource_keys(self) -> Iterator[str]:
        """Resource attributes that the policy reads."""
        yield from (key for keys in self.aliases.values() for key in keys)
        yield from self.labels
        yield from self.rule_keys("resource")


def keys_in(when: str, map_name: str) -> list[str]:
    """The keys that a condition looks up in `map_name['key']`."""
    found = re.findall(_KEY.format(map_name), when, re.IGNORECASE)
    return [key.replace("''", "'") for key in found]


def _matches(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, rf"\A(?:{pattern})\z")
