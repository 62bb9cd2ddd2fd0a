"""Files of shared costs: what they may say, and where a fault is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.shared_costs import read_shared_costs

YAML = """\
schema: agentcost.shared/v1
costs:
  - id: vectors
    name: Vector database
    provider: pinecone
    owner: {team: search, feature: index, service: vectors}
    period: 2026-12
    amount: "-1200.000000000001"
    shared_by: {service: [rag, null], kind: retrieval}
    method: usage
    driver: units
    capacity: 1000
    idle: {feature: platform}
  - id: node
    from: 2026-10-01
    to: 2026-10-08
    amount: "1"
    method: even
"""
CSV = """\
id,name,provider,owner.team,owner.feature,owner.service,from,to,amount,shared_by.service,method,driver,capacity
vectors,"Vector, database",pinecone,search,,,2026-10,2026-11,1200.5,rag | bot,usage,units,1000

node,,,,,,2026-10-01,2026-10-08,-1,,even,,
"""


def _file(tmp_path: Path, text: str, name: str = "costs.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def _fault(tmp_path: Path, text: str, name: str = "costs.yaml") -> str:
    path = _file(tmp_path, text, name)
    with pytest.raises(ConfigError) as raised:
        read_shared_costs(path)
    message = str(raised.value)
    assert message.startswith(f"{path}:"), message
    return message.removeprefix(f"{path}:")


def test_a_file_in_yaml(tmp_path: Path) -> None:
    """All keys; a month is its days, text with `null` is a value, amounts keep every digit."""
    first, second = read_shared_costs(_file(tmp_path, YAML))
    assert (first.since, first.until) == (date(2026, 12, 1), date(2027, 1, 1))
    assert first.amount == Decimal("-1200.000000000001")
    assert first.shared_by == {"service": ("rag", None), "kind": ("retrieval",)}
    assert first.idle_payer.tags()[:2] == ("platform", None)
    assert (second.since, second.until) == (date(2026, 10, 1), date(2026, 10, 8))


def test_a_file_in_csv(tmp_path: Path) -> None:
    """The same keys as columns; an empty cell is no key, months are their first days."""
    first, second = read_shared_costs(_file(tmp_path, CSV, "costs.CSV"))
    assert (first.name, first.amount) == ("Vector, database", Decimal("1200.5"))
    assert (first.since, first.until) == (date(2026, 10, 1), date(2026, 11, 1))
    assert first.shared_by == {"service": ("rag", "bot")}
    assert (first.owner.team, first.owner.feature, first.capacity) == ("search", None, 1000)
    assert (second.id, second.name, second.amount) == ("node", None, Decimal(-1))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("schema: agentcost.shared/v1", "schema: agentcost.shared/v2", "1: schema"),
        ('"-1200.000000000001"', "1200", "8: costs.0.amount: must be a quoted decimal, '1200'"),
        ('"-1200.000000000001"', "12.5", "8: 12.5 is a floating point number"),
        ('"-1200.000000000001"', '"1e3"', "8: costs.0.amount: not a decimal"),
        ('"-1200.000000000001"', '"0.0000000000001"', "8: costs.0.amount: not a decimal"),
        ("capacity: 1000", "capacity: -1", "12: costs.0.capacity: must not be negative"),
        ("capacity: 1000", "capcity: 1000", "12: costs.0.capcity: is not a key"),
        ("capcity", "capcity", None),
        ("driver: units", "driver: joules", "11: costs.0.driver"),
        ("    driver: units\n", "", "3: costs.0: method `usage` needs `driver`; add it"),
        ("method: even", "method: even\n    driver: cost", "14: costs.1: method `even` has no"),
        ("method: even", "method: fair", "18: costs.1.method"),
        ("kind: retrieval", "knd: retrieval", "3: costs.0: `knd` is not one of feature, team"),
        ("period: 2026-12", "period: 2026-13", "3: costs.0: month must be in 1..12"),
        ("period: 2026-12", "period: 2026-Q4", "3: costs.0: `period` is a month"),
        ("    period: 2026-12\n", "", "3: costs.0: `from` is missing; add it"),
        ("period: 2026-12", "period: 2026-12\n    to: 2027-01-01", "3: costs.0: `period` already"),
        ("to: 2026-10-08", "to: 2026-10-01", "14: costs.1: `to` must be after `from`"),
        ("from: 2026-10-01", "from: 1970-01-01", "15: costs.1.from: before 2020-01-01"),
        ("id: node", "id: Node 1", "14: costs.1.id"),
        ("id: node", "id: vectors\n    name: b", None),
        (
            "from: 2026-10-01\n    to: 2026-10-08",
            "period: 2026-12",
            None,
        ),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, fault: str | None
) -> None:
    """One sentence: file, line, key, what is wrong. None: no fault after all."""
    text = YAML.replace(old, new)
    if fault is None:
        assert read_shared_costs(_file(tmp_path, text))
    else:
        assert _fault(tmp_path, text).startswith(fault)


def test_periods_of_one_cost_may_not_overlap(tmp_path: Path) -> None:
    """A day that is twice in one cost would be paid twice; both places are named."""
    text = YAML.replace("id: node", "id: vectors").replace("to: 2026-10-08", "to: 2026-12-02")
    assert _fault(tmp_path, text) == (
        f"14: the period of 'vectors' overlaps that at {tmp_path}/costs.yaml:3;"
        " give each cost an id of its own or correct the dates"
    )
    touching = text.replace("to: 2026-12-02", "to: 2026-12-01")
    assert len(read_shared_costs(_file(tmp_path, touching))) == 2


WEIGHTS = """\
schema: agentcost.shared/v1
costs:
  - {id: a, period: 2026-10, amount: "1", method: weights, weights: [WEIGHTS]}
"""


def test_weights(tmp_path: Path) -> None:
    """Payers with integers or quoted decimals; none is there twice, and there is at least one."""
    one, two = "{feature: a, weight: 2}", '{feature: a, team: t, weight: "0.5"}'
    (cost,) = read_shared_costs(_file(tmp_path, WEIGHTS.replace("WEIGHTS", f"{one}, {two}")))
    assert [w.weight for w in cost.weights] == [2, Decimal("0.5")]
    twice = _fault(tmp_path, WEIGHTS.replace("WEIGHTS", f"{one}, {one}"))
    assert twice.startswith("3: costs.0: a payer is twice among `weights`")
    none = _fault(tmp_path, WEIGHTS.replace("WEIGHTS", ""))
    assert none.startswith("3: costs.0: method `weights` needs `weights`; add it")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("1200.5", "a lot", "2: costs.0.amount: not a decimal"),
        ("-1,,even", "-1,even", "4: has 12 cells where the first line has 13; correct it"),
        ("-1,,even", "-1,,fair", "4: costs.1.method"),
        ("capacity\n", "driver\n", "1: a column is there twice"),
        ("provider", "colour", "2: costs.0.colour: is not a key"),
        ('"Vector, database"', '"Vector" database', "2: not CSV"),
        (CSV, "", "1: a file of shared costs: there is no cost in it; add one"),
    ],
)
def test_faults_in_csv(tmp_path: Path, old: str, new: str, fault: str) -> None:
    """With the line of the row."""
    assert _fault(tmp_path, CSV.replace(old, new), "costs.csv").startswith(fault)


@pytest.mark.parametrize("name", ["costs.yaml", "costs.csv"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """Missing, or not text: named, with what to do."""
    with pytest.raises(ConfigError, match=f"{name}: cannot be read: No such file"):
        read_shared_costs(tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        read_shared_costs(tmp_path / name)
