"""Where the rate cards of this package are."""

from __future__ import annotations

from pathlib import Path


def bundled_rate_cards() -> Path:
    """The folder of rate cards that come with this package."""
    package = Path(__file__).parent.parent
    installed = package / "rate_cards"
    return installed if installed.is_dir() else package.parent / "rate_cards"
