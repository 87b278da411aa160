"""Sends the probes: requests run at once on one background loop, tests stay serial and only wait for their own.

Limits and pacing are per provider; starts are spaced so that the client's own work does not colour latencies
(docs/decisions.md, "Pacing"). The budget reserves the most that a probe can cost before it starts.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar

from routing.catalog import Catalog
from routing.errors import ProviderFailure
from routing.exchange import Exchange, Target, exchange
from routing.loop import LoopThread
from routing.transport import Transport

from .plan import ProbePlan, cost_bound

PACE_S = 0.02
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """One probe to send, with the ticket that the caller knows it by."""

    ticket: T
    plan: ProbePlan
    target: Target


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """A ticket come back: an exchange, or the reason code why nothing was sent."""

    ticket: T
    exchange: Exchange | None = None
    not_run: str = ""


class Budget:
    """USD of a run. `hold` waits while money is only reserved, and says no when it cannot fit any more."""

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.spent = Decimal(0)
        self.cut_off = Decimal(0)
        """The part of `spent` that is only the most that cut-off requests can have cost."""
        self._held = Decimal(0)
        self._settled = asyncio.Condition()

    async def hold(self, amount: Decimal) -> bool:
        """Reserve `amount`; False where it cannot fit even once all open holds are settled at nothing."""
        async with self._settled:
            while self.spent + self._held + amount > self.limit:
                if self.spent + amount > self.limit or not self._held:
                    return False
                await self._settled.wait()
            self._held += amount
            return True

    async def settle(self, held: Decimal, spent: Decimal | None) -> None:
        """Replace a hold by what was spent; None where nobody knows, which counts as all of it."""
        async with self._settled:
            self._held -= held
            self.spent += held if spent is None else spent
            self.cut_off += held if spent is None else 0
            self._settled.notify_all()


@dataclass(slots=True)
class _Lane:
    """One provider: how many at once, and not too close together."""

    slots: asyncio.Semaphore
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)


class Dispatcher(Generic[T]):
    """Sends orders at once and gives their outcomes in the order in which they come back."""

    def __init__(self, catalog: Catalog, *, concurrency: int, timeout_s: float, budget: Decimal) -> None:
        self._catalog = catalog
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._limit = budget
        self._loop = LoopThread("kimiprobe-dispatch")
        self._transport = Transport()
        self._outcomes: queue.SimpleQueue[Outcome[T]] = queue.SimpleQueue()
        self._open: list[Future[None]] = []
        self._budget: Budget | None = None
        self._lanes: dict[str, _Lane] = {}

    @property
    def spent_usd(self) -> tuple[Decimal, Decimal]:
        """What the run has cost so far, and how much of that is a bound for requests that were cut off."""
        return (self._budget.spent, self._budget.cut_off) if self._budget else (Decimal(0), Decimal(0))

    def submit(self, orders: Iterable[Order[T]]) -> None:
        """Start sending."""
        for order in orders:
            self._open.append(self._loop.submit(self._serve(order)))

    def outcome(self, poll_s: float = 0.2) -> Outcome[T]:
        """The next one to come back; waits in short steps, so that Ctrl-C is heard."""
        while True:
            try:
                return self._outcomes.get(timeout=poll_s)
            except queue.Empty:
                continue

    def drain(self) -> list[Outcome[T]]:
        """What has come back and was not taken yet; does not wait."""
        outcomes = []
        while not self._outcomes.empty():
            outcomes.append(self._outcomes.get())
        return outcomes

    def close(self) -> None:
        """Cancel what is on its way, close all connections."""
        for future in self._open:
            future.cancel()
        self._loop.submit(self._transport.aclose()).result()
        self._loop.close()

    async def _serve(self, order: Order[T]) -> None:
        lane = self._lane(order.target.provider.name)
        async with lane.slots:
            try:
                outcome = await self._attempt(order, lane)
            except Exception as error:  # noqa: BLE001 - whoever waits for this probe must not wait for ever
                failure = ProviderFailure("malformed_body", f"unexpected {type(error).__name__}")
                outcome = Outcome(order.ticket, Exchange(order.plan.endpoint.id, {}, error=failure))
        self._outcomes.put(outcome)

    async def _attempt(self, order: Order[T], lane: _Lane) -> Outcome[T]:
        budget = self._money()
        held = cost_bound(order.plan, self._catalog, datetime.now(UTC).date())
        if not await budget.hold(held):
            return Outcome(order.ticket, not_run="budget")
        spent = None
        try:
            async with lane.gate:
                await asyncio.sleep(PACE_S)
            done = await exchange(self._transport, order.target, order.plan.request, timeout_s=self._timeout_s)
            spent = self._settled(done, order.plan)
        finally:
            await asyncio.shield(budget.settle(held, spent))
        return Outcome(order.ticket, done)

    def _settled(self, done: Exchange, plan: ProbePlan) -> Decimal | None:
        """What the probe cost; None where nobody knows, which counts as the most that it can have cost."""
        answer, error = done.answer, done.error
        if answer is not None and answer.usage is not None:
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

    def _lane(self, provider: str) -> _Lane:
        if provider not in self._lanes:
            self._lanes[provider] = _Lane(asyncio.Semaphore(self._concurrency))
        return self._lanes[provider]
