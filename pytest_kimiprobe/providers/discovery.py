"""Finds the upstreams that a gateway now uses for a model, in addition to those in the catalogue.

OpenRouter lists them: https://openrouter.ai/docs/api-reference/list-endpoints-for-a-model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from routing.catalog import Catalog, Endpoint, Provider
from routing.catalog.model import Price
from routing.errors import ExchangeError, KeyMissing, ProviderFailure
from routing.transport import Transport
from routing.transport.event_loop import run
from routing.wire.error_bodies import printable_line
from routing.wire.json_fields import mapping, money, string

from .account import page_of

GATEWAY = "upstream_pinning"
"""Name of the quirk that providers have in the catalogue if they can pin a request to an upstream."""
_MILLION = Decimal(1_000_000)
_CHOICES = {"auto": "auto", "none": "none", "required": "required", "function": "named"}


@dataclass(frozen=True, slots=True)
class Upstream:
    """One upstream of a model: its price (None if unknown) and the `tool_choice` values that passed OpenRouter's tests.

    `tag` pins a request to the upstream; it is the part of an endpoint id after `+`.
    """

    tag: str
    price: Price | None = None
    tool_choices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Discovered:
    """The catalogue with the discovered upstreams, and one note for each endpoint whose upstreams were requested."""

    catalog: Catalog
    notes: tuple[str, ...] = ()


def discover(catalog: Catalog, model: str, environment: Mapping[str, str], today: date) -> Discovered:
    """Ask each gateway for its upstreams of `model`, and add those that the catalogue does not have.

    If a gateway cannot be asked (for example without a key), a note says why, and nothing is added for this gateway.
    Endpoints that the gateway no longer lists are kept: their probes show `retired` if they are gone.
    """
    endpoints, notes = dict(catalog.endpoints), []
    for base in catalog.of_model(model):
        provider = catalog.provider_of(base)
        if base.upstream is not None or GATEWAY not in provider.quirks:
            continue
        try:
            listed = run(_listed(provider, provider.key(environment), base.provider_model_id, today))
        except (ExchangeError, KeyMissing) as problem:
            notes.append(f"upstreams of {base.id} are not known: {problem}")
            continue
        fresh = [one for one in (_added(base, upstream) for upstream in listed) if one.id not in endpoints]
        gone = [one.upstream or "" for one in catalog.of_model(model) if _is_gone(one, base, listed)]
        endpoints |= {one.id: one for one in fresh}
        found = f"{base.id}: {len(listed)} upstreams, {len(fresh)} of them new"
        notes.append(found + (f"; not listed any more: {', '.join(sorted(gone))}" if gone else ""))
    return Discovered(replace(catalog, endpoints=MappingProxyType(endpoints)), tuple(notes))


def _added(base: Endpoint, upstream: Upstream) -> Endpoint:
    """The endpoint of a discovered upstream: the unpinned `base` with its tag, price and `tool_choice` values."""
    return replace(
        base,
        id=f"{base.id}+{upstream.tag}",
        upstream=upstream.tag,
        prices=(upstream.price,) if upstream.price else (),
        tool_choices=upstream.tool_choices or base.tool_choices,
    )


def _is_gone(endpoint: Endpoint, base: Endpoint, listed: Sequence[Upstream]) -> bool:
    pinned = endpoint.upstream is not None and endpoint.id.startswith(f"{base.id}+")
    return pinned and endpoint.upstream not in {upstream.tag for upstream in listed}


async def _listed(provider: Provider, key: str, model_id: str, today: date) -> tuple[Upstream, ...]:
    async with aclosing(Transport()) as transport:
        path = f"/models/{model_id}/endpoints"
        return upstreams_of(await page_of(transport, provider, key, path, timeout_s=20.0), today)


def upstreams_of(page: Mapping[str, Any], today: date) -> tuple[Upstream, ...]:
    """The upstreams that a page lists; rows without a tag are skipped. Raises ExchangeError if there is no list."""
    rows = page.get("endpoints")
    if not isinstance(rows, list):
        raise ProviderFailure("malformed_body", "the page lists no endpoints", phase="parse")
    return tuple(_upstream(row, today) for row in rows if isinstance(row, Mapping) and string(row.get("tag")))


def _upstream(row: Mapping[str, Any], today: date) -> Upstream:
    pricing, choices = mapping(row.get("pricing")), mapping(row.get("supports_tool_choice"))
    names = ("prompt", "completion", "input_cache_read", "input_cache_write")
    given, output, cached, write = (_per_million(pricing.get(name)) for name in names)
    price = None
    if given is not None and output is not None:  # without a separate price, cached tokens cost as input
        price = Price(today, given, given if cached is None else cached, output, "openrouter", today, write)
    allowed = frozenset(ours for theirs, ours in _CHOICES.items() if choices.get(theirs) is True)
    return Upstream(printable_line(row["tag"], 80), price, allowed)


def _per_million(value: Any) -> Decimal | None:
    """USD per million tokens from OpenRouter's price, a string in USD per token."""
    amount = money(value)
    return None if amount is None else amount * _MILLION
