"""Settings of the price step."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Where the prices come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rate_cards: tuple[Path, ...] = ()
    """Folders of rate cards read after the bundled ones. A card whose `card_id` is known replaces
    the earlier card; any other card is added. Empty: the bundled cards only."""
