"""Steps, prices and verdicts of every recording as text. `make golden` rewrites; review the diff.

The files are a record of what the product does today, so that every change of it is seen. What is
right is asserted elsewhere, against the provider's log.
"""

from __future__ import annotations

import json
from typing import Any

from agentcost_collector.kernel import Rulebook, explain
from agentcost_collector.settings import Settings
from tests.support.recordings import ROOT, names, requests_of
from tests.support.walked import decode

FOLDER = ROOT / "tests" / "golden" / "steps"
_LEFT_OUT = ("step_id", "trace_id", "started_at", "ended_at", "duration_ms", "card_digest")


def golden_text(name: str, rulebook: Rulebook) -> str:
    """Pretty JSON: charges (what is NULL left out), then one line per span with its verdict."""
    spans = decode(requests_of(name))
    charges, verdicts = explain(spans, rulebook)
    steps = [
        {k: str(v) for k, v in row.items() if v is not None and k not in _LEFT_OUT}
        for row in charges.to_pylist()
    ]
    lines: list[dict[str, Any]] = [
        {k: v for k, v in row.items() if v is not None and k not in _LEFT_OUT}
        for row in verdicts.to_pylist()
    ]
    return json.dumps({"steps": steps, "spans": lines}, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Writes every file anew."""
    rulebook = Rulebook.of(Settings())
    FOLDER.mkdir(exist_ok=True)
    for name in names():
        (FOLDER / f"{name}.json").write_text(golden_text(name, rulebook), encoding="utf-8")


if __name__ == "__main__":
    main()
