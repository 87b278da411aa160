"""Sends the probes: requests run concurrently on one background event loop, while pytest judges one answer at a time.

Limits, pacing and the reaction to a 429 are per provider (`queue`, `throttle`). Starts are spaced, so that the work of
this process does not show in the measured latencies (docs/decisions.md, "Pacing").
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar

from routing.catalog import Catalog
from routing.errors import ExchangeError
from routing.exchange import Exchange, PreparedExchange, Target
from routing.transport import Transport
from routing.transport.event_loop import LoopThread
from routing.transport.failures import local_failure
from routing.types import Mode

from ..cases.plan import Load, ProbePlan, cost_bound
from .budget import RunBudget, settled_cost
from .capture import CapturedExchange, CapturingTransport
from .clock import Timestamp
from .pacing import LoopLag, Pacer
from .queue import InFlight, ProviderQueue
from .throttle import Throttle

RAMP_S = 0.0025
"""Seconds between two starts while the number in flight grows: each may need a new connection."""
GATE_S = 0.0015
"""Seconds between two starts that replace answered requests."""
EASY_S = 0.005
"""Seconds of lag of the event loop up to which no start is delayed."""
SLOWER = 3
"""Factor of the delay: the next start waits for this many times the lag above `EASY_S`.

Overload then delays sending instead of lengthening the measured latencies."""
LONGEST_S = 0.25
"""The longest delay of a start, in seconds, that a lag of the event loop causes."""
TOGETHER_S = 0.004
"""Starts due within this time go out together: each wake-up of the loop costs half as much CPU as a request."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ProbeJob(Generic[T]):
    """One probe to send; `item` identifies it for the caller."""

    item: T
    plan: ProbePlan
    target: Target


@dataclass(frozen=True, slots=True)
class ProbeOutcome(Generic[T]):
    """Result of one job: an exchange, or the reason code for which nothing was sent.

    `at_once` is the highest number of requests in flight at the endpoint meanwhile. `refusals` counts the 429s
    of this probe, a final one included. `late_ms` is the lag of the event loop while the exchange ran. `captured` holds
    the bytes, if they are recorded.
    """

    item: T
    exchange: Exchange | None = None
    not_run: str = ""
    at_once: int = 0
    refusals: int = 0
    late_ms: float = 0.0
    captured: CapturedExchange | None = None


@dataclass(frozen=True, slots=True)
class _SharedRequest:
    """Parts that all probes of one case, endpoint and mode share: the request, and the most that one can cost."""

    prepared: PreparedExchange
    most: Decimal


@dataclass(slots=True, eq=False)
class _QueuedProbe(Generic[T]):
    """One job in the queue of its provider."""

    job: ProbeJob[T]
    shared: _SharedRequest
    refusals: int = 0

    @property
    def endpoint(self) -> str:
        return self.job.plan.endpoint.id

    @property
    def load(self) -> Load:
        return self.job.plan.load

    @property
    def scope(self) -> Hashable:
        """The scope of a 429: the upstream behind a gateway, else the account."""
        provider = self.job.target.provider
        return self.endpoint if "upstream_pinning" in provider.quirks else provider.name


@dataclass(slots=True)
class _Provider(Generic[T]):
    """Queue of one provider plus an event that is set on every change; `peak`: highest number in flight."""

    queue: ProviderQueue[_QueuedProbe[T]]
    peak: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatcher(Generic[T]):
    """Sends jobs concurrently and gives their outcomes in the order in which answers come."""

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
        self._outcomes: queue.SimpleQueue[ProbeOutcome[T]] = queue.SimpleQueue()
        self._budget: RunBudget | None = None
        self._ramp, self._gate = Pacer(RAMP_S), Pacer(GATE_S)
        self.began: Timestamp | None = None
        """When the first probe was sent."""
        self._queues: list[ProviderQueue[_QueuedProbe[T]]] = []
        self.lag = LoopLag()

    @property
    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """Cost of the run so far, and the part of it that is an estimate because the real cost is unknown."""
        return (self._budget.spent, self._budget.estimated) if self._budget else (Decimal(0), Decimal(0))

    @property
    def throttles(self) -> dict[Hashable, Throttle]:
        """Throttles by provider or upstream."""
        return {scope: throttle for waiting in self._queues for scope, throttle in waiting.throttles.items()}

    def submit(self, jobs: Iterable[ProbeJob[T]]) -> None:
        """Queue the jobs by provider and start sending them in the background; returns immediately."""
        self._transport.warm()  # else the first latencies would include imports
        by_provider: dict[str, list[_QueuedProbe[T]]] = {}
        shared: dict[tuple[int, Mode, str, str], _SharedRequest] = {}
        for job in jobs:
            plan, target = job.plan, job.target
            same = (id(plan.case), plan.mode, plan.endpoint.id, target.key)
            request = shared[same] = shared.get(same) or self._shared_request(job)
            by_provider.setdefault(target.provider.name, []).append(_QueuedProbe(job, request))
        self._loop.submit(self.lag.run())
        for probes in by_provider.values():
            waiting: ProviderQueue[_QueuedProbe[T]] = ProviderQueue(self._concurrency, self._patience_s)
            waiting.add(probes)
            self._queues.append(waiting)
            self._loop.submit(self._send_all(_Provider(waiting)))

    def outcome(self, poll_s: float = 0.2) -> ProbeOutcome[T] | None:
        """The next outcome; None after `poll_s` seconds without one, so that Ctrl-C is handled in time."""
        try:
            return self._outcomes.get(timeout=poll_s)
        except queue.Empty:
            return None

    def drain(self) -> list[ProbeOutcome[T]]:
        """The outcomes that have come and were not taken yet; does not wait."""
        outcomes = []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        return outcomes

    def close(self) -> None:
        """Cancel all requests in flight and close all connections."""
        self._loop.close(self._transport.aclose())

    def _shared_request(self, job: ProbeJob[T]) -> _SharedRequest:
        most = cost_bound(job.plan, self._catalog, datetime.now(UTC).date())
        prepared = PreparedExchange(job.target, job.plan.request)
        with suppress(ExchangeError):  # each exchange reports it
            _ = prepared.http
        return _SharedRequest(prepared, most)

    async def _send_all(self, provider: _Provider[T]) -> None:
        """Send the probes of one provider, each as soon as it may be sent."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as requests:
            while not provider.queue.done:
                provider.changed.clear()
                sent, wait_s = provider.queue.take(clock())
                if sent is None:
                    await _set_or_late(provider.changed, wait_s)
                    continue
                self.began = self.began or Timestamp.now()
                requests.create_task(self._send(provider, sent))
                if pause_s := self._pause(provider, clock()):
                    await asyncio.sleep(pause_s)

    def _pause(self, provider: _Provider[T], now: float) -> float:
        """Seconds from a start at `now` until the provider's next may follow."""
        lag_s = min(SLOWER * (self.lag.latest_s - EASY_S), LONGEST_S)
        grows = provider.queue.in_flight > provider.peak
        provider.peak = max(provider.peak, provider.queue.in_flight)
        pacers = (self._gate, self._ramp) if grows else (self._gate,)
        pause_s = max(0.0, lag_s, *(pacer.after(now) for pacer in pacers))
        return pause_s if grows or pause_s >= TOGETHER_S else 0.0

    async def _send(self, provider: _Provider[T], sent: InFlight[_QueuedProbe[T]]) -> None:
        """Send one probe and put its outcome, or put the probe back into the queue."""
        again = False
        try:
            outcome = await self._outcome(sent)
            again = self._is_sent_again(sent, outcome.exchange)
            if not again:
                self._outcomes.put(outcome)
        except Exception as error:  # noqa: BLE001 - a missing outcome would make the run wait without end
            failed = Exchange(sent.probe.endpoint, {}, error=local_failure(error, "connect"))
            self._outcomes.put(ProbeOutcome(sent.probe.job.item, failed))
        finally:
            provider.queue.end(sent, again=again)
            provider.changed.set()

    async def _outcome(self, sent: InFlight[_QueuedProbe[T]]) -> ProbeOutcome[T]:
        job, shared, clock = sent.probe.job, sent.probe.shared, asyncio.get_running_loop().time
        budget = self._budget = self._budget or RunBudget(self._limit)
        if not await budget.reserve(shared.most):
            return ProbeOutcome(job.item, not_run="budget")
        done, capture = None, CapturingTransport(self._transport) if self._record else None
        sent.sent_at = clock()
        try:
            done = await shared.prepared.exchange(capture or self._transport, timeout_s=self._timeout_s)
        finally:
            spent, is_estimate = settled_cost(done, job.plan, self._catalog)
            budget.settle(shared.most, spent, estimated=is_estimate)
        return ProbeOutcome(
            job.item,
            done,
            at_once=sent.at_once,
            refusals=sent.probe.refusals,
            late_ms=round(self.lag.p95_ms(sent.sent_at, clock()), 1),
            captured=capture.captured(done) if capture else None,
        )

    def _is_sent_again(self, sent: InFlight[_QueuedProbe[T]], done: Exchange | None) -> bool:
        """Update the throttle. Returns whether the answer was a 429 after which the probe is sent again."""
        if done is None or done.status is None:
            return False
        if done.error is None or done.error.reason != "rate_limited":
            sent.throttle.answered(sent.sent_at)
            return False
        sent.probe.refusals += 1
        now = asyncio.get_running_loop().time()
        return sent.throttle.refused_at(now, sent.sent_at, done.error.retry_after_s)


async def _set_or_late(changed: asyncio.Event, wait_s: float | None) -> None:
    """Wait until the event is set or the time is over."""
    try:
        async with asyncio.timeout(wait_s):
            await changed.wait()
    except TimeoutError:
        return
