"""pytest plugin: the fixture `agentcost`, to assert what recorded traces cost.

    def test_an_answer_costs_at_most_a_cent(agentcost):
        cost = agentcost.cost_of("traces/answer.otlp.bin")
        assert cost.usd <= Decimal("0.01")
        assert cost.by_feature["search"].steps < 10

Loaded by every pytest where the package is installed, so nothing heavy is imported before use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from agentcost_collector.check import Cost, Limit, Measure
    from agentcost_collector.settings import Settings

Most = int | str | Decimal
"""A limit: dollars as text or Decimal, for a float is not exact."""


class Costs:
    """What some recordings cost together: the attributes of Cost, and of its parts."""

    def __init__(self, costs: Mapping[tuple[str, str | None], Cost]) -> None:
        from agentcost_collector.check import NOTHING, TOTAL

        self.total: Cost = costs.get((TOTAL, None), NOTHING)
        self.by_feature = _part(costs, "feature")
        """Features that pay; None holds what no feature pays."""
        self.by_model = _part(costs, "model")
        self.by_tool = _part(costs, "tool")

    @property
    def usd(self) -> Decimal:
        """All of it. AssertionError where some steps have no price, for then nobody knows."""
        return self.total.usd


class Agentcost:
    """The fixture. Settings come from files and environment as for the commands."""

    def cost_of(
        self, *recordings: str | Path, policy: Path | None = None, rate_cards: Sequence[Path] = ()
    ) -> Costs:
        """What recordings (files, folders, globs) cost. AssertionError where one cannot be read
        whole; ConfigError where there is none, or cards or policy cannot be used."""
        from agentcost_collector.check import cost_of, costs, tried

        with tried(_files(recordings), _settings(policy, rate_cards)) as trial:
            assert not trial.faults, "\n".join(trial.faults)
            return Costs(cost_of(costs(trial.connection)))

    def check(
        self,
        *recordings: str | Path,
        max_usd: Most | None = None,
        max_usd_per_run: Most | Mapping[str, Most] | None = None,
        max_steps_per_run: Most | Mapping[str, Most] | None = None,
        max_tokens_per_run: Most | Mapping[str, Most] | None = None,
        max_unattributed: Most | None = None,
        allow_unpriced: bool = False,
        policy: Path | None = None,
        rate_cards: Sequence[Path] = (),
    ) -> None:
        """As `agentcost check`: AssertionError with every limit that is broken. A limit is for
        every run, or by feature in a mapping; `max_unattributed` is in percent."""
        from agentcost_collector.check import Measure, findings, tried

        limits = [
            *_limits(Measure.USD, max_usd),
            *_limits(Measure.USD_PER_RUN, max_usd_per_run),
            *_limits(Measure.STEPS_PER_RUN, max_steps_per_run),
            *_limits(Measure.TOKENS_PER_RUN, max_tokens_per_run),
        ]
        unattributed = None if max_unattributed is None else _exact(max_unattributed)
        if not limits and unattributed is None:
            raise TypeError("nothing to check; give a limit, as max_usd_per_run='0.05'")
        with tried(_files(recordings), _settings(policy, rate_cards)) as trial:
            found = findings(trial, limits, unattributed, allow_unpriced)
        assert not found, "\n".join(["what was recorded costs too much:", *map(str, found)])


@pytest.fixture(scope="session")
def agentcost() -> Agentcost:
    """Costs of recorded traces."""
    return Agentcost()


def _part(costs: Mapping[tuple[str, str | None], Cost], of: str) -> dict[str | None, Cost]:
    return {name: cost for (dimension, name), cost in costs.items() if dimension == of}


def _files(recordings: Sequence[str | Path]) -> list[Path]:
    from agentcost_collector.recordings import find_recordings

    return find_recordings([str(path) for path in recordings])


def _settings(policy: Path | None, rate_cards: Sequence[Path]) -> Settings:
    from agentcost_collector.settings import load_settings

    given = {"policy": policy, "rate_cards": list(rate_cards) or None}
    return load_settings(None, {name: value for name, value in given.items() if value is not None})


def _limits(measure: Measure, most: Most | Mapping[str, Most] | None) -> list[Limit]:
    from agentcost_collector.check import Limit

    if most is None:
        return []
    if isinstance(most, Mapping):
        return [Limit(measure, _exact(value), feature) for feature, value in most.items()]
    return [Limit(measure, _exact(most))]


def _exact(value: Most) -> Decimal:
    if isinstance(value, float):
        raise TypeError(f"{value!r} is not exact; give text or a Decimal, as '{value}'")
    return Decimal(value)
