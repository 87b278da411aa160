"""Finds the upstreams that a gateway serves a model from today, in addition to those in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType

from routing.catalog import Catalog, Endpoint, Provider
from routing.errors import ExchangeError, KeyMissing
from routing.transport import Transport
from routing.transport.event_loop import run

from .upstreams import Upstream, list_upstreams

GATEWAY = "upstream_pinning"
"""Quirk of a provider that can pin a request to an upstream."""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The catalogue with the discovered upstreams, and one sentence for each endpoint that was asked about."""

    catalog: Catalog
    notes: tuple[str, ...] = ()


def discover(catalog: Catalog, model: str, environment: Mapping[str, str], today: date) -> Discovered:
    """Ask each gateway for its upstreams of `model`.

    If a gateway cannot be asked (for example without a key), a note says why, and the catalogue is not changed for it.
    Endpoints that the gateway no longer lists are kept: their probes show `retired` if they are gone.
    """
    endpoints, notes = dict(catalog.endpoints), []
    for base in catalog.of_model(model):
        provider = catalog.provider_of(base)
        if base.upstream is not None or GATEWAY not in provider.quirks:
            continue
        try:
            listed = run(_listed(provider, provider.key(environment), base.provider_model_id))
        except (ExchangeError, KeyMissing) as problem:
            notes.append(f"upstreams of {base.id} are not known: {problem}")
            continue
        fresh = [one for one in added(base, listed, today) if one.id not in endpoints]
        gone = [one.upstream or "" for one in catalog.of_model(model) if _is_gone(one, base, listed)]
        endpoints |= {one.id: one for one in fresh}
        found = f"{base.id}: {len(listed)} upstreams, {len(fresh)} of them new"
        notes.append(found + (f"; not listed any more: {', '.join(sorted(gone))}" if gone else ""))
    return Discovered(replace(catalog, endpoints=MappingProxyType(endpoints)), tuple(notes))


def added(base: Endpoint, listed: Sequence[Upstream], today: date) -> list[Endpoint]:
    """An endpoint for each upstream: the unpinned endpoint with the upstream's price and tool_choice values."""
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
