"""Budget of one request: what an attempt may cost at most, what it did cost, and what is left. No I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

from ..catalog import Catalog, Endpoint, Price
from ..exchange import Exchange
from ..tokens import prompt_bound
from ..types import ChatRequest, CostOrigin, Usage

_LEAST_TOKENS = 256
"""The fewest tokens of an answer that the budget must allow, or fewer if the request asks for fewer. Otherwise the
attempt is not sent."""
_DEFAULT_TOKENS = 4096
"""The `max_tokens` that is sent if the request has a budget but no max_tokens. Without it, the cost would have no upper
bound."""
Paid: TypeAlias = tuple[Decimal, CostOrigin]
"""The cost of an exchange in USD, and the origin of that figure."""


class RequestBudget:
    """Budget of one request. `max_cost_usd` bounds the cost of all its attempts together; None means no bound."""

    def __init__(self, catalog: Catalog, max_cost_usd: float | Decimal | None) -> None:
        self._catalog = catalog
        self._left = None if max_cost_usd is None else Decimal(str(max_cost_usd))

    def affordable(self, endpoint: Endpoint, request: ChatRequest) -> ChatRequest | None:
        """The request with a `max_tokens` with which its cost cannot exceed what is left of the budget.

        None if what is left cannot pay an answer of useful length (`_LEAST_TOKENS`).
        """
        if self._left is None:
            return request
        wanted = request.max_tokens or _DEFAULT_TOKENS
        per_token = self._price(endpoint).cost(Usage(0, 1))
        left = self._left - self._bound(endpoint, replace(request, max_tokens=0))
        affordable = int(left / per_token) if per_token else wanted
        if left < 0 or affordable < min(wanted, _LEAST_TOKENS):
            return None
        return replace(request, max_tokens=min(wanted, affordable))

    def settled(self, done: Exchange, endpoint: Endpoint, request: ChatRequest) -> Paid:
        """The cost of an exchange, or an estimate if the cost is unknown.

        A known cost is subtracted from the budget. If the cost is unknown, the most that it may have been is
        subtracted.
        """
        known = done.cost_usd
        if self._left is not None:
            self._left -= self._bound(endpoint, request) if known is None else known
        if known is not None:
            return known, done.cost_origin
        return self._price(endpoint).cost(done.estimate or Usage(0, 0)), "estimated"

    def _bound(self, endpoint: Endpoint, request: ChatRequest) -> Decimal:
        tokens = prompt_bound([*request.messages, *request.tools])
        return self._price(endpoint).cost(Usage(tokens, request.max_tokens or 0))

    def _price(self, endpoint: Endpoint) -> Price:
        """The endpoint's price today. An unknown price counts as the highest price in the catalogue, never as zero."""
        today = datetime.now(UTC).date()
        return endpoint.price_at(today) or self._catalog.dearest_at(today)
