"""Endpoints that are passed over for a while: those that asked for a pause, and those that keep failing.

Parked is an endpoint until the moment that its host named (`Retry-After`, an hour at most), or for 30 s and more after
half of its newest requests, five at least, failed by the provider's own doing. When the time is over one request at once
may ask it; its success ends the parking, its failure prolongs it. Nobody ever sleeps here.

What counts: failures of error class `provider` and, against them, every answer, a wrong one too. The caller's faults and
the account's count neither way, nor does a deadline that was too short to say anything of a host. State is this process's
own (docs/decisions.md).
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
"""Times the number of openings in a row: Envoy's outlier detection does the same with the same base."""
MOST_OPEN_S = 300.0
MOST_ASKED_S = 3600.0
"""A host that asks for a day is asked again after an hour."""
PROBES = 1
PATIENCE_S = 5.0
"""A deadline below it, once connected, is the caller's impatience rather than the host's fault."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to ask an endpoint once; it is given back to `Breaker.settle`. `turn` tells a late outcome from a new one."""

    endpoint: str
    turn: int
    probe: bool = False


@dataclass(slots=True)
class _State:
    """`until` None: not parked. `turn` grows whenever parking begins or ends."""

    outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=NEWEST))
    until: float | None = None
    why: str = ""
    openings: int = 0
    probes: int = 0
    turn: int = 0


class Breaker:
    """Which endpoints are parked. Safe to use from threads; `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, _State] = {}

    def parked(self) -> Mapping[str, Parked]:
        """The endpoints that would not be let through now, by id."""
        with self._lock:
            now = self._clock()
            return {
                endpoint: _parked(endpoint, state, now)
                for endpoint, state in self._states.items()
                if state.until is not None and not _may_probe(state, now)
            }

    def admit(self, endpoint: str, *, anyway: bool = False) -> Pass | Parked:
        """Leave to ask it now, or why not; `anyway` where nothing else is left. Every Pass must be settled."""
        with self._lock:
            now, state = self._clock(), self._states.setdefault(endpoint, _State())
            if state.until is None:
                return Pass(endpoint, state.turn)
            if _may_probe(state, now):
                state.probes += 1
                return Pass(endpoint, state.turn, probe=True)
            return Pass(endpoint, state.turn) if anyway else _parked(endpoint, state, now)

    def settle(self, given: Pass, right: bool | None, *, why: str = "", pause_s: float | None = None) -> None:
        """Tell what came of it: `right` None counts neither way; `pause_s` is what the host asked for."""
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


def told_by(error: ExchangeError | None, given_s: float) -> tuple[bool | None, float | None]:
    """What an exchange that had `given_s` seconds says of its endpoint: right, wrong or nothing, and the pause asked for."""
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
    """The longest pause wins: a shorter one that is told later does not end it."""
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
