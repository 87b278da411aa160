"""Upstreams that a gateway serves a model from today, beside those that the catalogue knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType

from routing.catalog import Catalog, Endpoint, Provider
from routing.errors import ExchangeError, KeyMissing
from routing.transport import Transport

from .upstreams import Upstream, list_upstreams

GATEWAY = "upstream_pinning"


@dataclass(frozen=True, slots=True)
class Discovered:
    """The catalogue with what was found, and a sentence about it for each gateway's model."""

    catalog: Catalog
    notes: tuple[str, ...] = ()


def discover(catalog: Catalog, model: str, environment: Mapping[str, str], today: date) -> Discovered:
    """Ask each gateway whose key is there for the upstreams of `model`.

    One that cannot be asked is told in the notes and leaves the catalogue as it is. What the catalogue has and the
    gateway does not list stays: its probe finds out, and reads `retired` where it is gone.
    """
    endpoints, notes = dict(catalog.endpoints), []
    for base in catalog.of_model(model):
        provider = catalog.provider_of(base)
        if base.upstream is not None or GATEWAY not in provider.quirks:
            continue
        try:
            listed = asyncio.run(_listed(provider, provider.key(environment), base.provider_model_id))
        except (ExchangeError, KeyMissing) as problem:
            notes.append(f"upstreams of {base.id} are not known: {problem}")
            continue
        fresh = [one for one in added(base, listed, today) if one.id not in endpoints]
        gone = [one.upstream or "" for one in catalog.of_model(model) if _is_gone(one, base, listed)]
        endpoints |= {one.id: one for one in fresh}
        told = f"{base.id}: {len(listed)} upstreams, {len(fresh)} of them new"
        notes.append(told + (f"; not listed any more: {', '.join(sorted(gone))}" if gone else ""))
    return Discovered(replace(catalog, endpoints=MappingProxyType(endpoints)), tuple(notes))


def added(base: Endpoint, listed: Sequence[Upstream], today: date) -> list[Endpoint]:
    """An endpoint for each upstream, as the unpinned endpoint but for price and what it accepts."""
    found = []
    for upstream in listed:
        price = upstream.price(today)
        found.append(
            replace(
                base,
                id=f"{base.id}+{upstream.tag}",
                upstream=upstream.tag,
                prices=(price,) if price else (),
                tool_choices=upstream.tool_choices or base.tool_choices,
            )
        )
    return found


def _is_gone(endpoint: Endpoint, base: Endpoint, listed: Sequence[Upstream]) -> bool:
    pinned = endpoint.upstream is not None and endpoint.id.startswith(f"{base.id}+")
    return pinned and endpoint.upstream not in {upstream.tag for upstream in listed}


async def _listed(provider: Provider, key: str, model_id: str) -> tuple[Upstream, ...]:
    transport = Transport()
    try:
        return await list_upstreams(transport, provider, key, model_id)
    finally:
        await transport.aclose()
