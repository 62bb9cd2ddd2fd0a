"""Digests of everything that a released rate card says, so that an edit is a visible act.

    python -m tests.cards.pin

adds what is new to digests.json; it never changes or removes a pin.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CARDS = Path(__file__).parent.parent.parent / "rate_cards"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PINS = Path(__file__).parent / "digests.json"


def released(directory: Path = CARDS) -> dict[str, str]:
    """A digest for each priced line at each date, and for what else decides a price of its SKU."""
    found: dict[str, str] = {}
    for path in sorted(directory.glob("*.yaml")):
        card = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
        for name, content in _parts(card):
            assert name not in found, f"{name} is there twice"
            text = json.dumps(content, sort_keys=True, default=str)
            found[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def _parts(card: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for alias in card.get("aliases", ()):
        yield f"{card['card_id']} alias {alias['model']} {alias['from']}", alias
    for sku in card["skus"]:
        for line in sku["lines"]:
            fixed = {k: v for k, v in line.items() if k != "prices"}
            yield f"{sku['sku']} {line['id']}", fixed
            for price in line.get("prices", ()):
                told = {k: v for k, v in price.items() if k != "src"}
                yield f"{sku['sku']} {line['id']} {price['from']}", told
        for adjustment in sku.get("adjustments", ()):
            yield f"{sku['sku']} adjustment {adjustment['id']}", adjustment
        for part in ("band", "quantity_rules", "schedule"):
            if part in sku:
                yield f"{sku['sku']} {part}", sku[part]


if __name__ == "__main__":
    known = json.loads(PINS.read_text()) if PINS.exists() else {}
    PINS.write_text(json.dumps(released() | known, indent=0, sort_keys=True) + "\n")
