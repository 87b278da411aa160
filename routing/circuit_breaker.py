"""Circuit breaker: parks endpoints that asked for a pause, and endpoints that keep failing.

An endpoint is parked until the time that its host named (`Retry-After`, an hour at most), or for 30 s and more after
half of its newest requests, at least five, failed by the provider's fault. Then one request at a time may try it:
success ends the parking, failure prolongs it. Nothing here sleeps.

Failures of error class `provider` count, and against them every answer, a wrong one too. Faults of the caller and of
the account do not count, nor does a timeout that was too short to blame the host. State belongs to this process alone
(docs/decisions.md).
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
"""Older outcomes do not count."""
NEWEST = 20
LEAST_FAILURES = 5
RATE = 0.5
OPEN_S = 30.0
"""Parking time after a failure, times the number of openings in a row, as in Envoy's outlier detection."""
MOST_OPEN_S = 300.0
MOST_ASKED_S = 3600.0
"""Longest pause that a host may ask for."""
PROBES = 1
PATIENCE_S = 5.0
"""A timeout below it, once connected, does not count against the host."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Permission for one request, given back to `Breaker.settle`. `turn` distinguishes late outcomes from new ones."""

    endpoint: str
    turn: int
    probe: bool = False


@dataclass(slots=True)
class _State:
    """State of one endpoint. `until` None: not parked. `turn` grows when parking begins or ends."""

    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    until: float | None = None
    why: str = ""
    openings: int = 0
    probes: int = 0
    turn: int = 0


class Breaker:
    """Circuit breaker of all endpoints. Thread-safe; `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def parked(self) -> Mapping[str, Parked]:
        """The endpoints that would be passed over now, by id."""
        with self._lock:
            now = self._clock()
            return {
                endpoint: _parked(endpoint, state, now)
                for endpoint, state in self._states.items()
                if state.until is not None and not _may_probe(state, now)
            }

    def admit(self, endpoint: str, *, anyway: bool = False) -> Permit | Parked:
        """A permit, or why there is none; `anyway` if no other endpoint is left. Every permit must be settled."""
        with self._lock:
            now, state = self._clock(), self._states.setdefault(endpoint, _State())
            if state.until is None:
                return Permit(endpoint, state.turn)
            if _may_probe(state, now):
                state.probes += 1
                return Permit(endpoint, state.turn, probe=True)
            return Permit(endpoint, state.turn) if anyway else _parked(endpoint, state, now)

    def settle(self, given: Permit, right: bool | None, *, why: str = "", pause_s: float | None = None) -> None:
        """Record the outcome of a permit: `right` None does not count; `pause_s` is what the host asked for."""
        with self._lock:
            now, state = self._clock(), self._states.setdefault(given.endpoint, _State())
            current = state.turn == given.turn
            if current and given.probe:
                state.probes -= 1
            if pause_s is not None and pause_s > 0:
                pause_s = min(pause_s, MOST_ASKED_S)
                _park(state, now + pause_s, f"it asked for a pause of {pause_s:.0f} s ({why})")
            elif current and right is not None:
                _count(state, now, why, right=right, probe=given.probe)


def classify(error: ExchangeError | None, given_s: float) -> tuple[bool | None, float | None]:
    """Classify a finished exchange: success, failure or neither (None), and the pause that the host asked for.

    `given_s` is the timeout that the exchange had.
    """
    if error is None or error.error_class == "answer":
        return True, None
    if error.error_class not in {"provider", "account"}:
        return None, None
    impatient = error.reason == "timeout" and error.phase != "connect" and given_s < PATIENCE_S
    ours = error.error_class == "account" or impatient
    return (None if ours else False), error.retry_after_s


def _count(state: _State, now: float, why: str, *, right: bool, probe: bool) -> None:
    if state.until is not None:
        if right:
            _end(state)
        elif probe:
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
    _park(state, now + min(OPEN_S * state.openings, MOST_OPEN_S), why)


def _park(state: _State, until: float, why: str) -> None:
    """Park the endpoint; the longest pause wins, so a shorter one that comes later does not end it."""
    if state.until is None:
        state.turn += 1
        state.probes = 0
        state.outcomes.clear()
    if state.until is None or until > state.until:
        state.until, state.why = until, why


def _end(state: _State) -> None:
    state.until, state.why, state.openings, state.probes = None, "", 0, 0
    state.turn += 1


def _may_probe(state: _State, now: float) -> bool:
    return state.until is not None and now >= state.until and state.probes < PROBES


def _parked(endpoint: str, state: _State, now: float) -> Parked:
    return Parked(endpoint, state.why, max((state.until or now) - now, 0.0))
