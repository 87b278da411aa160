"""The time limits of one exchange, and the deadline that follows from them while its answer comes in."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from ..errors import ExchangeError
from .failures import RequestProgress, timed_out


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The time limits in seconds of a streamed answer, beside the total limit of its exchange. None means no limit.

    `first_token_s` is the time from the start to the first text, reasoning or tool call. `idle_s` is the longest time
    without a byte after that; comments count as bytes.
    """

    first_token_s: float | None = None
    idle_s: float | None = None


NO_LIMITS = StreamLimits()


class Deadline:
    """The deadline of one exchange, which moves while a streamed answer comes in.

    Enter `timeout` around the exchange. When it raises TimeoutError, `failure` gives the error.
    """

    def __init__(self, total_s: float, limits: StreamLimits) -> None:
        now = asyncio.get_running_loop().time()
        self._total_s, self._limits = total_s, limits
        self._began = self._heard = now
        self._end = now + total_s
        self._next: tuple[float, str] = (total_s, "")
        """The limit that passes next in seconds, and what the exchange waits for then."""
        self.first_token_s: float | None = None
        """Seconds from the start to the first token of a streamed answer; None before it."""
        self.timeout = asyncio.timeout_at(self._end)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time() - self._began

    def silent_s(self, progress: RequestProgress) -> float:
        """Seconds since the newest byte of a streamed answer that has begun; otherwise since the request was sent.

        0 if it was not sent.
        """
        if self.first_token_s is not None:
            return asyncio.get_running_loop().time() - self._heard
        return 0.0 if progress.begun is None else time.monotonic() - progress.begun

    def expect_token(self) -> None:
        """Apply the limit for the first token from now on. Called when a streamed answer is expected or has begun."""
        if self._limits.first_token_s is not None and self.first_token_s is None:
            self._move(self._began, self._limits.first_token_s, "before the first token")

    def heard(self) -> None:
        """Note that bytes of a streamed answer came and that at least one token has come."""
        self._heard = asyncio.get_running_loop().time()
        self.first_token_s = self.first_token_s or self._heard - self._began
        if self._limits.idle_s is not None:
            self._move(self._heard, self._limits.idle_s, "without another byte")
        elif self._limits.first_token_s is not None:
            self._move(self._began, self._total_s, "")

    def failure(self, progress: RequestProgress) -> ExchangeError:
        """The error for the time limit that was exceeded."""
        limit_s, waiting = self._next
        return timed_out(limit_s, progress, waiting)

    def _move(self, since: float, limit_s: float, waiting: str) -> None:
        if self.timeout.expired():
            return
        at = min(since + limit_s, self._end)
        self._next = (limit_s, waiting) if at < self._end else (self._total_s, "")
        if at != self.timeout.when():
            self.timeout.reschedule(at)
