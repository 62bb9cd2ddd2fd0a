"""The customer's own cards: contracts, capacity, deployments, currencies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, line, sku, steps

M = 1_000_000
CALL = {"provider": "acme", "model": "m", "input_tokens": M, "output_tokens": M}
LINES = (line("token.input", '"2"', M), line("token.output", '"10"', M))
BATCH = (
    '    adjustments:\n      - {id: b, when: {processing: batch}, multiply: "0.5",'
    ' kinds: ["token.*"], from: 2020-01-01T00:00:00Z, src: s}\n'
)
SKUS = sku("m", *LINES, more=BATCH) + sku("n", *LINES)


def own_card(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.yaml").write_text(f"schema: agentcost.ratecard/v1\n{text}")
    return folder


def overlay(folder: Path, rules: str, name: str = "o", account: str = "account: org-1, ") -> Path:
    return own_card(
        folder,
        name,
        f"""card_id: overlay/{name}
kind: overlay
base: list/acme
applies: {{{account}from: 2026-07-01T00:00:00-07:00, to: 2027-07-01T00:00:00-07:00}}
rules:
{rules}""",
    )


def price(book: RateBook, **row: Any) -> dict[str, Any]:
    return price_steps(steps(row), book).to_pylist()[0]  # type: ignore[no-any-return]


def test_contract_of_the_vector(tmp_path: Path) -> None:
    """NEG-01: 7 % off the list; what the list says stays beside."""
    text = """card_id: overlay/acme-openai-2026
kind: overlay
base: list/openai
applies: {account: org-acme, from: 2026-07-01T00:00:00-07:00, to: 2027-07-01T00:00:00-07:00}
rules:
  - {sku: openai/gpt-5.5, line: input, amount: "4.10", per: 1000000}
  - {sku: "openai/gpt-4o*", kinds: ["token.*"], multiply: "0.93"}
  - {kinds: ["tool.*"], multiply: "1"}
"""
    book = load_rate_book([bundled_rate_cards(), own_card(tmp_path, "acme", text)])
    call = {"provider": "openai", "model": "gpt-4o-2024-08-06", "input_tokens": 86}
    call |= {"cache_read_tokens": 1920, "output_tokens": 300, "account": "org-acme"}
    charge = price(book, **call)
    assert charge["cost_usd"] == Decimal("0.00522195")
    assert charge["list_cost_usd"] == Decimal("0.005615")
    assert charge["rate_id"].endswith("#overlay/acme-openai-2026")
    assert len(charge["card_digest"].split(",")) == 2
    assert price(book, **call | {"account": "other"})["cost_usd"] == Decimal("0.005615")


def test_the_most_specific_rule_counts(tmp_path: Path) -> None:
    """An amount beats a percentage, a named SKU a pattern, whatever their order."""
    rules = """  - {multiply: "0.9"}
  - {sku: "acme/*", kinds: ["token.*"], multiply: "0.8"}
  - {sku: acme/m, kinds: [token.output], multiply: "0.5"}
  - {kinds: [token.input], amount: "1", per: 1000000}
"""
    book = load_rate_book([overlay(card_file(tmp_path, SKUS), rules)])
    one = price(book, **CALL, account="org-1")
    assert (one["input_cost_usd"], one["output_cost_usd"]) == (1, 5)
    other = price(book, **CALL | {"model": "n"}, account="org-1")
    assert (other["input_cost_usd"], other["output_cost_usd"]) == (1, 8)
    batch = price(book, **CALL, account="org-1", service_tier="batch")
    assert (batch["cost_usd"], batch["list_cost_usd"]) == (Decimal(3), Decimal(6))


def test_contract_begins_and_ends(tmp_path: Path) -> None:
    """One microsecond before the contract the list price holds; at its end the list price again."""
    book = load_rate_book([overlay(card_file(tmp_path, SKUS), '  - {multiply: "0.5"}\n')])
    first, last = (datetime(y, 7, 1, 7, tzinfo=UTC) for y in (2026, 2027))
    shifts = (-timedelta(microseconds=1), timedelta(0))
    ends = [edge + shift for edge in (first, last) for shift in shifts]
    rows = [{**CALL, "account": "org-1", "ended_at": end} for end in ends]
    assert price_steps(steps(*rows), book)["cost_usd"].to_pylist() == [12, 6, 6, 12]


def test_an_account_with_its_own_contract_has_no_other(tmp_path: Path) -> None:
    """A contract without account is for those that have none of their own."""
    folder = overlay(card_file(tmp_path, SKUS), '  - {sku: acme/n, multiply: "0.5"}\n')
    overlay(folder, '  - {multiply: "0.9"}\n', name="all", account="")
    book = load_rate_book([folder])
    costs = [price(book, **CALL, account=a)["cost_usd"] for a in ("org-1", "org-2", None)]
    assert costs == [Decimal(12), Decimal("10.8"), Decimal("10.8")]


def fx(folder: Path, *rates: str) -> Path:
    listed = "".join(f"  - {{{rate}, src: ecb}}\n" for rate in rates)
    source = '{url: "https://example.com/fx", retrieved: 2026-01-01T00:00:00Z}'
    return own_card(
        folder, "fx", f"card_id: fx/a\nkind: fx\nsources: {{ecb: {source}}}\nrates:\n{listed}"
    )


def in_currency(folder: Path, code: str) -> Path:
    card_file(folder, SKUS)
    path = folder / "acme.yaml"
    path.write_text(path.read_text().replace("currency: USD", f'currency: "{code}"'))
    return folder


def test_conversion_at_the_date_of_the_step(tmp_path: Path) -> None:
    """A price in euros is converted at the rate of its instant; the euros stay on the row."""
    folder = fx(
        in_currency(tmp_path, "EUR"),
        'currency: EUR, from: 2026-11-19T00:00:00Z, usd: "1.0987654321"',
        'currency: EUR, from: 2026-11-20T00:00:00Z, to: 2026-11-21T00:00:00Z, usd: "1.1"',
    )
    book = load_rate_book([folder])
    midnight = datetime(2026, 11, 20, tzinfo=UTC)
    rows = [{**CALL, "input_tokens": 1, "ended_at": midnight + s}
            for s in (-timedelta(microseconds=1), timedelta(0))]  # fmt: skip
    before, after = price_steps(steps(*rows), book).to_pylist()
    assert before["cost_usd"] == Decimal("10.987654321") + Decimal("0.000002197531")
    assert after["cost_usd"] == Decimal("11.0000022")
    assert before["original_cost"] == after["original_cost"] == Decimal("10.000002")
    assert before["currency"] == "EUR"
    assert len(before["card_digest"].split(",")) == 2


@pytest.mark.parametrize("day", [18, 21])
def test_no_rate_no_price(day: int, tmp_path: Path) -> None:
    """Before the first and after the last exchange rate a price is not known."""
    rate = 'currency: EUR, from: 2026-11-19T00:00:00Z, to: 2026-11-21T00:00:00Z, usd: "1.1"'
    book = load_rate_book([fx(in_currency(tmp_path, "EUR"), rate)])
    charge = price(book, **CALL, ended_at=datetime(2026, 11, day, tzinfo=UTC))
    assert (charge["cost_status"], charge["cost_reason"]) == ("unpriced", "no_exchange_rate")
    assert charge["cost_usd"] is charge["original_cost"] is charge["currency"] is None


def test_units_of_an_issuer_are_a_currency(tmp_path: Path) -> None:
    """Consumption units and credits have a price in dollars like any currency."""
    for code, usd, cost in (("CCU", "0.01", "0.12"), ("CREDIT:fire", "0.00083", "0.00996")):
        folder = in_currency(tmp_path / code[:3], code)
        fx(folder, f'currency: "{code}", from: 2020-01-01T00:00:00Z, usd: "{usd}"')
        assert price(load_rate_book([folder]), **CALL)["cost_usd"] == Decimal(cost)


def capacity(folder: Path, more: str = "") -> Path:
    return own_card(
        folder,
        "ptu",
        f"""card_id: capacity/ptu
kind: capacity
reserved:
  - {{id: east, provider: [acme], model: {{equals: [m]}}, {more}from: 2026-11-01T00:00:00Z,
     to: 2026-12-01T00:00:00Z}}
""",
    )


def test_reserved_capacity(tmp_path: Path) -> None:
    """What reserved capacity serves costs nothing more; the list price stays beside; its period."""
    book = load_rate_book([capacity(card_file(tmp_path, SKUS))])
    charge = price(book, **CALL)
    assert (charge["cost_status"], charge["cost_reason"]) == ("capacity", None)
    assert (charge["cost_usd"], charge["list_cost_usd"]) == (0, 12)
    assert charge["rate_id"].endswith(",capacity/ptu:east")
    later = price(book, **CALL, ended_at=datetime(2026, 12, 1, tzinfo=UTC))
    assert (later["cost_status"], later["cost_usd"]) == ("priced", 12)
    assert price(book, **CALL | {"model": "n"})["cost_status"] == "priced"


def test_what_spills_over_is_paid(tmp_path: Path) -> None:
    """Capacity that is told by a fact serves only where the fact holds, and the fact is known."""
    book = load_rate_book([capacity(card_file(tmp_path, SKUS), "when: {served_from: ptu}, ")])
    spilled = price(book, **CALL)
    assert (spilled["cost_status"], spilled["cost_usd"]) == ("priced", 12)
    served = price(book, **CALL, pricing_context='{"served_from": "PTU"}')
    assert (served["cost_status"], served["cost_usd"]) == ("capacity", 0)
    unknown = price(book, **CALL, pricing_context='{"served_from": "elsewhere"}')
    assert unknown["cost_reason"] == "unknown_context"


def test_capacity_does_not_pay_for_tools(tmp_path: Path) -> None:
    """A fee beside the tokens is charged although capacity serves them."""
    fee = line("tool.web_search.call", '"10"', 1000)
    book = load_rate_book([capacity(card_file(tmp_path, sku("m", *LINES, fee)))])
    charge = price(book, **CALL, units="2.0", unit="tool.web_search.call")
    assert charge["cost_status"] == "capacity"
    assert (charge["cost_usd"], charge["list_cost_usd"]) == (Decimal("0.02"), Decimal("12.02"))


def deployments(folder: Path, *entries: str) -> Path:
    listed = "".join(f"  - {{{entry}}}\n" for entry in entries)
    return own_card(
        folder, "names", f"card_id: deployments/a\nkind: deployments\ndeployments:\n{listed}"
    )


def test_deployment_names(tmp_path: Path) -> None:
    """The customer's table says what a deployment is, in what kind of region, and since when."""
    folder = deployments(
        tmp_path,
        "name: chat-prod, provider: azure, sku: azure/gpt-4o, from: 2026-10-12T00:00:00Z,"
        " set: {deployment: data_zone}",
    )
    book = load_rate_book([bundled_rate_cards(), folder])
    call = {"provider": "azure", "input_tokens": M}
    asked = {"requested_model": "Chat-Prod", "model": "gpt-4o-2024-08-06"}
    charges = price_steps(
        steps({**call, **asked}, {**call, "model": "chat-prod"}, {**call, "model": "gpt-4o"},
              {**call, **asked, "ended_at": datetime(2026, 10, 1, tzinfo=UTC)}),
        book,
    )  # fmt: skip
    assert charges["cost_usd"].to_pylist() == [
        Decimal("2.75"),
        Decimal("2.75"),
        Decimal("2.5"),
        None,
    ]
    assert charges["cost_reason"].to_pylist()[3] == "before_history"


def test_excess_band(tmp_path: Path) -> None:
    """Of each kind of unit the share beyond the limit has the higher price, to the last digit."""
    band = "bands: [{id: low}, {id: high, gt: 100}]"
    more = f"    band: {{measure: token.input.total, mode: excess, {band}}}\n"
    amount = "{low: '1', high: '2'}"
    lines = [line(k, amount) for k in ("token.input", "token.input.cache_read")]
    book = load_rate_book([card_file(tmp_path, sku("m", *lines, more=more))])
    rows = [{"provider": "acme", "model": "m", "input_tokens": n} for n in (99, 100, 101, 250)]
    assert price_steps(steps(*rows), book)["cost_usd"].to_pylist() == [99, 100, 102, 400]
    mixed = price(book, provider="acme", model="m", input_tokens=110, cache_read_tokens=40)
    assert mixed["cost_usd"] == 200  # 100 at 1 and 50 at 2, of both kinds alike


FAULTS = {
    "a base that is not there": (
        "overlay",
        "card_id: overlay/x\nkind: overlay\nbase: list/none\n"
        'applies: {from: 2026-01-01T00:00:00Z}\nrules: [{multiply: "1"}]\n',
        r":4: there is no card 'list/none'",
    ),
    "a rule for nothing": (
        "overlay",
        "card_id: overlay/x\nkind: overlay\nbase: list/acme\n"
        'applies: {from: 2026-01-01T00:00:00Z}\nrules: [{sku: acme/zzz, multiply: "1"}]\n',
        r":6: 'list/acme' has no sku 'acme/zzz'",
    ),
    "a line that is not there": (
        "overlay",
        "card_id: overlay/x\nkind: overlay\nbase: list/acme\n"
        'applies: {from: 2026-01-01T00:00:00Z}\nrules: [{line: zzz, amount: "1"}]\n',
        r":6: no line 'zzz'",
    ),
    "both ways at once": (
        "overlay",
        "card_id: overlay/x\nkind: overlay\nbase: list/acme\n"
        'applies: {from: 2026-01-01T00:00:00Z}\nrules: [{line: a, amount: "1", multiply: "1"}]\n',
        r":6: .*either `amount` or `multiply`",
    ),
    "a deployment of nothing": (
        "names",
        "card_id: d\nkind: deployments\ndeployments:\n"
        "  - {name: a, provider: p, sku: acme/zzz, from: 2026-01-01T00:00:00Z}\n",
        r":5: no card has a sku 'acme/zzz'",
    ),
    "rates out of order": (
        "fx",
        'card_id: f\nkind: fx\nsources: {s: {url: "u", retrieved: 2026-01-01T00:00:00Z}}\nrates:\n'
        '  - {currency: EUR, from: 2026-02-01T00:00:00Z, usd: "1", src: s}\n'
        '  - {currency: EUR, from: 2026-01-01T00:00:00Z, usd: "1", src: s}\n',
        r":7: .*ascending order",
    ),
    "a rate as a float": (
        "fx",
        "card_id: f\nkind: fx\nsources: {}\nrates:\n"
        "  - {currency: EUR, from: 2026-02-01T00:00:00Z, usd: 1.1, src: s}\n",
        r":6: 1\.1 is a floating point number",
    ),
    "a kind of card that is not": ("x", "card_id: f\nkind: tax\n", r":3?1?: .*kind|tax"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_named(fault: str, tmp_path: Path) -> None:
    """A faulty card of the customer's is one sentence with file and line."""
    name, text, message = FAULTS[fault]
    folder = own_card(card_file(tmp_path, SKUS), name, text)
    with pytest.raises(ConfigError, match=message) as wrong:
        load_rate_book([folder])
    assert "\n" not in str(wrong.value)


def test_contracts_that_overlap_are_refused(tmp_path: Path) -> None:
    """Two contracts for one account at one time would leave the price to chance."""
    folder = overlay(card_file(tmp_path, SKUS), '  - {multiply: "0.5"}\n')
    overlay(folder, '  - {multiply: "0.9"}\n', name="p")
    with pytest.raises(ConfigError, match="same account and card at the same time"):
        load_rate_book([folder])
