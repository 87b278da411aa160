"""Spaces the starts of requests, and measures how late the event loop is: both protect the measured latencies."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from ..stats.quantiles import nearest_rank

TICK_S = 0.01
"""Seconds between two measurements of the loop's lag."""


@dataclass(slots=True)
class Pacer:
    """Keeps starts `gap_s` seconds apart on average. After a start that was up to `gap_s` late the next is sooner."""

    gap_s: float
    _due: float = float("-inf")

    def after(self, now: float) -> float:
        """Seconds from a start at `now` until the next may follow."""
        late_s = now - self._due
        self._due = (now if late_s > self.gap_s else self._due) + self.gap_s
        return self._due - now


class LoopLag:
    """Wakes up every `TICK_S` seconds and records how late it was. A late loop makes measured latencies too long."""

    def __init__(self) -> None:
        self._at: list[float] = []
        self._late_ms: list[float] = []

    async def run(self) -> None:
        """Measure until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await asyncio.sleep(TICK_S)
            self.note(clock(), (clock() - began - TICK_S) * 1000)

    def note(self, at: float, late_ms: float) -> None:
        """Record one wake-up at `at` (seconds of the loop's clock, rising), `late_ms` milliseconds late."""
        self._at.append(at)
        self._late_ms.append(late_ms)

    @property
    def latest_s(self) -> float:
        """Lag of the last wake-up."""
        return self._late_ms[-1] / 1000 if self._late_ms else 0.0

    def p95_ms(self, since: float = -math.inf, until: float = math.inf) -> float:
        """95th percentile of the lag between two times, by nearest rank; 0 if the loop never woke up."""
        lags = sorted(self._late_ms[bisect_left(self._at, since) : bisect_right(self._at, until)])
        return nearest_rank(lags, 0.95) if lags else 0.0
