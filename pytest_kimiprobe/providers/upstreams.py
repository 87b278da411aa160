"""Lists OpenRouter's upstreams for a model today, with prices and capabilities.

`GET /models/{author}/{slug}/endpoints`: https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from routing.catalog.model import Price, Provider
from routing.errors import ProviderFailure
from routing.transport import Transport
from routing.wire.error_bodies import printable_line
from routing.wire.json_fields import mapping, money, string

from .account import get, page_data

_MILLION = Decimal(1_000_000)
_CHOICES = {"auto": "auto", "none": "none", "required": "required", "function": "named"}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One upstream of a model. Fields that the page leaves out are None or empty.

    `tag` pins a request to the upstream (the part of an endpoint id after `+`). `tool_choices` are the values of
    `tool_choice` that passed OpenRouter's tests. `uptime` covers the last 30 minutes, in per cent.
    """

    tag: str
    title: str
    quantization: str = ""
    input: Decimal | None = None
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    output: Decimal | None = None
    tool_choices: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    uptime: float | None = None
    status: int | None = None

    def price(self, day: date) -> Price | None:
        """Price in USD per million tokens; None if unknown. Without a separate price, cached tokens cost as input."""
        if self.input is None or self.output is None:
            return None
        cached = self.input if self.cached_input is None else self.cached_input
        return Price(day, self.input, cached, self.output, "openrouter", day, self.cache_write)


async def list_upstreams(
    transport: Transport, provider: Provider, key: str, model_id: str, *, timeout_s: float = 20.0
) -> tuple[Upstream, ...]:
    """Request the upstreams of an OpenRouter model (`moonshotai/kimi-k2.6`). Raises ExchangeError."""
    path = f"/models/{model_id}/endpoints"
    return parse_upstreams(*await get(transport, provider, key, path, timeout_s=timeout_s))


def parse_upstreams(status: int, headers: Mapping[str, str], body: bytes) -> tuple[Upstream, ...]:
    """Parse the upstreams of a page; rows without a tag are skipped. Raises ExchangeError for any other page."""
    rows = page_data(status, headers, body).get("endpoints")
    if not isinstance(rows, list):
        raise ProviderFailure("malformed_body", "the page lists no endpoints", status=status, phase="parse")
    return tuple(_upstream(row) for row in rows if isinstance(row, Mapping) and string(row.get("tag")))


def _upstream(row: Mapping[str, Any]) -> Upstream:
    pricing, choices = mapping(row.get("pricing")), mapping(row.get("supports_tool_choice"))
    parameters = row.get("supported_parameters")
    state, uptime = row.get("status"), row.get("uptime_last_30m")
    return Upstream(
        tag=printable_line(row["tag"], 80),
        title=printable_line(row.get("provider_name") or "", 80),
        quantization=printable_line(row.get("quantization") or "", 20),
        input=_per_million(pricing.get("prompt")),
        cached_input=_per_million(pricing.get("input_cache_read")),
        cache_write=_per_million(pricing.get("input_cache_write")),
        output=_per_million(pricing.get("completion")),
        tool_choices=frozenset(ours for theirs, ours in _CHOICES.items() if choices.get(theirs) is True),
        parameters=frozenset(printable_line(name, 60) for name in parameters)
        if isinstance(parameters, list)
        else frozenset(),
        uptime=float(uptime) if isinstance(uptime, int | float) and not isinstance(uptime, bool) else None,
        status=state if isinstance(state, int) else None,
    )


def _per_million(value: Any) -> Decimal | None:
    """USD per million tokens from OpenRouter's price, a string in USD per token."""
    amount = money(value)
    return None if amount is None else amount * _MILLION
