"""`kimiprobe cost`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import click

from routing import catalog as catalogs
from routing.tokens import ASSUMED_REQUEST, request_text
from routing.types import Usage

from ...tables import Column, rendered
from .. import costs
from .shared import json_option, show

_COLUMNS = (
    Column("endpoint", shorten="middle"),
    Column("$/req", right=True),
    Column("times", right=True),
    Column("$/mo", right=True),
    Column("saved", right=True),
)
_TOKENS = click.IntRange(min=0, max=10**9)


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
    rows, unpriced = costs.table(endpoints, tokens_in=tokens_in, tokens_out=tokens_out, requests=requests, day=day)
    asked = request_text(Usage(tokens_in, tokens_out))
    lines = [f"{asked} a request, {requests:,} requests a month; USD"]
    lines += rendered(_COLUMNS, [_row(row) for row in rows])
    lines += [f"{endpoint}: no price known" for endpoint in unpriced]
    if rows:
        first, last = rows[0], rows[-1]
        share = first.saved_per_month / last.per_month if last.per_month else Decimal(0)
        lines.append(f"the first instead of the last saves ${first.saved_per_month:.2f} a month ({share:.0%})")
    show(lines, {"endpoints": [_json(row) for row in rows], "unpriced": unpriced}, as_json=as_json)


def _row(row: costs.CostRow) -> tuple[str, ...]:
    return (
        row.endpoint,
        f"{row.per_request:.5f}",
        f"{row.times_cheapest:.1f}x",
        f"{row.per_month:.2f}",
        f"{row.saved_per_month:.2f}",
    )


def _json(row: costs.CostRow) -> dict[str, str | float]:
    return {
        "endpoint": row.endpoint,
        "model": row.model,
        "usd_per_request": str(row.per_request),
        "times_cheapest": float(round(row.times_cheapest, 4)),
        "usd_per_month": str(row.per_month),
        "usd_saved_per_month": str(row.saved_per_month),
        "price_since": row.price_since.isoformat(),
        "price_origin": row.price_origin,
    }
