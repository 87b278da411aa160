"""Queue of one provider: which probe is sent next, by load, limits and earlier 429s. Pure: no clock, no I/O.

Load `alone`: no other request is in flight at that endpoint. Load `crowd`: `CROWD` requests are in flight concurrently
at one endpoint, because some hosts lose streamed calls only then. Endpoints get their crowds one after the other.
Load `mixed`: probes are sent in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ..cases.plan import Load
from .throttle import Throttle

CROWD = 8
"""Concurrent requests of load `crowd` at one endpoint."""
_FIRST: dict[Load, int] = {"alone": 0, "mixed": 1, "crowd": 2}


class Queueable(Protocol):
    """Properties of a probe that a queue uses."""

    @property
    def endpoint(self) -> str: ...

    @property
    def load(self) -> Load: ...

    @property
    def scope(self) -> Hashable: ...


S = TypeVar("S", bound=Queueable)


@dataclass(slots=True, eq=False)
class InFlight(Generic[S]):
    """One probe that was sent; `at_once` is the highest number in flight at its endpoint meanwhile, itself included."""

    probe: S
    throttle: Throttle
    sent_at: float
    at_once: int = 1


@dataclass(slots=True)
class _EndpointQueue(Generic[S]):
    """Probes of one endpoint: waiting and in flight."""

    waiting: deque[S] = field(default_factory=deque)
    in_flight: list[InFlight[S]] = field(default_factory=list)
    alone: int = 0
    """How many of those in flight have load `alone`."""
    noted: int = 0
    """A lower bound on `at_once` of every probe in flight at the endpoint."""


class ProviderQueue(Generic[S]):
    """Probes of one provider; those of one endpoint are sent in the order alone, mixed, crowd."""

    def __init__(self, limit: int, patience_s: float) -> None:
        self.limit = limit
        self.in_flight = 0
        self.throttles: dict[Hashable, Throttle] = {}
        self._patience_s = patience_s
        self._endpoints: dict[str, _EndpointQueue[S]] = {}

    def add(self, probes: Iterable[S]) -> None:
        """Queue probes."""
        for probe in probes:
            self._endpoints.setdefault(probe.endpoint, _EndpointQueue()).waiting.append(probe)
        for endpoint in self._endpoints.values():
            endpoint.waiting = deque(sorted(endpoint.waiting, key=lambda probe: _FIRST[probe.load]))

    @property
    def waiting(self) -> int:
        """Number of probes in the queue that have not been sent."""
        return sum(len(endpoint.waiting) for endpoint in self._endpoints.values())

    @property
    def done(self) -> bool:
        """Whether no probe waits and none is in flight."""
        return not self.in_flight and not self.waiting

    def take(self, now: float) -> tuple[InFlight[S] | None, float | None]:
        """The next probe to send now; else the seconds after which to ask again (None: when one has ended)."""
        soonest: float | None = None
        if self.in_flight < self.limit:
            for endpoint in self._endpoints.values():
                if not endpoint.waiting or not self._fits(endpoint):
                    continue
                wait_s = self.throttle_of(endpoint.waiting[0]).ready_in(now)
                if wait_s == 0.0:
                    return self._start(endpoint, now), None
                if wait_s is not None:
                    soonest = wait_s if soonest is None else min(soonest, wait_s)
        return None, soonest

    def end(self, sent: InFlight[S], *, again: bool = False) -> None:
        """Remove a probe from those in flight; `again` puts it back in front of the queue."""
        endpoint = self._endpoints[sent.probe.endpoint]
        endpoint.in_flight.remove(sent)
        endpoint.alone -= sent.probe.load == "alone"
        sent.throttle.ended()
        self.in_flight -= 1
        if again:
            endpoint.waiting.appendleft(sent.probe)

    def throttle_of(self, probe: S) -> Throttle:
        """The throttle that applies to a probe."""
        return self.throttles.setdefault(probe.scope, Throttle(self.limit, self._patience_s))

    def _fits(self, endpoint: _EndpointQueue[S]) -> bool:
        """Whether the load of the next probe allows it to be sent now."""
        probe = endpoint.waiting[0]
        if probe.load == "alone":
            return not endpoint.in_flight
        if endpoint.in_flight:
            return not endpoint.alone
        if probe.load == "mixed":
            return True
        # A crowd begins when all of it can be in flight. Otherwise its first probes would be alone.
        wanted = min(CROWD, len(endpoint.waiting), self.limit, self.throttle_of(probe).limit)
        return self.limit - self.in_flight >= wanted

    def _start(self, endpoint: _EndpointQueue[S], now: float) -> InFlight[S]:
        probe = endpoint.waiting.popleft()
        throttle = self.throttle_of(probe)
        throttle.started(now)
        self.in_flight += 1
        here = len(endpoint.in_flight) + 1
        sent = InFlight(probe, throttle, now, here)
        endpoint.in_flight.append(sent)
        endpoint.alone += probe.load == "alone"
        if here > endpoint.noted:
            for other in endpoint.in_flight:
                other.at_once = max(other.at_once, here)
        endpoint.noted = here
        return sent
