"""Loads the file of budgets; every fault with its file and line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from agentcost_collector.budget import Budgets
from agentcost_collector.model.errors import ConfigError
from agentcost_collector.yaml_file import in_words, read_yaml

_WHAT = "a file of budgets"


def read_budgets(path: Path) -> Budgets:
    """The budgets in a file. Raises ConfigError naming file and line."""
    file = read_yaml(path, _WHAT)
    try:
        budgets = Budgets.model_validate(file.content)
    except ValidationError as wrong:
        raise ConfigError(in_words(file, wrong.errors(), _WHAT, Budgets)) from wrong
    twice = budgets.twice()
    if twice is not None:
        first, second = twice
        raise ConfigError(
            f"{file.at('budgets', second)}: '{budgets.budgets[second].name}' is at"
            f" {file.at('budgets', first)} already; give each budget a name of its own"
        )
    return budgets
