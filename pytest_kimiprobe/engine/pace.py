"""Spaces starts out, so that the work of starting does not colour the latencies that are measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Starts `gap_s` seconds apart on average: one late by less than that lets the next follow the sooner."""

    gap_s: float
    _due: float = float("-inf")

    def after(self, now: float) -> float:
        """Seconds from a start at `now` until the next may follow."""
        late_s = now - self._due
        self._due = (now if late_s > self.gap_s else self._due) + self.gap_s
        return self._due - now
