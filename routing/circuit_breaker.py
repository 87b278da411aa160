"""Circuit breaker: parks endpoints that asked for a pause, and endpoints that keep failing.

An endpoint is parked until the time that its host named (`Retry-After`, at most an hour). It is also parked for 30 s or
more after failures by the provider's fault: at least five, and at least half of its newest requests. After that time
one request may try it: success ends the parking, failure prolongs it. The breaker itself never waits.

Failures of error class `provider` count against an endpoint; every answer, even a wrong one, counts for it. Errors that
the caller or the account caused do not count, and neither do timeouts too short to say anything about the host. The
state belongs to one process (docs/decisions.md).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .errors import ExchangeError
from .types import Parked

WINDOW_S = 60.0
"""Seconds. Outcomes that are older do not count."""
NEWEST = 20
"""The most outcomes that are kept of one endpoint."""
LEAST_FAILURES = 5
"""The fewest failures that can park an endpoint."""
RATE = 0.5
"""The share of failures among the kept outcomes that parks an endpoint."""
OPEN_S = 30.0
"""Seconds for which failures park an endpoint, multiplied by the number of times in a row. Envoy's outlier detection
uses the same rule with the same base."""
MAX_OPEN_S = 300.0
"""The longest time in seconds for which failures can park an endpoint."""
MAX_RETRY_AFTER_S = 3600.0
"""The longest pause in seconds that a host can ask for: a host that asks for a day is tried again after an hour."""
MAX_TRIALS = 1
"""The most requests that may concurrently try a parked endpoint after its parking time."""
PATIENCE_S = 5.0
"""Seconds. If the caller gave less time than this, a timeout after connecting does not count as the host's fault."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request to an endpoint. It must be given back to `Breaker.settle`.

    `generation` distinguishes an outcome from before the latest parking from a current one. `trial`: the request tries
    the endpoint after its parking time.
    """

    endpoint: str
    generation: int
    trial: bool = False


@dataclass(slots=True)
class _State:
    """State of one endpoint. `until` None: not parked. `generation` grows whenever parking begins or ends."""

    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    until: float | None = None
    why: str = ""
    openings: int = 0
    trials: int = 0
    generation: int = 0


class Breaker:
    """Circuit breaker of all endpoints: tracks which of them are parked.

    Thread-safe; `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def parked(self) -> Mapping[str, Parked]:
        """The endpoints that `admit` would refuse now, by id."""
        with self._lock:
            now = self._clock()
            return {
                endpoint: _parked(endpoint, state, now)
                for endpoint, state in self._states.items()
                if state.until is not None and not _may_try(state, now)
            }

    def admit(self, endpoint: str, *, force: bool = False) -> Permit | Parked:
        """A permit for one request, which must be given back to `settle`; or the reason why the endpoint is parked.

        `force` admits a parked endpoint too.
        """
        with self._lock:
            now, state = self._clock(), self._states.setdefault(endpoint, _State())
            if state.until is None:
                return Permit(endpoint, state.generation)
            if _may_try(state, now):
                state.trials += 1
                return Permit(endpoint, state.generation, trial=True)
            return Permit(endpoint, state.generation) if force else _parked(endpoint, state, now)

    def settle(self, permit: Permit, right: bool | None, *, why: str = "", pause_s: float | None = None) -> None:
        """Record the outcome of the request that `permit` allowed.

        `right` is true for success, false for failure, None if the outcome counts neither way. `pause_s` is the pause
        that the host asked for. `why` is shown as the reason if the endpoint is parked.
        """
        with self._lock:
            now, state = self._clock(), self._states.setdefault(permit.endpoint, _State())
            current = state.generation == permit.generation
            if current and permit.trial:
                state.trials -= 1
            if pause_s is not None and pause_s > 0:
                pause_s = min(pause_s, MAX_RETRY_AFTER_S)
                _park(state, now + pause_s, f"it asked for a pause of {pause_s:.0f} s ({why})")
            elif current and right is not None:
                _count(state, now, why, right=right, trial=permit.trial)


def classify(error: ExchangeError | None, given_s: float) -> tuple[bool | None, float | None]:
    """How the breaker counts a finished exchange to which `given_s` seconds were given.

    Returns success (True), failure (False) or neither (None), and the pause that the host asked for.
    """
    if error is None or error.error_class == "answer":
        return True, None
    if error.error_class not in {"provider", "account"}:
        return None, None
    impatient = error.reason == "timeout" and error.phase != "connect" and given_s < PATIENCE_S
    ours = error.error_class == "account" or impatient
    return (None if ours else False), error.retry_after_s


def _count(state: _State, now: float, why: str, *, right: bool, trial: bool) -> None:
    if state.until is not None:
        if right:
            _end(state)
        elif trial:
            _open(state, now, f"it failed when asked again ({why})")
        return
    state.outcomes.append((now, right))
    while state.outcomes[0][0] < now - WINDOW_S:
        state.outcomes.popleft()
    failures = sum(not good for _, good in state.outcomes)
    if failures >= LEAST_FAILURES and failures >= RATE * len(state.outcomes):
        _open(state, now, f"{failures} of its last {len(state.outcomes)} requests failed ({why})")


def _open(state: _State, now: float, why: str) -> None:
    state.openings += 1
    _park(state, now + min(OPEN_S * state.openings, MAX_OPEN_S), why)


def _park(state: _State, until: float, why: str) -> None:
    """Park until `until`.

    The longest pause wins: a shorter one that is requested later does not end the parking earlier.
    """
    if state.until is None:
        state.generation += 1
        state.trials = 0
        state.outcomes.clear()
    if state.until is None or until > state.until:
        state.until, state.why = until, why


def _end(state: _State) -> None:
    state.until, state.why, state.openings, state.trials = None, "", 0, 0
    state.generation += 1


def _may_try(state: _State, now: float) -> bool:
    return state.until is not None and now >= state.until and state.trials < MAX_TRIALS


def _parked(endpoint: str, state: _State, now: float) -> Parked:
    return Parked(endpoint, state.why, max((state.until or now) - now, 0.0))
