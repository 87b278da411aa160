"""Money of one run: the most that a probe can cost is reserved before it is sent, and settled after it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from routing.catalog import Catalog
from routing.exchange import Exchange

from ..cases.plan import ProbePlan


class RunBudget:
    """USD of one run. `reserve` waits while other reservations are open, and is False if the amount cannot fit."""

    def __init__(self, limit: Decimal) -> None:
        self.limit = limit
        self.spent = Decimal(0)
        self.unknown = Decimal(0)
        """The part of `spent` that is an upper bound, because the cost of the requests is unknown."""
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

    def settle(self, reserved: Decimal, spent: Decimal | None) -> None:
        """Replace a reservation by what was spent; None means unknown and counts as all of it."""
        self._reserved -= reserved
        self.spent += reserved if spent is None else spent
        self.unknown += reserved if spent is None else 0
        self._settled.set()


def settled_cost(done: Exchange, plan: ProbePlan, catalog: Catalog) -> Decimal | None:
    """Cost of a probe for the budget; None if it is unknown."""
    answer, error = done.answer, done.error
    if answer is not None and answer.usage is not None and answer.usage.counted:
        day = datetime.now(UTC).date()
        listed = (plan.endpoint.price_at(day) or catalog.dearest_at(day)).cost(answer.usage)
        return max(listed, done.cost_usd or Decimal(0))  # the budget also holds for a host that reports a cost of 0
    if error is not None and (error.phase == "connect" or (done.status or 0) >= 400):
        return Decimal(0)  # refused before anything was generated
    return done.cost_usd or None
