"""How long things take, for Prometheus."""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Durations:
    """Seconds of one kind of work, counted by size. Thread-safe; under a microsecond a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        with self._lock:
            self._counts[bisect_left(BOUNDS_S, seconds)] += 1
            self._sum_s += seconds

    def family(self, name: str, meaning: str) -> HistogramMetricFamily:
        """As a histogram; `_count` says how often."""
        with self._lock:
            counts, sum_s = accumulate(self._counts), self._sum_s
            labels = [*map(str, BOUNDS_S), "+Inf"]
            buckets = [(bound, float(n)) for bound, n in zip(labels, counts, strict=True)]
        return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=sum_s)
