"""Command `kimiprobe cost`: compares the cost of requests at the endpoints of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import click

from routing import catalog as catalogs
from routing.catalog import Catalog, Endpoint
from routing.selection import price_order
from routing.tokens import ASSUMED_REQUEST, request_text
from routing.types import Usage

from ...tables import Column, rendered
from .shared import json_option, show

_COLUMNS = (
    Column("endpoint", shorten="middle"),
    Column("$/req", right=True),
    Column("times", right=True),
    Column("$/mo", right=True),
    Column("saved", right=True),
)
_TOKENS = click.IntRange(min=0, max=10**9)


@dataclass(frozen=True, slots=True)
class CostRow:
    """Cost of requests at one endpoint, and how it compares with the other endpoints of the table.

    `times_cheapest` is the cost divided by that of the cheapest endpoint. `usd_saved_per_month` is the saving against
    the dearest endpoint. The price applies since `price_since`; `price_origin` is its source.
    """

    endpoint: str
    model: str
    usd_per_request: Decimal
    times_cheapest: Decimal
    usd_per_month: Decimal
    usd_saved_per_month: Decimal
    price_since: str
    price_origin: str


@click.command()
@click.option(
    "--input",
    "tokens_in",
    type=_TOKENS,
    default=ASSUMED_REQUEST.prompt_tokens,
    show_default=True,
    help="Input tokens of a request.",
)
@click.option(
    "--output",
    "tokens_out",
    type=_TOKENS,
    default=ASSUMED_REQUEST.completion_tokens,
    show_default=True,
    help="Output tokens of a request.",
)
@click.option("--requests", type=_TOKENS, default=1000, show_default=True, help="Requests a month.")
@click.option(
    "--model", "models", multiple=True, help="Model to price (repeatable; default: default and vision model)."
)
@click.option("--all", "everything", is_flag=True, help="Every model of the catalogue.")
@json_option
def cost(  # noqa: PLR0917 - one parameter an option
    tokens_in: int, tokens_out: int, requests: int, models: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Show the cost of a request and of a month at each endpoint.

    Prices are the catalogue's; `saved` is against the dearest row. Retired endpoints are left out.
    """
    catalog, day = catalogs.load(), datetime.now(UTC).date()
    vision = catalog.endpoint(catalog.vision_endpoint).model
    wanted = list(catalog.models) if everything else list(models) or [catalog.default_model, vision]
    endpoints = [e for model in wanted for e in catalog.of_model(model) if not e.retired_at(day)]
    unpriced = [endpoint.id for endpoint in endpoints if endpoint.price_at(day) is None]
    usage = Usage(tokens_in, tokens_out)
    rows = _rows(catalog, endpoints, usage, requests, day)
    lines = [f"{request_text(usage)} a request, {requests:,} requests a month; USD"]
    lines += rendered(_COLUMNS, [_cells(row) for row in rows])
    lines += [f"{endpoint}: no price known" for endpoint in unpriced]
    if rows:
        first, last = rows[0], rows[-1]
        share = first.usd_saved_per_month / last.usd_per_month if last.usd_per_month else Decimal(0)
        lines.append(f"the first instead of the last saves ${first.usd_saved_per_month:.2f} a month ({share:.0%})")
    show(lines, {"endpoints": [_json(row) for row in rows], "unpriced": unpriced}, as_json=as_json)


def _rows(catalog: Catalog, endpoints: Sequence[Endpoint], usage: Usage, requests: int, day: date) -> list[CostRow]:
    """One row for each endpoint whose price is known, cheapest first. Equal costs are ordered as the router does it."""

    def order(row: CostRow) -> tuple[Decimal, bool, str]:
        is_reference = catalog.model(row.model).reference == row.endpoint
        return price_order(row.usd_per_request, row.endpoint, is_reference=is_reference)

    priced = [(endpoint, price, price.cost(usage)) for endpoint in endpoints if (price := endpoint.price_at(day))]
    costs = [cost for _, _, cost in priced] or [Decimal(0)]
    cheapest, dearest = min(costs), max(costs)
    rows = [
        CostRow(
            endpoint=endpoint.id,
            model=endpoint.model,
            usd_per_request=cost,
            times_cheapest=cost / cheapest if cheapest else Decimal(1),
            usd_per_month=cost * requests,
            usd_saved_per_month=(dearest - cost) * requests,
            price_since=price.since.isoformat(),
            price_origin=price.origin,
        )
        for endpoint, price, cost in priced
    ]
    return sorted(rows, key=order)


def _cells(row: CostRow) -> tuple[str, ...]:
    return (
        row.endpoint,
        f"{row.usd_per_request:.5f}",
        f"{row.times_cheapest:.1f}x",
        f"{row.usd_per_month:.2f}",
        f"{row.usd_saved_per_month:.2f}",
    )


def _json(row: CostRow) -> dict[str, str | float]:
    amounts = {name: str(value) for name, value in asdict(row).items()}
    return {**amounts, "times_cheapest": float(round(row.times_cheapest, 4))}
