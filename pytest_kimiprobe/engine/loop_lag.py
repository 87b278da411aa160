"""How late the event loop is: while it is busy, every latency that it measures is too long."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left, bisect_right

from ..stats.quantiles import nearest_rank

TICK_S = 0.01


class LagWatch:
    """Wakes up every `TICK_S` seconds and notes how much too late that was."""

    def __init__(self) -> None:
        self._at: list[float] = []
        self._late_ms: list[float] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            asked = clock()
            await asyncio.sleep(TICK_S)
            self.note(clock(), (clock() - asked - TICK_S) * 1000)

    def note(self, at: float, late_ms: float) -> None:
        """One wake-up at `at` (seconds of the loop's clock, rising), `late_ms` too late."""
        self._at.append(at)
        self._late_ms.append(late_ms)

    @property
    def latest_s(self) -> float:
        """How late the loop was when it last woke up."""
        return self._late_ms[-1] / 1000 if self._late_ms else 0.0

    def p95_ms(self, since: float = -math.inf, until: float = math.inf) -> float:
        """95th percentile of the lag between two moments, by nearest rank; 0 where the loop never woke up."""
        known = sorted(self._late_ms[bisect_left(self._at, since) : bisect_right(self._at, until)])
        return nearest_rank(known, 0.95) if known else 0.0
