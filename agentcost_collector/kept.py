"""Which attributes are kept of a span: those that dialects, policy and user ask for."""

from __future__ import annotations

from collections.abc import Sequence

from agentcost_collector.attribute.policy import Policy
from agentcost_collector.decode.keep import Keep
from agentcost_collector.decode.pseudonyms import Pseudonyms
from agentcost_collector.normalise import OWN_PRICING, OWN_UNITS, Vocabulary

_RESOURCE_PREFIXES = (
    "agentcost.account",
    "service.",
    "deployment.environment",
    "telemetry.sdk.",
    "cloud.",
)


def keep_of(
    prefixes: Sequence[str],
    vocabulary: Vocabulary,
    policy: Policy,
    user_id_key: bytes | None = None,
) -> Keep:
    """The attributes that decode keeps: what dialects and policy read, and what the user asks
    for by `prefixes`. With `user_id_key` user ids are kept as hashes under it."""
    return Keep(
        keys=vocabulary.attribute_keys().union(policy.span_keys()),
        prefixes=(*prefixes, OWN_UNITS, OWN_PRICING),
        resource_keys=policy.resource_keys(),
        resource_prefixes=_RESOURCE_PREFIXES,
        presence=vocabulary.presence_keys(),
        urls=vocabulary.url_keys(),
        url_paths=vocabulary.url_paths(),
        numbers=vocabulary.number_keys(),
        users=Pseudonyms(vocabulary.user_keys(), user_id_key) if user_id_key else None,
    )
