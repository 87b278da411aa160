"""Which probe is sent next to a provider: by load, limits and what its 429s have taught. Pure: no clock, no I/O.

Load `alone`: nothing else of ours is under way at that endpoint. Load `crowd`: `CROWD` at once at one endpoint, one
endpoint of the provider after the other: some hosts lose streamed calls only then. Load `mixed`: as they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ..cases.plan import Load
from .throttle import Throttle

CROWD = 8
_FIRST: dict[Load, int] = {"alone": 0, "mixed": 1, "crowd": 2}


class Sendable(Protocol):
    """What a lane must know of an order."""

    @property
    def endpoint(self) -> str: ...

    @property
    def load(self) -> Load: ...

    @property
    def scope(self) -> Hashable: ...


S = TypeVar("S", bound=Sendable)


@dataclass(slots=True, eq=False)
class Flight(Generic[S]):
    """One order under way; `at_once` is the most that were under way at its endpoint meanwhile, itself included."""

    order: S
    throttle: Throttle
    sent_at: float
    at_once: int = 1


@dataclass(slots=True)
class _Place(Generic[S]):
    """One endpoint: what waits for it and what is under way."""

    waiting: deque[S] = field(default_factory=deque)
    flights: list[Flight[S]] = field(default_factory=list)
    alone: int = 0
    """How many of the flights must be alone."""
    told: int = 0
    """Every flight's `at_once` is at least this."""


class Lane(Generic[S]):
    """One provider's queue. Orders of one endpoint go out alone first, mixed next, crowded last."""

    def __init__(self, limit: int, patience_s: float) -> None:
        self.limit = limit
        self.under_way = 0
        self.throttles: dict[Hashable, Throttle] = {}
        self._patience_s = patience_s
        self._places: dict[str, _Place[S]] = {}

    def add(self, orders: Iterable[S]) -> None:
        """Queue orders."""
        for order in orders:
            self._places.setdefault(order.endpoint, _Place()).waiting.append(order)
        for place in self._places.values():
            place.waiting = deque(sorted(place.waiting, key=lambda order: _FIRST[order.load]))

    @property
    def waiting(self) -> int:
        """How many have not been sent."""
        return sum(len(place.waiting) for place in self._places.values())

    @property
    def done(self) -> bool:
        """Nothing waits, nothing is under way."""
        return not self.under_way and not self.waiting

    def take(self, now: float) -> tuple[Flight[S] | None, float | None]:
        """The next order to send now; else the seconds after which to ask again (None: when one has ended)."""
        soonest: float | None = None
        if self.under_way < self.limit:
            for place in self._places.values():
                if not place.waiting or not self._fits(place):
                    continue
                wait_s = self.throttle_of(place.waiting[0]).ready_in(now)
                if wait_s == 0.0:
                    return self._start(place, now), None
                if wait_s is not None:
                    soonest = wait_s if soonest is None else min(soonest, wait_s)
        return None, soonest

    def end(self, flight: Flight[S], *, again: bool = False) -> None:
        """An order came to its end; `again` puts it back in front."""
        place = self._places[flight.order.endpoint]
        place.flights.remove(flight)
        place.alone -= flight.order.load == "alone"
        flight.throttle.ended()
        self.under_way -= 1
        if again:
            place.waiting.appendleft(flight.order)

    def drain(self) -> Iterator[S]:
        """Take out all that waits."""
        for place in self._places.values():
            while place.waiting:
                yield place.waiting.popleft()

    def throttle_of(self, order: S) -> Throttle:
        """The throttle that governs an order."""
        return self.throttles.setdefault(order.scope, Throttle(self.limit, self._patience_s))

    def _fits(self, place: _Place[S]) -> bool:
        order = place.waiting[0]
        if order.load == "alone":
            return not place.flights
        if place.flights:
            return not place.alone
        if order.load == "mixed":
            return True
        # A crowd begins when there is room for all of it: else its first ones would meet nobody.
        wanted = min(CROWD, len(place.waiting), self.limit, self.throttle_of(order).limit)
        return self.limit - self.under_way >= wanted

    def _start(self, place: _Place[S], now: float) -> Flight[S]:
        order = place.waiting.popleft()
        throttle = self.throttle_of(order)
        throttle.started(now)
        self.under_way += 1
        here = len(place.flights) + 1
        flight = Flight(order, throttle, now, here)
        place.flights.append(flight)
        place.alone += order.load == "alone"
        if here > place.told:
            for other in place.flights:
                other.at_once = max(other.at_once, here)
        place.told = here
        return flight
