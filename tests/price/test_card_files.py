"""Faults in rate card files: each is refused with its file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.load import load_rate_book
from tests.price.acme import card_file, line, sku

GOOD = sku("m", line("token.input", '"1"'))

PRICE = "{from: %d-01-01T00:00:00Z, amount: '2', src: s}"
FAULTS = [
    ("float", GOOD.replace('"1"', "2.50"), r":12: 2\.50 is a floating point .*'2\.50'"),
    ("integer", GOOD.replace('"1"', "3"), r":12: .*amount: must be text; write it in quotes, '3'"),
    ("not a number", GOOD.replace('"1"', '"1e3"'), r":12: .*amount.*not a decimal number"),
    ("negative", GOOD.replace('"1"', '"-1"'), r":12: .*amount.*not a decimal number"),
    ("duplicate key", GOOD.replace("per: 1,", "per: 1, per: 2,"), r":12: key 'per' is given twice"),
    ("unknown key", GOOD.replace("per: 1,", "perr: 1,"), r":12: .*perr: is not a key"),
    ("misspelt", GOOD + "    allowance: []\n", r":13: skus\.0\.allowance: is not a key"),
    ("no from", GOOD.replace("from: 2020-01-01T00:00:00Z, ", ""), r":12: .*`from` is missing"),
    ("no zone", GOOD.replace("00Z", "00"), r":12: 2020-01-01T00:00:00 has no time zone"),
    ("date only", GOOD.replace("T00:00:00Z", ""), r":12: .*from"),
    ("unknown kind", GOOD.replace("token.input,", "token.inputs,"), r":12: .*leaf kind"),
    ("unknown operation", GOOD.replace("[chat]", "[chatt]"), r":10: .*'chatt' is not one of chat"),
    ("no such source", GOOD.replace("src: s", "src: t"), r":12: source 't' is not under `sources`"),
    ("open regex", GOOD.replace("equals: [m]", "regex: [m]"), r":10: .*anchored"),
    ("broken regex", GOOD.replace("equals: [m]", "regex: ['^($']"), r":10: .*not a regular expr"),
    ("no lines", sku("m").replace("lines:", "lines: []"), r":11: .*lines"),
    (
        "unordered",
        sku("m", line("token.input", '"1"').replace("]}", f", {PRICE % 2019}]}}")),
        r":12: .*ascending order",
    ),
    (
        "overlapping",
        sku(
            "m",
            line("token.input", '"1"')
            .replace("00Z, ", "00Z, to: 2022-01-01T00:00:00Z, ")
            .replace("]}", f", {PRICE % 2021}]}}"),
        ),
        r":12: .*prices overlap",
    ),
    (
        "backwards",
        GOOD.replace("00Z, ", "00Z, to: 2019-01-01T00:00:00Z, "),
        r":12: .*`to` must be later",
    ),
    ("line twice", sku("m", *[line("token.input", '"1"')] * 2), r":13: line .* repeats an id"),
    ("sku twice", GOOD + GOOD, r":13: sku 'acme/m' is also at .*:9"),
    (
        "same model twice",
        GOOD + GOOD.replace("acme/m", "acme/n"),
        r":13: 'm' also matches sku 'acme/m' at .*:9",
    ),
    (
        "5m and 30m",
        sku("m", *[line(f"token.input.cache_write.{t}", '"1"') for t in ("5m", "30m")]),
        r":9: .*are counted together",
    ),
    ("band that is not there", GOOD.replace('"1"', "{high: '1'}"), r":12: amounts for bands"),
    (
        "band without start",
        sku("m", line("token.input", "{a: '1'}"), more="    band: {measure: token.input.total, "
            "mode: whole_request, bands: [{id: a, gt: 1}, {id: b, gt: 2}]}\n"),
        r":13: .*begin without limit",
    ),
    (
        "included in nothing",
        sku("m", line("token.input", '"1"'), "{id: r, kind: token.output.reasoning, "
            "included_in: token.output}"),
        r":13: `included_in: token.output` needs",
    ),
    (
        "unknown zone",
        GOOD + "    schedule: {tz: Mars/Base, windows: [{days: mon, at: ['09:00-10:00'], "
        "set: {p: a}}], otherwise: {p: b}}\n",
        r":13: .*time zone 'Mars/Base'",
    ),
    (
        "hours backwards",
        GOOD + "    schedule: {tz: UTC, windows: [{days: mon, at: ['10:00-09:00'], "
        "set: {p: a}}], otherwise: {p: b}}\n",
        r":13: .*must begin before",
    ),
    ("not YAML", "  - {sku: [\n", r":\d+: not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("skus", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_fault_is_named(skus: str, message: str, tmp_path: Path) -> None:
    """A faulty card is a ConfigError of one line that begins with file and line."""
    with pytest.raises(ConfigError) as wrong:
        load_rate_book([card_file(tmp_path, skus)])
    text = str(wrong.value)
    assert re.search(r"acme\.yaml" + message, text), text
    assert "\n" not in text


def test_alias_faults(tmp_path: Path) -> None:
    """An alias needs a SKU of its card, an order in time and a name of its own."""
    heads = {
        "{model: a, to: acme/x, from: 2026-01-01T00:00:00Z}": "no SKU of this card",
        "{model: a, to: acme/m, from: 2026-01-01T00:00:00Z}\n  - "
        "{model: a, to: acme/m, from: 2025-01-01T00:00:00Z}": "ascending order",
        "{model: m, to: acme/m, from: 2026-01-01T00:00:00Z}": "is also an alias",
    }
    for number, (alias, message) in enumerate(heads.items()):
        folder = card_file(tmp_path / str(number), GOOD, head=f"aliases:\n  - {alias}\n")
        with pytest.raises(ConfigError, match=message):
            load_rate_book([folder])


def test_later_folder_replaces_card(tmp_path: Path) -> None:
    """A card of a later folder stands in for the card of the same id; others are added."""
    first = card_file(tmp_path / "a", GOOD)
    card_file(first, sku("k", line("token.input", '"1"')), name="kept")
    second = card_file(tmp_path / "b", sku("n", line("token.input", '"2"')))
    book = load_rate_book([first, second])
    assert sorted(o.sku.sku for o in book.offers) == ["acme/k", "acme/n"]
    assert [card["card_id"] for card in book.cards] == ["list/acme", "list/kept"]


def test_missing_folder_and_repeated_card(tmp_path: Path) -> None:
    """A folder that is not there, and two cards of one id in one folder, are refused."""
    with pytest.raises(ConfigError, match="no such folder"):
        load_rate_book([tmp_path / "none"])
    folder = card_file(tmp_path, GOOD)
    (folder / "again.yaml").write_text((folder / "acme.yaml").read_text())
    with pytest.raises(ConfigError, match=r"card_id 'list/acme' is also in acme\.yaml|again\.yaml"):
        load_rate_book([folder])
