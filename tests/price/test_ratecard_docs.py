"""The example of docs/formats/ratecard.md."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.steps import price_steps
from tests.price.acme import steps

PAGE = Path(__file__).parent.parent.parent / "docs" / "formats" / "ratecard.md"


def test_example_loads_and_prices(tmp_path: Path) -> None:
    """The card in the documentation is a card, and its lines price what the page says."""
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    (tmp_path / "acme.yaml").write_text(found[1])
    call = {"provider": "acme", "model": "acme-latest", "input_tokens": 200_000}
    rows = [
        call | {"input_image_tokens": 1},
        call | {"service_tier": "batch", "output_tokens": 100},
        {"kind": "tool", "tool": "crm_lookup"},
    ]
    charges = price_steps(steps(*rows), load_rate_book([tmp_path])).to_pylist()
    costs = [Decimal("1.000005"), Decimal("0.2505"), Decimal("0.002")]
    assert [c["cost_usd"] for c in charges] == costs


def test_every_example_loads(tmp_path: Path) -> None:
    """All cards of the page load beside the bundled ones: they name what is really there."""
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for number, example in enumerate(examples):
        (tmp_path / f"{number}.yaml").write_text(example)
    assert len(examples) == 6
    book = load_rate_book([bundled_rate_cards(), tmp_path])
    call = {"provider": "openai", "model": "gpt-5.5", "input_tokens": 1000, "account": "org-acme"}
    charge = price_steps(steps(call), book).to_pylist()[0]
    assert (charge["cost_usd"], charge["list_cost_usd"]) == (Decimal("0.0041"), Decimal("0.005"))
    work = {"kind": "compute", "provider": None, "model": None, "gpu_seconds": Decimal(90)}
    charge = price_steps(steps(work), book).to_pylist()[0]
    assert charge["cost_usd"] == Decimal("0.06225")
