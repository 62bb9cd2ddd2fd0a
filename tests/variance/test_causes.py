"""Causes of a difference: by construction of one thing at a time, and all at once."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentcost_collector.variance import CAUSES, Branches
from agentcost_collector.variance import causes as causes_of

PICO = 10**12


@dataclass(frozen=True)
class Work:
    """Steps that ended alike; tokens and pico-dollars of each class."""

    steps: int
    tokens: tuple
    costs: tuple


@dataclass(frozen=True)
class Cell:
    """One branch of the tree on one side."""

    path: tuple
    done: Work
    failed: Work


def causes(base, head, scale=Fraction(1)):
    """Of one tree, by name."""
    return causes_of_trees([(base, head)], [scale])[0]


def causes_of_trees(trees, scales):
    """Of each pair of sides, by name."""
    values = sorted(
        {value for tree in trees for side in tree for c in side for value in c.path}, key=str
    )
    code = {value: number for number, value in enumerate(values)}
    leaves = {}
    for number, tree in enumerate(trees):
        for side, cells in enumerate(tree):
            for each in cells:
                key = (number, *(code[value] for value in each.path))
                leaves.setdefault(key, {})[side] = each
    keys = sorted(leaves)
    steps = np.zeros((len(keys), 2, 2), object)
    tokens, costs = (np.zeros((len(keys), 2, 2, 2), object) for _ in range(2))
    for row, key in enumerate(keys):
        for side, each in leaves[key].items():
            for kind, work in enumerate((each.done, each.failed)):
                steps[row, side, kind] = work.steps
                tokens[row, side, kind] = work.tokens
                costs[row, side, kind] = work.costs
    of = np.array(keys, np.int64).reshape(-1, 5)
    parts = causes_of(Branches(of, steps, tokens, costs), scales)
    return [dict(zip(CAUSES, row, strict=True)) for row in parts]


def pico(usd):
    assert (usd * PICO).denominator == 1
    return int(usd * PICO)


def work(steps, tokens=0, price=Fraction(0), fee=Fraction(0)):
    """Steps with so many tokens each at a price for a token, and a fee for a step."""
    return Work(steps, (steps * tokens, 0), (pico(steps * tokens * price), pico(steps * fee)))


def cell(path, steps, tokens=100, price="0.001", failed=0, fee="0"):
    of = {"tokens": tokens, "price": Fraction(price), "fee": Fraction(fee)}
    return Cell(tuple(path.split("/")), work(steps, **of), work(failed, **of))


def usd(cells):
    costs = (cost for each in cells for work in (each.done, each.failed) for cost in work.costs)
    return Fraction(sum(costs), PICO)


BASE = [
    cell("f/acme/llm/small", 60),
    cell("f/acme/llm/large", 20, price="0.01"),
    cell("f/zeta/llm/small", 15),
    cell("f/zeta/tool/-", 5, tokens=0, fee="0.5"),
]


def only(base, head, cause, dollars):
    """All of the difference is this cause."""
    found = causes(base, head)
    assert found == {name: Fraction(dollars) * PICO if name == cause else 0 for name in CAUSES}


def test_more_of_the_same_is_volume():
    """Twice as much of everything: as much again."""
    head = [
        cell("f/acme/llm/small", 120),
        cell("f/acme/llm/large", 40, price="0.01"),
        cell("f/zeta/llm/small", 30),
        cell("f/zeta/tool/-", 10, tokens=0, fee="0.5"),
    ]
    assert usd(BASE) == 30
    only(BASE, head, "volume", 30)


def test_a_price_alone():
    """2,000 tokens of the large model that cost 0.005 more each, and a tool's fee."""
    head = [BASE[0], cell("f/acme/llm/large", 20, price="0.015"), *BASE[2:]]
    only(BASE, head, "price", 10)
    only(BASE, [*BASE[:3], cell("f/zeta/tool/-", 5, tokens=0, fee="0.6")], "price", "0.5")


def test_tokens_alone():
    """60 steps of 150 tokens instead of 100."""
    head = [cell("f/acme/llm/small", 60, tokens=150), *BASE[1:]]
    only(BASE, head, "tokens_per_step", 3)


def test_models_alone():
    """20 steps go from the small to the large model: 0.9 more each."""
    head = [cell("f/acme/llm/small", 40), cell("f/acme/llm/large", 40, price="0.01"), *BASE[2:]]
    only(BASE, head, "model_mix", 18)


def test_tools_alone():
    """Of 20 steps of a tenant 10 are tools instead of 5: 0.5 instead of 0.1 each."""
    head = [*BASE[:2], cell("f/zeta/llm/small", 10), cell("f/zeta/tool/-", 10, tokens=0, fee="0.5")]
    only(BASE, head, "tool_mix", 2)


def test_tenants_alone():
    """40 of 100 steps by the tenant of whom each step costs 0.2 instead of 0.325."""
    head = [
        cell("f/acme/llm/small", 45),
        cell("f/acme/llm/large", 15, price="0.01"),
        cell("f/zeta/llm/small", 30),
        cell("f/zeta/tool/-", 10, tokens=0, fee="0.5"),
    ]
    only(BASE, head, "tenant_mix", usd(head) - 30)
    assert usd(head) == Fraction("27.5")


def test_features_alone():
    """For a team: what one feature did less of the other does more."""
    base = [cell("a/t/llm/m", 50), cell("b/t/llm/m", 50, tokens=300)]
    head = [cell("a/t/llm/m", 25), cell("b/t/llm/m", 75, tokens=300)]
    only(base, head, "feature_mix", 5)


def test_failed_steps_alone():
    """6 steps failed and were paid for besides the 60 that did not."""
    head = [cell("f/acme/llm/small", 60, failed=6), *BASE[1:]]
    only(BASE, head, "retries", "0.6")


def test_something_new_and_something_gone():
    """Where one side has nothing at all it is volume; within a mix it is the mix."""
    only([], BASE, "volume", 30)
    only(BASE, [], "volume", -30)
    new = [*BASE[1:], cell("f/acme/llm/new", 60, price="0.002")]
    only(BASE, new, "model_mix", 6)


def test_a_plan_is_scaled():
    """Against twice what was: what was is half of it too little."""
    found = causes(BASE, BASE, Fraction(2))
    assert found == {name: -30 * PICO if name == "volume" else 0 for name in CAUSES}


NAMES = st.sampled_from(["a", "b", None])
AMOUNTS = st.integers(0, 10**14)


@st.composite
def works(draw):
    steps = draw(st.integers(0, 50))
    if not steps:
        return Work(0, (0, 0), (0, 0))
    tokens = draw(st.integers(0, 1000))
    return Work(steps, (tokens, 0), (draw(AMOUNTS) if tokens else 0, draw(AMOUNTS)))


@st.composite
def sides(draw):
    paths = draw(st.sets(st.tuples(NAMES, NAMES, NAMES, NAMES), max_size=8))
    cells = [Cell(path, draw(works()), draw(works())) for path in sorted(paths, key=str)]
    return [each for each in cells if each.done.steps or each.failed.steps]


@settings(max_examples=150, deadline=None)
@given(sides(), sides(), st.sampled_from([Fraction(1), Fraction(7, 3)]))
def test_causes_add_up_to_the_difference(base, head, scale):
    """To the pico-dollar, whatever the two sides hold; nothing is left over."""
    assume(base or head)
    found = causes(base, head, scale)
    difference = round(usd(head) * PICO) - round(usd(base) * scale * PICO)
    assert sum(found.values()) == difference


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(sides(), sides()).filter(any), min_size=1, max_size=4))
def test_trees_do_not_touch_each_other(trees):
    """Many at once are each as it is alone."""
    together = causes_of_trees(trees, [Fraction(3, 2)] * len(trees))
    assert together == [causes(base, head, Fraction(3, 2)) for base, head in trees]


@pytest.mark.parametrize("side", [0, 1])
def test_tokens_that_become_free_or_paid(side):
    """A token that cost nothing and one that is not counted: the price, exactly."""
    free, paid = [cell("f/t/llm/m", 10, price="0")], [cell("f/t/llm/m", 10)]
    base, head = (free, paid) if side else (paid, free)
    only(base, head, "price", 1 if side else -1)
