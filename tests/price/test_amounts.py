"""Exactness of quantity times rate."""

from __future__ import annotations

import tempfile
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, line, sku, steps

AMOUNTS = st.one_of(
    st.sampled_from(["0", "3.95", "0.0000000000001", "0.036", "999999999999", "0.333333333333"]),
    st.decimals(min_value=0, max_value=10**6, places=9).map(str),
).map(lambda text: f"{Decimal(text):f}")
PERS = st.sampled_from([1, 3, 7, 60, 1000, 3600, 1_000_000, 3_600_000])
COUNTS = st.one_of(
    st.integers(0, 10**7), st.sampled_from([2**31, 2**53 + 1, 2**62, 2**63 - 1]), st.just(0)
)
UNITS = st.one_of(
    st.decimals(min_value=0, max_value=10**6, places=9),
    st.sampled_from([Decimal("9223372036.854775807"), Decimal("1e15"), Decimal("0.000000001")]),
)


def half_even(amount: Fraction) -> Decimal:
    """Dollars rounded to 12 digits, by whole numbers only."""
    scaled = amount * 10**12
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    twice = 2 * rest
    if twice > scaled.denominator or (twice == scaled.denominator and whole % 2):
        whole += 1
    return Decimal(whole).scaleb(-12, context=Context(prec=60))


@settings(max_examples=150, deadline=None)
@given(
    amounts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    pers=st.tuples(PERS, PERS, PERS),
    factor=st.sampled_from(["1", "0.5", "1.1", "0.67", "0.93"]),
    rule=st.sampled_from([(0, 0), (300, 0), (0, 60), (10, 1), (300, 60)]),
    counts=st.tuples(COUNTS, COUNTS),
    units=UNITS,
)
def test_every_amount_equals_the_fraction(
    amounts: tuple[str, str, str],
    pers: tuple[int, int, int],
    factor: str,
    rule: tuple[int, int],
    counts: tuple[int, int],
    units: Decimal,
) -> None:
    """Any rate, multiplier, rounding rule and quantity, fast way or slow, gives the exact amount
    rounded half-even once per line; what exceeds a trillion dollars is refused as inconsistent."""
    multiply = "{id: b, when: {processing: batch}, multiply: %s, kinds: [token.*], %s}"
    more = (
        f"    quantity_rules: [{{kind: container.second, min: {rule[0]}, increment: {rule[1]}}}]\n"
        f"    adjustments: [{multiply % (repr(factor), 'from: 2020-01-01T00:00:00Z, src: s')}]\n"
    )
    kinds = ("token.input", "token.output", "container.second")
    lines = [line(k, f'"{a}"', per) for k, a, per in zip(kinds, amounts, pers, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        book = load_rate_book([card_file(Path(folder), sku("m", *lines, more=more))])
    row = {"provider": "acme", "model": "m", "service_tier": "batch", "unit": "container.second"}
    row |= {"input_tokens": counts[0], "output_tokens": counts[1], "units": units}
    charge = price_steps(steps(row), book).to_pylist()[0]

    billed = max(Fraction(units), Fraction(rule[0])) if units else Fraction(0)
    if rule[1]:
        billed = Fraction(ceil(billed / rule[1]) * rule[1])
    expected = [
        half_even(Fraction(counts[0]) * Fraction(amounts[0]) / pers[0] * Fraction(factor)),
        half_even(Fraction(counts[1]) * Fraction(amounts[1]) / pers[1] * Fraction(factor)),
        half_even(billed * Fraction(amounts[2]) / pers[2]),
    ]
    if sum(Fraction(e) for e in expected) > 10**12:
        assert (charge["cost_usd"], charge["cost_reason"]) == (None, "usage_inconsistent")
        return
    names = ("input_cost_usd", "output_cost_usd", "unit_cost_usd")
    assert [charge[name] for name in names] == expected
    assert Fraction(charge["cost_usd"]) == sum(Fraction(e) for e in expected)


def test_half_a_pico_goes_to_the_even_neighbour(tmp_path: Path) -> None:
    """0.5 pico-dollars round to 0, 1.5 to 2, 2.5 to 2."""
    skus = sku("m", line("token.input", '"0.0000000000005"'))
    book = load_rate_book([card_file(tmp_path, skus)])
    rows = [{"provider": "acme", "model": "m", "input_tokens": n} for n in (1, 3, 5)]
    pico = [int(c.scaleb(12)) for c in price_steps(steps(*rows), book)["cost_usd"].to_pylist()]
    assert pico == [0, 2, 2]
