"""Rate limit of one account, learned from its HTTP 429s. Pure: times are given in seconds, nothing sleeps.

A 429 halves the number of concurrent requests. If only one may be in flight already, the starts are spaced instead. The
space is the time from the first request since the last 429 to the next allowed one, divided by the answers in between.
Answers raise both limits again, slowly. A refused request is sent again after the wait. If only 429s came for
`patience_s` seconds, each request is sent once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST_WAIT_S = 0.5
"""Wait after a 429 without Retry-After; it doubles with each further one."""
_LONGEST_WAIT_S = 60.0
"""The longest wait after a 429 without Retry-After, and the longest time between two starts."""
_SLACK = 1.05
"""Factor on the measured time between two starts, because clocks and windows differ."""
_ANSWERS_TO_GROW = 20
"""Answers in a row after which one more concurrent request is allowed, or starts move a tenth closer together."""


@dataclass(slots=True)
class Throttle:
    """Limits of one account, or of one upstream behind a gateway.

    `limit` requests may be in flight, their starts `spacing_s` apart. `most` is the configured limit, `refused` counts
    the 429s, `waited_s` sums the waits that they asked for.
    """

    most: int
    patience_s: float
    limit: int = 0
    spacing_s: float = 0.0
    refused: int = 0
    waited_s: float = 0.0
    in_flight: int = 0
    _not_before: float = 0.0
    _lowered_at: float = float("-inf")
    _refused_since: float | None = None
    _wait_s: float = _FIRST_WAIT_S
    _answers: int = 0
    _window: list[float] = field(default_factory=list)
    """When the requests were sent that were answered since the last 429."""

    def __post_init__(self) -> None:
        self.limit = self.limit or self.most

    @property
    def slowed(self) -> bool:
        """Whether fewer requests are sent than configured."""
        return self.limit < self.most or self.spacing_s > 0

    def ready_in(self, now: float) -> float | None:
        """Seconds until the next start is allowed; None if a request in flight must end first."""
        return None if self.in_flight >= self.limit else max(self._not_before - now, 0.0)

    def started(self, now: float) -> None:
        """Count a request that is sent."""
        self.in_flight += 1
        self._not_before = max(self._not_before, now + self.spacing_s)

    def ended(self) -> None:
        """One request fewer is in flight, whatever its result was."""
        self.in_flight -= 1

    def answered(self, sent_at: float) -> None:
        """Record that the request sent at `sent_at` was not refused."""
        self._window.append(sent_at)
        self._refused_since = None
        self._wait_s = _FIRST_WAIT_S
        self._answers += 1
        if self._answers % _ANSWERS_TO_GROW == 0:
            if self.spacing_s:
                self.spacing_s = self.spacing_s * 0.9 if self.spacing_s > _FIRST_WAIT_S else 0.0
            elif self.limit < self.most:
                self.limit += 1

    def refused_at(self, now: float, sent_at: float, retry_after_s: float | None) -> bool:
        """Record a 429 for a request sent at `sent_at`. Returns whether to send the request again."""
        self.refused += 1
        self._answers = 0
        since = now if self._refused_since is None else self._refused_since
        wait_s = self._wait_s if retry_after_s is None else retry_after_s
        if now + wait_s - since > self.patience_s:
            self.spacing_s, self._not_before = 0.0, now
            return False
        self._refused_since = since
        if sent_at >= self._lowered_at:  # later 429s of the same burst change nothing
            self._lower(now, wait_s)
        until = max(self._not_before, now + wait_s)
        self.waited_s += until - max(self._not_before, now)
        self._not_before = until
        return True

    def _lower(self, now: float, wait_s: float) -> None:
        self._lowered_at = now
        self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
        if self.limit > 1:
            self.limit //= 2
        elif self._window:
            self.spacing_s = min((now + wait_s - self._window[0]) / len(self._window) * _SLACK, _LONGEST_WAIT_S)
        else:
            self.spacing_s = min(max(wait_s, self.spacing_s), _LONGEST_WAIT_S)
        self._window.clear()


def refusal_words(scope: str, throttle: Throttle) -> str:
    """Sentence for the report about a provider or upstream that answered 429."""
    times = "once" if throttle.refused == 1 else f"{throttle.refused} times"
    text = f"{scope} refused {times} (HTTP 429)"
    if throttle.waited_s:
        text += f"; waited {throttle.waited_s:.{0 if throttle.waited_s >= 1 else 1}f} s"
    if not throttle.slowed:
        return text
    spaced = f", {throttle.spacing_s:.0f} s apart" if throttle.spacing_s >= 1 else ""
    return f"{text}, slowed to {throttle.limit} concurrent{spaced}"
