"""The text of a card with prices, lines and SKUs appended; no row of ours is lost or moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from agentcost_collector.draft import layout
from agentcost_collector.draft.offered import Listed, Offered, Span
from agentcost_collector.price.card import RateCard
from agentcost_collector.price.read import CardFile


@dataclass(frozen=True)
class Origin:
    """Where a list came from."""

    url: str
    method: str
    """Such as `genai-prices@0.2.3`."""
    retrieved: datetime


def listed(file: CardFile | None) -> RateCard | None:
    """The list of prices that a file holds; None where it is none."""
    return file.card if file and isinstance(file.card, RateCard) else None


class CardText:
    """One card, or the beginning of a new one."""

    def __init__(self, card: CardFile | None, origin: Origin) -> None:
        self.before = card.path.read_text(encoding="utf-8") if card else ""
        self._card, self._origin = card, origin
        self._list = listed(card)
        self._rows = self.before.splitlines()
        self._inserted: dict[int, list[str]] = {}
        self._skus: list[str] = []
        self._src = self._source_id()
        self._used = False

    def came_from_list(self, src: str) -> bool:
        """Whether a source of the card is this list, in whatever version."""
        assert self._list
        package = self._origin.method.partition("@")[0]
        return self._list.sources[src].method.partition("@")[0] == package

    def add_prices(self, sku: int, line: int, prices: Sequence[Span]) -> None:
        """Appends dated prices to a line of ours."""
        assert self._card
        assert self._list
        self._used = True
        texts = [layout.price_text(price, self._src) for price in prices]
        place = ("skus", sku, "lines", line)
        known = len(self._list.skus[sku].lines[line].prices)
        row = self._card.file.lines[(*place, "prices", known - 1)] - 1
        if row == self._card.file.lines[place] - 1:
            self._rows[row] = layout.appended(self._rows[row], texts)
            return
        indent = self._rows[row].partition("-")[0]
        self._inserted.setdefault(row, []).extend(f"{indent}- {text}" for text in texts)

    def add_line(self, sku: int, line: Listed) -> None:
        """Appends a line to a SKU of ours."""
        assert self._card
        assert self._list
        self._used = True
        place = ("skus", sku, "lines")
        row = max(at for part, at in self._card.file.lines.items() if part[:3] == place) - 1
        self._inserted.setdefault(row, []).extend(layout.line_rows(line, self._src))

    def add_sku(self, offered: Offered, provider: str) -> None:
        """Appends a SKU."""
        self._used = True
        self._skus.append(layout.sku_text(offered, provider, self._src))

    def after(self, provider: str) -> str:
        """The whole text; the text before where nothing was appended."""
        if not self._used:
            return self.before
        origin = self._origin
        source = layout.source_text(self._src, origin.url, origin.retrieved, origin.method)
        if self._list is None:
            return layout.card_head(provider, source) + "".join(self._skus)
        rows: list[str] = []
        for number, row in enumerate(self._rows):
            rows += [row, *self._inserted.get(number, ())]
            if number == self._last_source() and self._src not in self._list.sources:
                rows.append(source)
        return "\n".join(rows) + "\n" + "".join(self._skus)

    def _last_source(self) -> int:
        assert self._card
        assert self._list
        return (
            max(at for place, at in self._card.file.lines.items() if place[:1] == ("sources",)) - 1
        )

    def _source_id(self) -> str:
        """That of the same list and day, else a new one."""
        known = self._list.sources if self._list else {}
        for name, source in known.items():
            if (source.method, source.retrieved) == (self._origin.method, self._origin.retrieved):
                return name
        numbers = ("g", *(f"g{n}" for n in range(2, len(known) + 3)))
        return next(name for name in numbers if name not in known)
