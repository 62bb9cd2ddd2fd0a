"""Boundaries: behind which spans somebody else pays for what happens.

boundary  a tool, retrieval or rerank, and an agent with a feature of its own inside another agent:
          what happens at and beneath it is paid by what is declared above it
domain    a tool or service that absorbs its cost, or a feature that is a product of its own: what
          happens at and beneath it is paid by what is declared from there on down
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from agentcost_collector.attribute.declared import Declared, coded
from agentcost_collector.attribute.policy import Boundary, Policy
from agentcost_collector.attribute.tree import NONE, Tree, nearest, topmost_or_self
from agentcost_collector.model.kinds import KINDS, Kind

_BOUNDARY_KINDS = tuple(KINDS.index(k) for k in (Kind.TOOL, Kind.RETRIEVAL, Kind.RERANK))
_TOOL, _AGENT = KINDS.index(Kind.TOOL), KINDS.index(Kind.AGENT)
_CALLS = tuple(KINDS.index(k) for k in (Kind.LLM, Kind.EMBEDDING))


@dataclass(frozen=True)
class Ground:
    """The forest as the search for payers sees it, per span."""

    parent: np.ndarray
    """Row of the parent, or -1; where domains count, -1 at the first span of each."""
    outermost: np.ndarray
    """Row of the outermost boundary at or above, or -1."""
    is_cut: bool = False

    def payer(self, rows: np.ndarray) -> np.ndarray:
        """Row at which the search for the payer of each of `rows` starts; -1 = nowhere."""
        outer = np.where(rows >= 0, self.outermost[rows], NONE)
        return np.where(outer >= 0, self.parent[outer], rows)


@dataclass(frozen=True)
class Grounds:
    """Who is called by whom in a batch."""

    depth: np.ndarray
    whole: Ground
    """All boundaries; for what describes the caller, and where no domain is around a span."""
    domains: Ground | None
    """Cut at the first span of each domain; None: there is none."""
    inside: np.ndarray | None
    """Spans that are in a domain."""
    agent_of: np.ndarray
    """Pairs (tool, agent) of rows, shape (n, 2): the tool's call is that agent's run."""


def find_grounds(
    facts: pa.Table, tree: Tree, kind: np.ndarray, feature: Declared, policy: Policy
) -> Grounds:
    """Boundaries and domains of a batch. `feature`: what its spans declare as their feature."""
    boundary = np.isin(kind, _BOUNDARY_KINDS)
    agents = np.flatnonzero(kind == _AGENT)
    boundary[_sub_agents(tree, kind, agents, feature)] = True
    agent_of = _runs_of_tools(tree, kind, agents)
    tool, service = policy.boundaries.tools, policy.boundaries.services
    if Boundary.TRANSPARENT in {*tool.values(), *service.values()}:
        open_ = boundary & _named(facts, "tool", tool, Boundary.TRANSPARENT)
        open_[agent_of[open_[agent_of[:, 0]], 1]] = True
        boundary &= ~open_ & ~_named(facts, "service", service, Boundary.TRANSPARENT)
    agent_of = agent_of[boundary[agent_of[:, 0]]]
    whole = Ground(tree.parent, topmost_or_self(tree.parent, boundary))
    starts = _starts(facts, tree, boundary, feature, policy)
    if starts is None or not starts.any():
        return Grounds(tree.depth, whole, None, None, agent_of)
    cut = np.where(starts, NONE, tree.parent)
    domains = Ground(cut, topmost_or_self(cut, boundary & ~starts), is_cut=True)
    inside = starts | (nearest(tree.parent, starts) >= 0)
    return Grounds(tree.depth, whole, domains, inside, agent_of)


def _sub_agents(tree: Tree, kind: np.ndarray, agents: np.ndarray, feature: Declared) -> np.ndarray:
    """Agents inside another agent that declare a feature of their own, not the one above."""
    if not len(agents) or not feature.names:
        return agents[:0]
    any_value = np.ones(len(feature.names), dtype=bool)
    agents = agents[feature.opened(tree.parent, any_value)[agents]]
    if not len(agents):
        return agents
    agents = agents[nearest(tree.parent, kind == _AGENT)[agents] >= 0]
    above = nearest(tree.parent, feature.own >= 0)[agents]
    handed_down = (above >= 0) & (feature.own[above] == feature.own[agents])
    rows: np.ndarray = agents[~handed_down]
    return rows


def _runs_of_tools(tree: Tree, kind: np.ndarray, agents: np.ndarray) -> np.ndarray:
    """(tool, agent) where the agent is all that the tool does: the one call or agent beneath it."""
    if not len(agents):
        return np.zeros((0, 2), dtype=np.int64)
    work = np.isin(kind, (*_BOUNDARY_KINDS, *_CALLS, _AGENT))
    outer = nearest(tree.parent, work)
    beneath = np.bincount(outer[work & (outer >= 0)], minlength=len(kind))
    tool = outer[agents]
    alone = (tool >= 0) & (kind[tool] == _TOOL) & (beneath[tool] == 1)
    return np.stack([tool[alone], agents[alone]], axis=1)


def _starts(
    facts: pa.Table, tree: Tree, boundary: np.ndarray, feature: Declared, policy: Policy
) -> np.ndarray | None:
    """First spans of domains, or None where the policy knows none."""
    tools, services = policy.boundaries.tools, policy.boundaries.services
    products = {name for name, of in policy.features.items() if of.product_boundary}
    absorbs = Boundary.ABSORB in {*tools.values(), *services.values()}
    if not products and not absorbs:
        return None
    starts = feature.opened(tree.parent, np.array([n in products for n in feature.names], bool))
    if absorbs:
        name = coded(facts.column("tool")).codes
        named = boundary & _named(facts, "tool", tools, Boundary.ABSORB)
        outer = nearest(tree.parent, named)
        starts |= named & ((outer < 0) | (name[outer] != name))
        name = coded(facts.column("service")).codes
        enters = (tree.parent < 0) | (name[tree.parent] != name)
        starts |= enters & _named(facts, "service", services, Boundary.ABSORB)
    return starts


def _named(
    facts: pa.Table, column: str, listed: Mapping[str, Boundary], what: Boundary
) -> np.ndarray:
    """Spans whose `column` is listed as `what`."""
    values = coded(facts.column(column))
    marked: np.ndarray = np.array([listed.get(n) is what for n in values.names] + [False], bool)
    return marked[values.codes]
