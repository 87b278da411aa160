"""How fast one account may be asked, learned from its HTTP 429s. Pure: times are given in seconds, nothing sleeps.

A refusal halves the number of requests at once; one that comes although only one was under way spreads the starts: the
time until the next one is allowed, shared by those that were answered in it. Answers let both grow again, slowly. A
refused request is sent again after the wait, until nothing but refusals came for `patience_s` seconds; after that each
is sent once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 60.0
_SLACK = 1.05
_ANSWERS_TO_GROW = 20
"""Answers in a row after which one more at once is tried, or starts move a tenth closer together."""


@dataclass(slots=True)
class Throttle:
    """What is known of one account (or of one upstream behind a gateway).

    `limit` requests may be under way at once, their starts `spacing_s` apart; `refused` counts the 429s, `waited_s`
    is the time that they asked for in all, `most` the limit that was wished for.
    """

    most: int
    patience_s: float
    limit: int = 0
    spacing_s: float = 0.0
    refused: int = 0
    waited_s: float = 0.0
    under_way: int = 0
    _not_before: float = 0.0
    _lowered_at: float = float("-inf")
    _refused_since: float | None = None
    _wait_s: float = _FIRST_WAIT_S
    _answers: int = 0
    _window: list[float] = field(default_factory=list)
    """When those were sent that were answered since the last refusal."""

    def __post_init__(self) -> None:
        self.limit = self.limit or self.most

    @property
    def slowed(self) -> bool:
        """Whether fewer requests are sent than was wished for."""
        return self.limit < self.most or self.spacing_s > 0

    def ready_in(self, now: float) -> float | None:
        """Seconds until the next start is allowed; None where one under way must end first."""
        return None if self.under_way >= self.limit else max(self._not_before - now, 0.0)

    def started(self, now: float) -> None:
        """One request goes out."""
        self.under_way += 1
        self._not_before = max(self._not_before, now + self.spacing_s)

    def ended(self) -> None:
        """One request came to its end, whatever it was."""
        self.under_way -= 1

    def answered(self, sent_at: float) -> None:
        """The request sent at `sent_at` was not refused."""
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
        """A 429 for a request sent at `sent_at`; whether it is to be sent again."""
        self.refused += 1
        self._answers = 0
        since = now if self._refused_since is None else self._refused_since
        wait_s = self._wait_s if retry_after_s is None else retry_after_s
        if now + wait_s - since > self.patience_s:
            self.spacing_s, self._not_before = 0.0, now
            return False
        self._refused_since = since
        if sent_at >= self._lowered_at:  # others of the same burst say the same thing
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
    """What a report says of a provider or upstream that answered 429."""
    times = "once" if throttle.refused == 1 else f"{throttle.refused} times"
    told = f"{scope} refused {times} (HTTP 429)"
    if throttle.waited_s:
        told += f"; waited {throttle.waited_s:.0f} s"
    if not throttle.slowed:
        return told
    spaced = f", {throttle.spacing_s:.0f} s apart" if throttle.spacing_s >= 1 else ""
    return f"{told}, slowed to {throttle.limit} at once{spaced}"
