"""The time budget of one request: what is left of its timeout, and the limits of the next attempt."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from .evidence.model import Evidence
from .request_options import Options
from .transport.deadline import StreamLimits
from .types import Parked

MIN_ATTEMPT_S = 0.05
"""The fewest seconds that must be left for an attempt to be sent."""
RETRY_S = 0.5
"""The longest pause in seconds before the only retry, as in AWS's SDKs for throttling. The actual pause is a random
part of it."""
FIRST_TOKEN_S = 30.0
"""The least limit in seconds for the first token of a streamed answer, unless the caller gives one."""
SLOW_FIRST_TOKEN = 4
"""The limit for the first token is this many times the time that it usually takes."""
_WAIT_SHARE = 0.75
"""The share of the time left that a request may wait for a parked endpoint; the rest is for the attempt."""


def jittered(left_s: float) -> float:
    """Seconds to wait before a retry: random, at most `RETRY_S` and at most a quarter of the time left."""
    return random.uniform(0.0, max(min(RETRY_S, left_s / 4), 0.0))  # noqa: S311 - no secret


class TimeBudget:
    """Time limits of the attempts of one request. They depend on its options, on evidence and on its prompt's length.

    While another endpoint is left, half of the remaining time is kept for it.
    """

    def __init__(self, options: Options, evidence: Evidence, prompt_tokens: int) -> None:
        self._options, self._evidence, self._prompt_tokens = options, evidence, prompt_tokens
        self._deadline = time.monotonic() + options.timeout

    @property
    def left_s(self) -> float:
        """Seconds left of the timeout."""
        return self._deadline - time.monotonic()

    def attempt_s(self, *, stream: bool, last: bool) -> float:
        """Seconds that the next attempt may take in all. A streamed answer that has begun may take all that is left."""
        left = self.left_s
        if stream:
            return left
        return min(self._options.attempt_timeout or (left if last else left / 2), left)

    def stream_limits(self, endpoint: str, *, last: bool) -> StreamLimits:
        """The limits of an answer of this endpoint if it is streamed."""
        given = self._options.first_token_timeout
        first_token_s = given or max(FIRST_TOKEN_S, SLOW_FIRST_TOKEN * self.usual_s(endpoint, stream=True))
        return StreamLimits(first_token_s if last else min(first_token_s, self.left_s / 2), self._options.idle_timeout)

    def usual_s(self, endpoint: str, *, stream: bool) -> float:
        """Seconds that the endpoint usually takes to answer the request, or to begin its stream; 0 if unknown."""
        now = datetime.now(UTC)
        return self._evidence.usual_s(endpoint, now, prompt_tokens=self._prompt_tokens, stream=stream)

    def allows_waiting(self, held: Parked) -> bool:
        """Whether the request waits for the end of this parking.

        It does so for a short pause that the host asked for, and while another request asks the endpoint.
        """
        left = self.left_s
        return (held.requested or not held.seconds) and left > MIN_ATTEMPT_S and held.seconds <= _WAIT_SHARE * left
