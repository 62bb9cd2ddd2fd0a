"""Digests of everything that released cards say, so that an edit of a released price is noticed.

They lie beside the cards in `released.json`: one digest for each line, each price at its date, and
whatever else decides a price of a SKU. Sources are not among them: a price that has been verified
since is still the same price.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.price.digest import canonical
from agentcost_collector.price.read import CardFile, card_files, read_card
from agentcost_collector.yaml_file import Place

RELEASED = "released.json"
_DIGEST_CHARS = 12
_PARTS = ("band", "quantity_rules", "schedule", "allowances")


def changed_since_release(directory: Path) -> list[str]:
    """Sentences on what was released and is now edited or gone; none where nothing was released."""
    pins = _pins(directory)
    now = _parts(directory) if pins else {}
    faults = []
    for name, digest in pins.items():
        if name not in now:
            faults.append(
                f"{Path(directory, RELEASED)}: {name} was released and is gone; put it back"
            )
        elif now[name][0] != digest:
            faults.append(
                f"{now[name][1]}: {name} was released and is edited; append a price instead"
            )
    return faults


def unreleased(directory: Path) -> list[str]:
    """What is in the cards and not yet among the released digests, by name."""
    return sorted(_parts(directory).keys() - _pins(directory).keys())


def release(directory: Path) -> int:
    """Adds what is new to `released.json`, never changes what is there; returns how many."""
    pins = _pins(directory)
    new = {name: digest for name, (digest, _) in _parts(directory).items() if name not in pins}
    if new:
        path = Path(directory, RELEASED)
        try:
            path.write_text(json.dumps(pins | new, indent=0, sort_keys=True) + "\n")
        except OSError as wrong:
            raise ConfigError(f"{path}: cannot be written: {wrong.strerror}") from wrong
    return len(new)


def _pins(directory: Path) -> dict[str, str]:
    path = Path(directory, RELEASED)
    if not path.is_file():
        return {}
    try:
        pins = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise ConfigError(f"{path}: cannot be read: {wrong}") from wrong
    if not isinstance(pins, dict):
        raise ConfigError(f"{path}: is not a list of digests; restore it from the last release")
    return pins


def _parts(directory: Path) -> dict[str, tuple[str, str]]:
    """Digest and place of each part, by name."""
    found = {}
    for path in card_files(directory):
        file = read_card(path)
        for name, content, place in _named(file):
            digest = hashlib.sha256(canonical(content)).hexdigest()[:_DIGEST_CHARS]
            found[name] = (digest, file.at(*place))
    return found


def _named(file: CardFile) -> Iterator[tuple[str, dict[str, Any], Place]]:
    card = file.content
    for index, alias in enumerate(card.get("aliases", ())):
        name = f"{card['card_id']} alias {alias['model']} {_date(alias['from'])}"
        yield name, alias, ("aliases", index)
    for index, sku in enumerate(card.get("skus", ())):
        at: Place = ("skus", index)
        for number, line in enumerate(sku["lines"]):
            fixed = {k: v for k, v in line.items() if k != "prices"}
            place: Place = (*at, "lines", number)
            yield f"{sku['sku']} {line['id']}", fixed, place
            for turn, price in enumerate(line.get("prices", ())):
                told = {k: v for k, v in price.items() if k != "src"}
                name = f"{sku['sku']} {line['id']} {_date(price['from'])}"
                yield name, told, (*place, "prices", turn)
        for turn, adjustment in enumerate(sku.get("adjustments", ())):
            told = {k: v for k, v in adjustment.items() if k != "src"}
            yield f"{sku['sku']} adjustment {adjustment['id']}", told, (*at, "adjustments", turn)
        for part in _PARTS:
            if part in sku:
                yield f"{sku['sku']} {part}", {part: sku[part]}, (*at, part)


def _date(value: Any) -> str:
    return json.loads(canonical({"at": value}))["at"]
