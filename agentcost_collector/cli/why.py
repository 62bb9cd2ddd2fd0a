"""Why something cost what it cost, in words: the total, then its drivers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from agentcost_collector.cli.text import amount, printable
from agentcost_collector.explain import Breakdown, Driver

_DRIVERS_SHOWN_MAX = 10


def sentences(asked: str, found: Breakdown) -> Iterator[str]:
    """The total and what it does not hold; then a line per driver, the dearest first."""
    yield total(asked, found)
    for driver in found.drivers[:_DRIVERS_SHOWN_MAX]:
        yield f"  {_driver(driver)}"
    rest = len(found.drivers) - _DRIVERS_SHOWN_MAX
    if rest > 0:
        yield f"  and {rest} more (all of them: --format json)"


def total(asked: str, found: Breakdown) -> str:
    """One sentence: cost, steps, unpriced, unattributed, failed."""
    return (
        f"{printable(asked)} cost {_dollars(found.cost_usd)} in {_count(found.steps, 'step')}; "
        f"{found.unpriced} not fully priced, "
        f"{found.unattributed} without a feature{_money(found.unattributed_usd)}, "
        f"{found.failed} failed{_money(found.failed_usd)}."
    )


def _driver(driver: Driver) -> str:
    share = "" if driver.share_percent is None else f"{driver.share_percent} % "
    what = " ".join(printable(text) for text in (driver.kind, driver.what) if text)
    text = f"{share}{_dollars(driver.cost_usd)}: {what}, called {_count(driver.steps, 'time')}"
    if driver.failed:
        text += f", {driver.failed} failed"
    if driver.unpriced:
        text += f", {driver.unpriced} not fully priced"
    if driver.path:
        text += f", at {printable(driver.path)}"
    if driver.rate_ids:
        text += f", by {', '.join(printable(rate) for rate in driver.rate_ids)}"
    return text


def _dollars(value: Decimal | None) -> str:
    return "no price" if value is None else f"${amount(value)}"


def _money(value: Decimal | None) -> str:
    return "" if value is None else f" (${amount(value)})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
