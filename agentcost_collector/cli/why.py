"""Why something cost what it cost, in words: the total, then its drivers."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from agentcost_collector.cli.text import amount, counted, printable
from agentcost_collector.explain import Breakdown, Driver, Usual

_DRIVERS_SHOWN_MAX = 10
_DIFFERENCES_MAX = 5


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
        f"{printable(asked)} cost {_dollars(found.cost_usd)} in {counted(found.steps, 'step')}; "
        f"{found.unpriced} not fully priced, "
        f"{found.unattributed} without a feature{_money(found.unattributed_usd)}, "
        f"{found.failed} failed{_money(found.failed_usd)}."
    )


def compared(found: Breakdown, tokens: int, runs: int, usual: Usual | None) -> Iterator[str]:
    """What differs from as many usual runs of the feature. `found` is what that feature paid."""
    if usual is None:
        yield "No earlier run of its feature is known to compare it with."
        return
    times = f" times {runs}" if runs > 1 else ""
    yield (
        f"Usually (median of {counted(usual.runs, 'run')} of {printable(usual.feature)} in the 28"
        f" days before){times}: {_dollars(usual.cost_usd * runs)} in"
        f" {counted(usual.steps * runs, 'step')}, {usual.tokens * runs} tokens; here"
        f" {_dollars(found.cost_usd)} in {counted(found.steps, 'step')}, {tokens} tokens."
    )
    before = {(kind, what): (steps, cost) for kind, what, steps, cost in usual.drivers}
    here: dict[tuple[str | None, str | None], tuple[int, Decimal]] = {}
    for driver in found.drivers:
        steps, cost = here.get((driver.kind, driver.what), (0, Decimal(0)))
        added = driver.cost_usd or Decimal(0)
        here[driver.kind, driver.what] = (steps + driver.steps, cost + added)
    changes = []
    for key, (steps, cost) in here.items():
        steps_before, cost_before = before.get(key, (0, Decimal(0)))
        changes.append((cost - cost_before * runs, key, steps, steps_before * runs))
    changes.sort(key=lambda change: (-abs(change[0]), change[1][0] or "", change[1][1] or ""))
    for more, key, steps, steps_before in changes[:_DIFFERENCES_MAX]:
        if more:
            name = " ".join(printable(text) for text in key if text)
            word = "more" if more >= 0 else "less"
            times_called = f"called {counted(steps, 'time')}, usually {steps_before}"
            yield f"  {_dollars(abs(more))} {word}: {name}, {times_called}"


def _driver(driver: Driver) -> str:
    share = "" if driver.share_percent is None else f"{driver.share_percent} % "
    what = " ".join(printable(text) for text in (driver.kind, driver.what) if text)
    text = f"{share}{_dollars(driver.cost_usd)}: {what}, called {counted(driver.steps, 'time')}"
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
