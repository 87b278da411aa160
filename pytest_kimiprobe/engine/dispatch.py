"""Sends the probes: requests run at once on one background loop, tests stay serial and only wait for their own.

Limits, pacing and what a 429 teaches are per provider (`lanes`, `throttle`); starts are spaced so that the client's own
work does not colour latencies, and the loop's lag is watched (docs/decisions.md, "Pacing"). The budget reserves the most
that a probe can cost before it starts.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Generator, Hashable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar

from routing.catalog import Catalog
from routing.client import PER_CLIENT
from routing.errors import ExchangeError, ProviderFailure
from routing.exchange import Exchange, Prepared, Target
from routing.loop import LoopThread
from routing.transport import Transport
from routing.types import Mode

from ..cases.plan import Load, ProbePlan, cost_bound
from ..recording.tape import Take, Tap
from .lanes import Flight, Lane
from .loop_lag import LagWatch
from .moment import Moment
from .pace import Pace
from .throttle import Throttle
from .turns import Interrupts, Turns

PACE_S = 0.01
"""Between two starts of one HTTP client (a provider has one for each PER_CLIENT at once) while more and more are under
way; a request that takes the place of an answered one need not wait for it."""
RAMP_S, GATE_S = 0.0025, 0.0015
"""Between two starts of any while more and more are under way (each may need a connection), and else."""
EASY_S, SLOWER, LONGEST_S = 0.005, 3, 0.25
"""A loop later than the first puts the next start off by so many times the rest, the last at most: what the machine cannot do at once has
to wait before it is sent, not while its time runs."""
AT_ONCE_S = 0.004
"""Starts that take the place of answered ones go out together when they are due within so long: each waking of the loop
costs half as much CPU as a request."""
TOGETHER_S = 0.02
"""Outcomes that come within so long are taken one after the other: a few at once cost less than each on its own."""
LONG_S, OFTEN = 0.05, 3
"""Whoever takes longer than the first so often for one outcome cannot run the loop as well."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """One probe to send, with the ticket that the caller knows it by."""

    ticket: T
    plan: ProbePlan
    target: Target


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """A ticket come back: an exchange, or the reason code why nothing was sent.

    `at_once` counts the probes under way at the endpoint meanwhile, `refusals` the 429s before this exchange, `late_ms`
    is the loop's lag while it ran. `take` is what went over the wire, where that is recorded.
    """

    ticket: T
    exchange: Exchange | None = None
    not_run: str = ""
    at_once: int = 0
    refusals: int = 0
    late_ms: float = 0.0
    take: Take | None = None


class Budget:
    """USD of a run. `hold` waits while money is only reserved, and says no when it cannot fit any more."""

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.spent = Decimal(0)
        self.cut_off = Decimal(0)
        """The part of `spent` that is only the most that cut-off requests can have cost."""
        self._held = Decimal(0)
        self._settled = asyncio.Event()

    async def hold(self, amount: Decimal) -> bool:
        """Reserve `amount`; False where it cannot fit even once all open holds are settled at nothing."""
        while self.spent + self._held + amount > self.limit:
            if self.spent + amount > self.limit or not self._held:
                return False
            self._settled.clear()
            await self._settled.wait()
        self._held += amount
        return True

    def settle(self, held: Decimal, spent: Decimal | None) -> None:
        """Replace a hold by what was spent; None where nobody knows, which counts as all of it."""
        self._held -= held
        self.spent += held if spent is None else spent
        self.cut_off += held if spent is None else 0
        self._settled.set()


@dataclass(frozen=True, slots=True)
class _Asking:
    """What the probes of one case at one endpoint in one mode share: the request, and the most that one can cost."""

    prepared: Prepared
    most: Decimal


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    """An order on its way, as the lane sees it."""

    order: Order[T]
    asking: _Asking
    refusals: int = 0

    @property
    def endpoint(self) -> str:
        return self.order.plan.endpoint.id

    @property
    def load(self) -> Load:
        return self.order.plan.load

    @property
    def scope(self) -> Hashable:
        """Whom a 429 speaks for: the upstream behind a gateway, else the account."""
        provider = self.order.target.provider
        return self.endpoint if "upstream_pinning" in provider.quirks else provider.name


@dataclass(slots=True)
class _Road(Generic[T]):
    """A provider's lane, and the word that something has changed in it; `peak` is the most that were under way."""

    lane: Lane[_Job[T]]
    pace: Pace
    peak: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatcher(Generic[T]):
    """Sends orders at once and gives their outcomes in the order in which they come back."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        concurrency: int,
        timeout_s: float,
        budget: Decimal,
        patience_s: float = 0.0,
        record: bool = False,
    ) -> None:
        self._catalog = catalog
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._limit = budget
        self._patience_s = patience_s
        self._record = record
        self._loop = LoopThread("kimiprobe-dispatch")
        self._transport = Transport()
        self._outcomes: queue.SimpleQueue[Outcome[T]] = queue.SimpleQueue()
        self._open: list[Future[None]] = []
        self._budget: Budget | None = None
        self._ramp, self._gate = Pace(RAMP_S), Pace(GATE_S)
        self.began: Moment | None = None
        """When the first probe was sent."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: list[Lane[_Job[T]]] = []
        self.lag = LagWatch()

    @property
    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """What the run has cost so far, and how much of that is a bound for requests that were cut off."""
        return (self._budget.spent, self._budget.cut_off) if self._budget else (Decimal(0), Decimal(0))

    @property
    def throttles(self) -> dict[Hashable, Throttle]:
        """What 429s have taught, by provider or upstream."""
        return {scope: throttle for lane in self._lanes for scope, throttle in lane.throttles.items()}

    def submit(self, orders: Iterable[Order[T]]) -> None:
        """Start sending."""
        self._transport.warm()  # else the first latencies would tell of our imports
        roads: dict[str, list[_Job[T]]] = {}
        shared: dict[tuple[int, Mode, str, str], _Asking] = {}
        for order in orders:
            plan, target = order.plan, order.target
            same = (id(plan.case), plan.mode, plan.endpoint.id, target.key)
            asking = shared[same] = shared.get(same) or self._asking(plan, target)
            roads.setdefault(target.provider.name, []).append(_Job(order, asking))
        self._open.append(self._loop.submit(self._watch()))
        for jobs in roads.values():
            lane: Lane[_Job[T]] = Lane(self._concurrency, self._patience_s)
            lane.add(jobs)
            self._lanes.append(lane)
            clients = -(-self._concurrency // PER_CLIENT)
            self._open.append(self._loop.submit(self._drive(_Road(lane, Pace(PACE_S / clients)))))

    def _asking(self, plan: ProbePlan, target: Target) -> _Asking:
        most = cost_bound(plan, self._catalog, datetime.now(UTC).date())
        prepared = Prepared(target, plan.request)
        with suppress(ExchangeError):  # each exchange tells it
            _ = prepared.http
        return _Asking(prepared, most)

    def outcome(self, poll_s: float = 0.2) -> Outcome[T] | None:
        """The next one to come back; None after `poll_s` seconds without, so that Ctrl-C is heard."""
        try:
            return self._outcomes.get(timeout=poll_s)
        except queue.Empty:
            return None

    def outcomes(self, *, quick: bool) -> Generator[Outcome[T] | None, None, None]:
        """As they come, for ever; None where there was none for a while. Must be closed.

        A `quick` caller takes little time for each: the loop then runs in the caller's thread, between two outcomes
        (`Turns` says why), until it turns out not to be quick, so that no request has to wait for that.
        """
        if quick:
            interrupts = Interrupts()
            with interrupts.held(), self._loop.lent() as loop:
                yield from self._taken_in_turns(Turns(loop), interrupts)
        while True:
            yield self.outcome()

    def _taken_in_turns(self, turns: Turns, interrupts: Interrupts) -> Iterator[Outcome[T] | None]:
        with turns.attended():
            long = 0
            while long < OFTEN:
                turns.turn(TOGETHER_S if self._outcomes.empty() else 0.0)
                left = time.perf_counter()
                with turns.away(), interrupts.let_through():
                    yield self.outcome(0.0)
                long += time.perf_counter() - left > LONG_S

    def drain(self) -> list[Outcome[T]]:
        """What has come back and was not taken yet; does not wait."""
        outcomes = []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        return outcomes

    def close(self) -> None:
        """Cancel what is on its way, close all connections."""
        self._loop.submit(self._stop()).result()
        self._loop.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._transport.aclose()

    async def _watch(self) -> None:
        self._remember()
        await self.lag.run()

    def _remember(self) -> None:
        """Keep the running task at hand, to cancel it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs this in a task
        self._tasks.add(task)

    async def _drive(self, road: _Road[T]) -> None:
        """Send a lane's orders as soon as they may be sent."""
        self._remember()
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as flights:
            while not road.lane.done:
                road.changed.clear()
                flight, wait_s = road.lane.take(clock())
                if flight is None:
                    await _woken(road.changed, wait_s)
                    continue
                self.began = self.began or Moment.now()
                flights.create_task(self._fly(road, flight))
                if pause_s := self._pause(road, clock()):
                    await asyncio.sleep(pause_s)

    def _pause(self, road: _Road[T], now: float) -> float:
        """Seconds from a start at `now` until the lane's next may follow."""
        behind_s = min(SLOWER * (self.lag.latest_s - EASY_S), LONGEST_S)
        more = road.lane.under_way > road.peak
        road.peak = max(road.peak, road.lane.under_way)
        paces = (self._gate, self._ramp, road.pace) if more else (self._gate,)
        pause_s = max(0.0, behind_s, *(pace.after(now) for pace in paces))
        return pause_s if more or pause_s >= AT_ONCE_S else 0.0

    async def _fly(self, road: _Road[T], flight: Flight[_Job[T]]) -> None:
        """One order to its end, or back into the lane."""
        job, again = flight.order, False
        try:
            outcome = await self._attempt(flight)
            again = self._refused(flight, outcome.exchange)
            if not again:
                self._outcomes.put(outcome)
        except Exception as error:  # noqa: BLE001 - whoever waits for this probe must not wait for ever
            failure = ProviderFailure("malformed_body", f"unexpected {type(error).__name__}")
            self._outcomes.put(Outcome(job.order.ticket, Exchange(job.endpoint, {}, error=failure)))
        finally:
            road.lane.end(flight, again=again)
            road.changed.set()

    async def _attempt(self, flight: Flight[_Job[T]]) -> Outcome[T]:
        order, asking, clock = flight.order.order, flight.order.asking, asyncio.get_running_loop().time
        budget, held = self._money(), asking.most
        if not await budget.hold(held):
            return Outcome(order.ticket, not_run="budget")
        spent, tap = None, Tap(self._transport) if self._record else None
        flight.sent_at = clock()
        try:
            done = await asking.prepared.exchange(tap or self._transport, timeout_s=self._timeout_s)
            spent = self._settled(done, order.plan)
        finally:
            budget.settle(held, spent)
        late_ms = self.lag.p95_ms(flight.sent_at, clock())
        return Outcome(
            order.ticket,
            done,
            at_once=flight.at_once,
            refusals=flight.order.refusals,
            late_ms=round(late_ms, 1),
            take=tap.take(done) if tap else None,
        )

    def _refused(self, flight: Flight[_Job[T]], done: Exchange | None) -> bool:
        """Learn from the answer; whether it was a 429 and the order goes out again."""
        if done is None or done.status is None:
            return False
        if done.error is None or done.error.reason != "rate_limited":
            flight.throttle.answered(flight.sent_at)
            return False
        flight.order.refusals += 1
        now = asyncio.get_running_loop().time()
        return flight.throttle.refused_at(now, flight.sent_at, done.error.retry_after_s)

    def _settled(self, done: Exchange, plan: ProbePlan) -> Decimal | None:
        """What the probe cost; None where nobody knows, which counts as the most that it can have cost."""
        answer, error = done.answer, done.error
        if answer is not None and answer.usage is not None and answer.usage.counted:
            day = datetime.now(UTC).date()
            listed = (plan.endpoint.price_at(day) or self._catalog.dearest_at(day)).cost(answer.usage)
            return max(listed, done.cost_usd or Decimal(0))  # a host that says "free" does not lift the limit
        if error is not None and (error.phase == "connect" or (done.status or 0) >= 400):
            return Decimal(0)  # refused before anything was generated
        return done.cost_usd or None

    def _money(self) -> Budget:
        if self._budget is None:
            self._budget = Budget(self._limit)
        return self._budget


async def _woken(changed: asyncio.Event, wait_s: float | None) -> None:
    """Until something has changed, or the time is over."""
    try:
        async with asyncio.timeout(wait_s):
            await changed.wait()
    except TimeoutError:
        return
