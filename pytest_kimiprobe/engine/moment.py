"""When something happened, by the clocks that only go on."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Seconds of the wall clock, and seconds that this process has spent on any CPU; both count from anywhere."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Moment:
        """This moment."""
        return cls(time.perf_counter(), time.process_time())

    def until(self, later: Moment) -> Moment:
        """What has gone by from here to `later`; nothing where that is earlier."""
        return Moment(max(later.wall_s - self.wall_s, 0.0), max(later.cpu_s - self.cpu_s, 0.0))
