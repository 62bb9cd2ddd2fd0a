"""Loads the file of what tenants pay; every fault with its file and line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.reports import Prices
from agentcost_collector.yaml_file import in_words, read_yaml

_WHAT = "a file of prices"


def read_prices(path: Path) -> Prices:
    """The prices in a file. Raises ConfigError naming file and line."""
    file = read_yaml(path, _WHAT)
    try:
        return Prices.model_validate(file.content)
    except ValidationError as wrong:
        raise ConfigError(in_words(file, wrong.errors(), _WHAT, Prices)) from wrong
