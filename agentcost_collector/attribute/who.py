"""The columns of STEPS that say who pays, who did the work, and why that is not known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa

from agentcost_collector.attribute.boundaries import find_grounds
from agentcost_collector.attribute.declared import Coded, Declared, coded, declare
from agentcost_collector.attribute.policy import OWNERS, Policy, TagPolicy
from agentcost_collector.attribute.rules import Rules
from agentcost_collector.attribute.tags import (
    PAYING,
    SOURCES,
    Links,
    Payers,
    Tagged,
    find_links,
    with_credential,
    with_default,
    with_run_of_link,
)
from agentcost_collector.attribute.tree import NONE, nearest_or_self, topmost_or_self
from agentcost_collector.attribute.walk import Walk
from agentcost_collector.attribute.wide import attribute_columns, resource_columns
from agentcost_collector.model.access import PINNED_TAGS
from agentcost_collector.model.reasons import UnattributedReason
from agentcost_collector.model.schemas import TAGS

_REASONS = tuple(UnattributedReason)
_SOURCES = pa.array(SOURCES, pa.string())


def who_columns(
    spans: pa.Table,
    facts: pa.Table,
    walked: Walk,
    rows: np.ndarray,
    policy: Policy,
    rules: Rules,
) -> dict[str, Any]:
    """Tags, owners, labels and `unattributed_reason` of the steps at `rows`."""
    tree = walked.tree
    given = _given(spans, facts, walked.kind, rules)
    pinned = {tag: coded(facts.column(f"{tag}_pinned")) for tag in PINNED_TAGS}
    declared = {tag: _declared(facts, tree.trace, tag, given, pinned, policy) for tag in TAGS}
    grounds = find_grounds(facts, tree, walked.kind, declared["feature"], policy)
    tools, agents = grounds.agent_of.T
    for tag in PAYING:  # what the agent declares that a tool runs, the tool declares
        own = declared[tag].own
        own[tools] = np.where(own[tools] >= 0, own[tools], own[agents])
    links = find_links(spans)
    linked = links.followed(grounds, rows)
    payers = Payers(declared, grounds)
    found, by_domain = payers.of(rows, linked)
    owners = {f"owner_{t}": payers.owner(t, rows, found[t], by_domain) for t in PAYING}
    found["parent_run_id"] = with_run_of_link(
        found["parent_run_id"], linked, spans.column("trace_id")
    )
    found = {tag: with_default(of, policy.tag(tag).default) for tag, of in found.items()}
    for tag, of in pinned.items():
        found[tag] = with_credential(found[tag], of.at(rows))
    reason = _reasons(found, policy)
    _explain(reason, rows, declared["feature"], walked, links)
    return {
        **{tag: _text(of.names, of.codes) for tag, of in found.items()},
        **{f"{tag}_from": _SOURCES.take(pa.array(f.source)) for tag, f in found.items()},
        **{name: _text(of.names, of.codes) for name, of in owners.items()},
        "owner_service": facts.column("service").take(pa.array(rows)),
        "unattributed_reason": _text([str(r) for r in _REASONS], reason),
        "labels": _labels(spans, walked, rows, policy),
    }


def _declared(
    facts: pa.Table,
    trace: np.ndarray,
    tag: str,
    given: dict[str, Coded],
    pinned: dict[str, Coded],
    policy: Policy,
) -> Declared:
    """What spans declare of a tag; a pinned value counts as declared by the span itself."""
    columns = [coded(facts.column(tag + at)) for at in ("", "_baggage", "_resource")]
    if tag in pinned:
        columns[0] = columns[0].under(pinned[tag])
    columns += [given[name] for name in (tag, f"owner_{tag}") if name in given]
    return declare(columns, trace, policy.tag(tag), policy.limits)


def _given(spans: pa.Table, facts: pa.Table, kind: np.ndarray, rules: Rules) -> dict[str, Coded]:
    """What the first matching rule gives to each span, per tag and owner; empty without rules."""
    if not rules.rules:
        return {}
    matched = rules.match(spans, facts, kind)
    given = {}
    for name in (*TAGS, *OWNERS):
        values: list[str] = []
        found = np.full(spans.num_rows, NONE, dtype=np.int64)
        for rule, hit in zip(rules.rules, matched, strict=True):
            value = getattr(rule.set, name)
            if value is not None:
                found[hit & (found < 0)] = len(values)
                values.append(value)
        given[name] = Coded(found, values)
    return given


def _reasons(found: dict[str, Tagged], policy: Policy) -> np.ndarray:
    """Codes of reasons where a required tag or the feature is missing, else -1."""
    environment = found["environment"]
    reason = np.full(len(environment.codes), NONE, dtype=np.int64)

    def required(tag: str) -> np.ndarray:
        of = policy.required_in(tag)
        if isinstance(of, bool):
            return np.full(len(reason), of)
        listed = np.array([name in of for name in environment.names] + [False])
        marked: np.ndarray = listed[environment.codes]
        return marked

    for tag in TAGS:
        if policy.required_in(tag) is not False and tag != "feature":
            missing = (found[tag].codes < 0) & required(tag)
            reason[missing] = _REASONS.index(UnattributedReason.REQUIRED_TAG_MISSING)
    nobody = found["feature"].codes < 0
    if nobody.any():
        no_tag, free = (
            _REASONS.index(r) for r in (UnattributedReason.NO_TAG, UnattributedReason.NOT_REQUIRED)
        )
        reason[nobody] = np.where(required("feature")[nobody], no_tag, free)
    return reason


def _explain(
    reason: np.ndarray, rows: np.ndarray, feature: Declared, walked: Walk, links: Links
) -> None:
    """Says of the steps that nobody pays for what may have gone wrong, where something did."""
    nobody = np.isin(reason, [_REASONS.index(r) for r in _REASONS[4:6]])
    if not nobody.any():
        return
    tree, at = walked.tree, rows[nobody]
    top = topmost_or_self(tree.parent, np.ones(len(tree.parent), dtype=bool))[at]
    circle = np.zeros(len(tree.parent), dtype=bool)
    circle[tree.cut] = True
    why = reason[nobody]
    for known, marked in (
        (UnattributedReason.LINK_MISSING, nearest_or_self(tree.parent, links.lost)[at] >= 0),
        (UnattributedReason.PARENTS_IN_A_CIRCLE, circle[top]),
        (UnattributedReason.ROOT_MISSING, tree.orphan[top]),
    ):
        why[marked] = _REASONS.index(known)
    if feature.invalid is not None:
        refused = nearest_or_self(tree.parent, feature.invalid)[at] >= 0
        why[refused] = _REASONS.index(UnattributedReason.TAG_INVALID)
    reason[nobody] = why


def _labels(spans: pa.Table, walked: Walk, rows: np.ndarray, policy: Policy) -> pa.Array:
    """Labels of each step as a JSON object, keys sorted: the nearest span that has one counts,
    then copied baggage, then the resource. One text per distinct combination."""
    keys = sorted(set(policy.labels))
    if not keys:
        return pa.nulls(len(rows), pa.string())
    own = attribute_columns(spans, [*keys, *(f"baggage.{key}" for key in keys)])
    resource = resource_columns(spans, keys)
    codes, names = [], []
    for key in keys:
        columns = [coded(c) for c in (own[key], own[f"baggage.{key}"], resource[key])]
        label = declare(columns, walked.tree.trace, TagPolicy(), policy.limits)
        levels = label.within(walked.tree.parent)
        value = levels.own.at(rows)
        for level in (levels.baggage, levels.resource):
            value = np.where(value >= 0, value, level.at(rows))
        codes.append(value)
        names.append(label.names)
    distinct, inverse = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    texts = []
    for combination in distinct.tolist():
        found = {k: n[c] for k, n, c in zip(keys, names, combination, strict=True) if c >= 0}
        texts.append(json.dumps(found, ensure_ascii=False) if found else None)
    return pa.array(texts, pa.string()).take(pa.array(inverse.reshape(-1)))


def _text(names: list[str], codes: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))
