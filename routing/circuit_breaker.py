"""Circuit breaker: parks endpoints that asked for a pause, and endpoints that keep failing.

An endpoint is parked until the time that its host named (`Retry-After`, at most an hour). It is also parked for 30 s or
more after failures by the provider's fault: at least five, and at least half of its newest requests; or if its requests
spent 10 s in all without an answer, and none succeeded. After that time one request may try it: success ends the
parking, failure prolongs it. A parked endpoint is asked by one request at a time. The breaker itself never waits.

Failures of error class `provider` count against an endpoint; every answer, even a wrong one, counts for it. Errors that
the caller or the account caused do not count. A timeout too short to be a failure counts by its time only. The state
belongs to one process (docs/decisions.md).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .errors import ExchangeError
from .forking import ForkAware
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
"""Seconds for which failures park an endpoint the first two times; then twice, three times as long, and so on. Envoy's
outlier detection has the same base."""
MAX_OPEN_S = 300.0
"""The longest time in seconds for which failures can park an endpoint."""
MAX_RETRY_AFTER_S = 3600.0
"""The longest pause in seconds that a host can ask for: a host that asks for a day is tried again after an hour."""
PATIENCE_S = 5.0
"""Seconds. A timeout is a failure only if it took this long. A shorter one counts by its time only."""
SILENT_S = 10.0
"""Seconds that requests may wait for an endpoint in all, without one of them being answered, before it is parked.
Concurrent requests that wait at the same time count once."""
SLOW = 2
"""An endpoint is not parked for waiting times up to its usual time (the p95 of the evidence) times this factor."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission to send one request to an endpoint. It must be passed to `Breaker.settle` when the request ends.

    `generation` shows whether the request was sent before the endpoint was last parked. `trial`: the request asks a
    parked endpoint. `forced`: it does so before the parking time is over.
    """

    endpoint: str
    generation: int
    trial: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a finished request counts for its endpoint.

    `right` is true for success, false for failure, None if it counts neither way. `pause_s` is the pause that the host
    asked for. `silent_s` is the time for which the request waited in vain, and `usual_s` the time that its answer
    usually takes, both in seconds. `why` is shown as the reason if the endpoint is parked.
    """

    right: bool | None = None
    pause_s: float | None = None
    silent_s: float = 0.0
    usual_s: float = 0.0
    why: str = ""

    @classmethod
    def of(cls, error: ExchangeError | None, *, silent_s: float = 0.0, usual_s: float = 0.0) -> Outcome:
        """The outcome of an exchange that ended with `error`, or with an answer if that is None."""
        if error is None or error.error_class == "answer":
            return _RIGHT
        if error.error_class == "account":
            return cls(pause_s=error.retry_after_s, why=error.reason)
        if error.error_class != "provider":
            return cls()
        ours = error.reason == "timeout" and error.status is None  # no 504 of a gateway
        short = ours and error.elapsed_ms < PATIENCE_S * 1000
        return cls(None if short else False, error.retry_after_s, silent_s, usual_s, error.reason)


_RIGHT = Outcome(right=True)


@dataclass(slots=True)
class _State:
    """State of one endpoint.

    `until` None: not parked. `requested`: the host asked for the pause. `trial`: a request asks the parked endpoint.
    `generation` grows whenever parking begins or ends. `silent_s` is the time that requests waited without an answer
    since the newest success; it is counted up to the time `counted`.
    """

    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    until: float | None = None
    why: str = ""
    requested: bool = False
    openings: int = 0
    trial: bool = False
    generation: int = 0
    silent_s: float = 0.0
    counted: float = 0.0


class Breaker(ForkAware):
    """Circuit breaker of all endpoints: tracks which of them are parked.

    Thread-safe; `clock` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def after_fork(self) -> None:
        """Replace the lock, and forget the requests that the parent has sent: their outcomes never come here."""
        self._lock = threading.Lock()
        for state in self._states.values():
            state.generation, state.trial = state.generation + 1, False

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

        `force` admits a request to a parked endpoint before its time is over, unless another request asks it already.
        """
        with self._lock:
            now, state = self._clock(), self._states.setdefault(endpoint, _State())
            if state.until is None:
                return Permit(endpoint, state.generation)
            due = _may_try(state, now)
            if not due and (state.trial or not force):
                return _parked(endpoint, state, now)
            state.trial = True
            return Permit(endpoint, state.generation, trial=True, forced=not due)

    def settle(self, permit: Permit, outcome: Outcome, *, also: Iterable[str] = ()) -> None:
        """Record the outcome of the request that `permit` allowed.

        A failure counts against the endpoints `also` as well, because they are on the same host.
        """
        with self._lock:
            now, state = self._clock(), self._states.setdefault(permit.endpoint, _State())
            for endpoint in also:
                _count_shared(self._states.setdefault(endpoint, _State()), now, outcome)
            current = state.generation == permit.generation
            if current and permit.trial:
                state.trial = False
            silent = _silent_too_long(state, now, outcome)
            pause_s = outcome.pause_s
            if pause_s is not None and pause_s > 0:
                pause_s = min(pause_s, MAX_RETRY_AFTER_S)
                _park(state, now + pause_s, f"it asked for a pause of {pause_s:.0f} s ({outcome.why})", requested=True)
            elif current and state.until is None:
                _count(state, now, outcome, silent=silent)
            elif current and outcome.right:
                _end(state)
            elif current and permit.trial and not permit.forced and (outcome.right is False or silent):
                _open(state, now, f"it failed when asked again ({outcome.why})")


def _silent_too_long(state: _State, now: float, outcome: Outcome) -> bool:
    """Add the silent time of an outcome to that of its endpoint; whether the endpoint was silent for too long.

    Success ends the silence. Time that is counted already is not counted again.
    """
    since = max(now - outcome.silent_s, state.counted)
    if outcome.right or (state.until is None and since - state.counted > WINDOW_S):
        state.silent_s = 0.0
    if outcome.right or outcome.silent_s > 0:
        state.silent_s += 0.0 if outcome.right else max(now - since, 0.0)
        state.counted = now
    return outcome.silent_s > 0 and state.silent_s >= max(SILENT_S, SLOW * outcome.usual_s)


def _count(state: _State, now: float, outcome: Outcome, *, silent: bool) -> None:
    """Count the outcome of an endpoint that is not parked, and park it if that is due."""
    if silent:
        _open(state, now, f"requests waited {state.silent_s:.0f} s for it without an answer ({outcome.why})")
    if silent or outcome.right is None:
        return
    state.outcomes.append((now, outcome.right))
    while state.outcomes[0][0] < now - WINDOW_S:
        state.outcomes.popleft()
    if outcome.right:
        return
    failures = sum(not good for _, good in state.outcomes)
    if failures >= LEAST_FAILURES and failures >= RATE * len(state.outcomes):
        _open(state, now, f"{failures} of its last {len(state.outcomes)} requests failed ({outcome.why})")


def _count_shared(state: _State, now: float, outcome: Outcome) -> None:
    """Count a failure against an endpoint that was not asked. It replaces a trial that is due."""
    silent = _silent_too_long(state, now, outcome)
    if state.until is None:
        _count(state, now, outcome, silent=silent)
    elif _may_try(state, now) and (outcome.right is False or silent):
        _open(state, now, f"its host failed when asked again ({outcome.why})")


def _open(state: _State, now: float, why: str) -> None:
    _park(state, now + min(OPEN_S * max(state.openings, 1), MAX_OPEN_S), why)
    state.openings += 1


def _park(state: _State, until: float, why: str, *, requested: bool = False) -> None:
    """Park until `until`.

    The longest pause wins: a shorter one that is requested later does not end the parking earlier.
    """
    if state.until is None:
        state.generation += 1
        state.outcomes.clear()
    if state.until is None or until > state.until:
        state.until, state.why, state.requested = until, why, requested


def _end(state: _State) -> None:
    state.until, state.why, state.openings = None, "", 0
    state.generation += 1


def _may_try(state: _State, now: float) -> bool:
    return state.until is not None and now >= state.until and not state.trial


def _parked(endpoint: str, state: _State, now: float) -> Parked:
    left_s = 0.0 if state.trial else max((state.until or now) - now, 0.0)
    return Parked(endpoint, state.why, left_s, state.requested)
