"""Monotonic wall-clock and CPU time, also while a library freezes the time that tests see."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Seconds of a monotonic clock, and CPU seconds of this process; both count from an arbitrary start."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Timestamp:
        """The current time."""
        return cls(time.clock_gettime(time.CLOCK_MONOTONIC), time.process_time())

    def until(self, later: Timestamp) -> Timestamp:
        """Wall and CPU seconds from this time to `later`; 0 if `later` is earlier."""
        return Timestamp(max(later.wall_s - self.wall_s, 0.0), max(later.cpu_s - self.cpu_s, 0.0))
