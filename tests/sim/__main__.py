"""`python -m tests.sim --seed 123`, or `--first 0 --count 10000` on two processes."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.sim.run import run_seed


def main() -> int:
    """Exit code 1 where a law is broken."""
    options = argparse.ArgumentParser(prog="python -m tests.sim")
    options.add_argument("--seed", type=int)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    if chosen.seed is not None:
        outcome = run_seed(chosen.seed)
        print("\n".join(outcome.events))  # noqa: T201
        print(outcome.trace or outcome.broken or "all laws hold", f"events {outcome.digest}")  # noqa: T201
        return 1 if outcome.broken else 0
    failed, began = 0, time.monotonic()
    seeds = range(chosen.first, chosen.first + chosen.count)
    with ProcessPoolExecutor(chosen.workers) as pool:
        for outcome in pool.map(run_seed, seeds, chunksize=4):
            if outcome.broken:
                failed += 1
                print(outcome.line, flush=True)  # noqa: T201
    took = time.monotonic() - began
    print(f"{chosen.count} seeds, {failed} failed, {took:.0f} s")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
