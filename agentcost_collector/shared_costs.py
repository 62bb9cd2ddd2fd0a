"""Files of shared costs, YAML or CSV, in; checked costs out, every fault with its file and line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agentcost_collector.allocate import SharedCost, SharedCosts
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.yaml_file import Place, YamlFile, in_words, read_yaml

SCHEMA = "agentcost.shared/v1"

_WHAT = "a file of shared costs"
_SEVERAL = "|"
_NESTED = ("owner", "shared_by", "idle")


def read_shared_costs(path: Path) -> tuple[SharedCost, ...]:
    """The costs in the order of the file. Raises ConfigError naming file and line.

    A CSV file (by its name's ending) has a row per cost and a column per key: `owner.team` for a
    key within a key, values of `shared_by` separated by "|", nothing for a key that is not given.
    """
    file = _read_csv(path) if path.suffix.lower() == ".csv" else read_yaml(path, _WHAT)
    try:
        costs = SharedCosts.model_validate(file.content)
    except ValidationError as wrong:
        raise ConfigError(in_words(file, wrong.errors(), _WHAT, SharedCosts)) from wrong
    overlap = costs.overlap()
    if overlap is not None:
        first, second = overlap
        raise ConfigError(
            f"{file.at('costs', second)}: the period of '{costs.costs[second].id}' overlaps that at"
            f" {file.at('costs', first)}; give each cost an id of its own or correct the dates"
        )
    return costs.costs


def _read_csv(path: Path) -> YamlFile:
    """As if it had been YAML."""
    lines: dict[Place, int] = {(): 1}
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            keys = [key.strip() for key in next(reader, [])]
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                lines["costs", len(rows)] = reader.line_num
                lines |= {("costs", len(rows), key): reader.line_num for key in _outer(keys)}
                if len(cells) != len(keys):
                    raise ConfigError(
                        f"{path}:{reader.line_num}: has {len(cells)} cells where the first line has"
                        f" {len(keys)}; correct it"
                    )
                rows.append(dict(_cells(keys, cells)))
    except OSError as wrong:
        raise ConfigError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from wrong
    except csv.Error as wrong:
        raise ConfigError(f"{path}:{reader.line_num}: not CSV: {wrong}") from wrong
    if len(set(keys)) < len(keys):
        raise ConfigError(f"{path}:1: a column is there twice; keep one of them")
    return YamlFile(path, {"schema": SCHEMA, "costs": rows}, lines)


def _outer(keys: list[str]) -> set[str]:
    return {key.partition(".")[0] for key in keys}


def _cells(keys: list[str], cells: list[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values of a row; what belongs to one outer key is one value."""
    nested: dict[str, dict[str, Any]] = {}
    for key, cell in zip(keys, cells, strict=True):
        outer, dot, inner = key.partition(".")
        text = cell.strip()
        if not text:
            continue
        if dot and outer in _NESTED:
            several = [part.strip() for part in text.split(_SEVERAL)]
            nested.setdefault(outer, {})[inner] = several if outer == "shared_by" else text
        else:
            yield key, text
    yield from nested.items()
