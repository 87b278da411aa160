"""Money of one run: the most that a probe can cost is reserved before it is sent, and settled after it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from routing.catalog import Catalog
from routing.exchange import Exchange
from routing.tokens import estimated

from ..cases.plan import ProbePlan, estimate


class RunBudget:
    """USD of one run. `reserve` waits while other reservations are open, and is False if the amount cannot fit."""

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.spent = Decimal(0)
        self.estimated = Decimal(0)
        """The part of `spent` that is an estimate, because the host reported no tokens."""
        self._reserved = Decimal(0)
        self._settled = asyncio.Event()

    async def reserve(self, amount: Decimal) -> bool:
        """Reserve `amount`; False if it would not fit even if all open reservations were settled at 0."""
        while self.spent + self._reserved + amount > self.limit:
            if self.spent + amount > self.limit or not self._reserved:
                return False
            self._settled.clear()
            await self._settled.wait()
        self._reserved += amount
        return True

    def settle(self, reserved: Decimal, spent: Decimal, *, estimated: bool = False) -> None:
        """Replace a reservation of `reserved` USD by the cost, which is an estimate if `estimated` is true."""
        self._reserved -= reserved
        self.spent += spent
        self.estimated += spent if estimated else 0
        self._settled.set()


def settled_cost(done: Exchange | None, plan: ProbePlan, catalog: Catalog) -> tuple[Decimal, bool]:
    """Cost of a probe for the budget in USD, and whether it is an estimate. `done` is None if it was cancelled."""
    day = datetime.now(UTC).date()
    if done is None:
        return estimate([plan], catalog, day).about, True
    answer, error = done.answer, done.error
    price = plan.endpoint.price_at(day) or catalog.dearest_at(day)
    if answer is not None and answer.usage is not None and answer.usage.counted:
        # The budget also holds for a host that reports a cost of 0.
        return max(price.cost(answer.usage), done.cost_usd or Decimal(0)), False
    if error is not None and (error.phase in {"connect", "send"} or (done.status or 0) >= 400):
        return Decimal(0), False  # not sent, or refused before anything was generated
    if done.cost_usd:
        return done.cost_usd, False
    return price.cost(done.estimate or estimated(plan.request, answer, error)), True
