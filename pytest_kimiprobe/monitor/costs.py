"""Cost of a request at each endpoint, and savings in a month of requests. Pure; amounts are exact decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from routing.catalog import Endpoint
from routing.types import Usage


@dataclass(frozen=True, slots=True)
class CostRow:
    """Costs of one endpoint, USD. `times_cheapest` compares with the cheapest row, the saving with the dearest."""

    endpoint: str
    model: str
    per_request: Decimal
    times_cheapest: Decimal
    per_month: Decimal
    saved_per_month: Decimal
    price_since: date
    price_origin: str


def table(
    endpoints: Sequence[Endpoint], *, tokens_in: int, tokens_out: int, requests: int, day: date
) -> tuple[list[CostRow], list[str]]:
    """Rows from the cheapest to the dearest endpoint, and the ids of endpoints whose price is unknown."""
    usage = Usage(tokens_in, tokens_out)
    priced = [(endpoint, price) for endpoint in endpoints if (price := endpoint.price_at(day))]
    unpriced = [endpoint.id for endpoint in endpoints if endpoint.price_at(day) is None]
    if not priced:
        return [], unpriced
    costs = {endpoint.id: price.cost(usage) for endpoint, price in priced}
    cheapest, dearest = min(costs.values()), max(costs.values())
    rows = [
        CostRow(
            endpoint=endpoint.id,
            model=endpoint.model,
            per_request=costs[endpoint.id],
            times_cheapest=costs[endpoint.id] / cheapest if cheapest else Decimal(1),
            per_month=costs[endpoint.id] * requests,
            saved_per_month=(dearest - costs[endpoint.id]) * requests,
            price_since=price.since,
            price_origin=price.origin,
        )
        for endpoint, price in priced
    ]
    return sorted(rows, key=lambda row: (row.per_request, row.endpoint)), unpriced
