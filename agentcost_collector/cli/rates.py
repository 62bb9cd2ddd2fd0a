"""The rate book as a table, for the view `rates`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from agentcost_collector.price.card import Line
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import Offer
from agentcost_collector.report.views import RATES


def rates_table(directories: Sequence[Path]) -> pa.Table:
    """RATES of all cards in those folders: one row per price of a line, per band. Multipliers of
    a card (`adjustments`) are not in the amounts."""
    offers = load_rate_book(directories).offers
    rows = [row for offer in offers for line in offer.sku.lines for row in _rows(offer, line)]
    return pa.Table.from_pylist(rows, schema=RATES)


def _rows(offer: Offer, line: Line) -> Iterator[dict[str, Any]]:
    models = offer.match.model
    fixed = {
        "sku": offer.sku.sku,
        "provider": ", ".join(offer.match.provider or ()) or None,
        "model": " ".join([*models.equals, *models.regex]) if models else None,
        "unit": line.kind,
        "context": json.dumps(line.when, sort_keys=True) if line.when else None,
        "currency": offer.currency,
        "per": line.per,
        "card_digest": offer.digest,
    }
    for price, following in pairwise([*line.prices, None]):
        assert price is not None
        amounts = price.amount if isinstance(price.amount, dict) else {None: price.amount}
        until = price.to or (following.start if following else None)
        for band, amount in amounts.items():
            yield {
                **fixed,
                "band": band,
                "amount": Decimal(amount),
                "valid_from": price.start,
                "valid_to": until,
            }
