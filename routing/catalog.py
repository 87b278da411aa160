"""Providers, models and endpoints, read from catalog.yaml: ids and prices are data, never code.

A base URL may be overridden by the variable `KIMIPROBE_BASE_URL_<PROVIDER>`; keys go only to hosts the catalogue names
for that provider, or to this machine.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from .documents import load_checked
from .errors import CatalogError, KeyMissing
from .types import Usage

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens from a day on, with where the figures come from."""

    since: date
    input: Decimal
    cached_input: Decimal
    output: Decimal
    origin: str
    checked: date

    def cost(self, usage: Usage) -> Decimal:
        """USD for these tokens; cached prompt tokens at their own price."""
        fresh = usage.prompt_tokens - usage.cached_tokens
        total = fresh * self.input + usage.cached_tokens * self.cached_input + usage.completion_tokens * self.output
        return total / _MILLION


@dataclass(frozen=True, slots=True)
class Provider:
    """An account behind one API."""

    name: str
    title: str
    wire: str
    base_url: str
    hosts: frozenset[str]
    key_env: str
    key_page: str = ""
    quirks: frozenset[str] = frozenset()

    @property
    def local(self) -> bool:
        """Whether the base URL points at this machine."""
        return (urlsplit(self.base_url).hostname or "") in _LOOPBACK

    def key(self, environment: Mapping[str, str] | None = None) -> str:
        """The key from the environment. Raises KeyMissing naming the variable, never showing a value."""
        value = (os.environ if environment is None else environment).get(self.key_env, "").strip()
        if not value:
            raise KeyMissing(f"not set; get a key for {self.title} at {self.key_page}", where=self.key_env)
        if not value.isascii() or not value.isprintable() or any(mark in value for mark in " \"'\\"):
            raise KeyMissing("holds a quote, space or character that no key has", where=self.key_env)
        return value


@dataclass(frozen=True, slots=True)
class Model:
    """A model under the family's own name. `reference` is the endpoint that the others are held against."""

    name: str
    title: str
    family: str
    reference: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a request can be sent to: `<provider>/<provider model id>[+<upstream tag>]`."""

    id: str
    provider: str
    provider_model_id: str
    upstream: str | None
    model: str
    capabilities: frozenset[str]
    prices: tuple[Price, ...] = ()
    retired_on: date | None = None
    tool_choices: frozenset[str] = frozenset(("auto", "none", "required", "named"))
    """Values of `tool_choice` that it accepts; `named` is a certain function."""

    def price_at(self, day: date) -> Price | None:
        """The price that holds on `day`; None where none is known (an unknown price is the dearest, never zero)."""
        known = [price for price in self.prices if price.since <= day]
        return max(known, key=lambda price: price.since, default=None)

    def retired_at(self, day: date) -> bool:
        """Whether the catalogue says that it is not served any more."""
        return self.retired_on is not None and self.retired_on <= day


@dataclass(frozen=True, slots=True)
class Catalog:
    """All rows, by name. `origin` is the file they were read from."""

    default_model: str
    vision_endpoint: str
    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    origin: str = field(default="")

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint. Raises CatalogError listing those there are."""
        if endpoint_id not in self.endpoints:
            raise CatalogError(f"unknown endpoint {endpoint_id!r}; there are: {', '.join(self.endpoints)}")
        return self.endpoints[endpoint_id]

    def model(self, name: str) -> Model:
        """One model. Raises CatalogError listing those there are."""
        if name not in self.models:
            raise CatalogError(f"unknown model {name!r}; there are: {', '.join(self.models)}")
        return self.models[name]

    def provider_of(self, endpoint: Endpoint) -> Provider:
        """The provider that serves this endpoint."""
        return self.providers[endpoint.provider]

    def of_model(self, name: str) -> tuple[Endpoint, ...]:
        """All endpoints of a model, retired ones too, in the order of the file."""
        self.model(name)
        return tuple(endpoint for endpoint in self.endpoints.values() if endpoint.model == name)

    def dearest_at(self, day: date) -> Price:
        """A price made of the highest figures known on `day`: what an unknown price is taken for."""
        known = [price for endpoint in self.endpoints.values() if (price := endpoint.price_at(day))]
        zero = Decimal(0)
        return Price(
            since=day,
            input=max((price.input for price in known), default=zero),
            cached_input=max((price.cached_input for price in known), default=zero),
            output=max((price.output for price in known), default=zero),
            origin="dearest",
            checked=day,
        )

    def with_base_urls(self, environment: Mapping[str, str]) -> Catalog:
        """The same catalogue with `KIMIPROBE_BASE_URL_<PROVIDER>` applied. Raises CatalogError for a foreign host."""
        changed = dict(self.providers)
        for name, provider in self.providers.items():
            variable = f"KIMIPROBE_BASE_URL_{name.upper().replace('-', '_')}"
            if url := environment.get(variable, "").strip():
                changed[name] = _checked_base_url(replace(provider, base_url=url.rstrip("/")), variable)
        return replace(self, providers=MappingProxyType(changed))


def load(path: Path | None = None, *, environment: Mapping[str, str] | None = None) -> Catalog:
    """Read the catalogue at `path`, or the packaged one, with base URLs of the environment applied.

    Raises CatalogError naming file, line and field.
    """
    environment = os.environ if environment is None else environment
    return (_packaged() if path is None else _read(path)).with_base_urls(environment)


@functools.cache
def _packaged() -> Catalog:
    source = resources.files(__package__) / "catalog.yaml"
    return _parse(source.read_bytes(), where="routing/catalog.yaml")


def _read(path: Path) -> Catalog:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CatalogError(error.strerror or "unreadable", where=str(path)) from None
    return _parse(data, where=str(path))


def _parse(data: bytes, *, where: str) -> Catalog:
    document = load_checked(data, "catalog.schema.json", where=where, error=CatalogError).data
    providers = {name: _provider(name, row, where) for name, row in document["providers"].items()}
    models = {
        name: Model(name, row["title"], row["family"], row["reference"]) for name, row in document["models"].items()
    }
    endpoints = _endpoints(document["endpoints"], providers, models, where)
    for name, target in [(f"models.{m.name}.reference", m.reference) for m in models.values()] + [
        ("vision_endpoint", document["vision_endpoint"])
    ]:
        if target not in endpoints:
            raise CatalogError(f"{name} names {target!r}, which is not among the endpoints", where=where)
    if document["default_model"] not in models:
        raise CatalogError(f"default_model {document['default_model']!r} is not among the models", where=where)
    return Catalog(
        default_model=document["default_model"],
        vision_endpoint=document["vision_endpoint"],
        providers=MappingProxyType(providers),
        models=MappingProxyType(models),
        endpoints=MappingProxyType(endpoints),
        origin=where,
    )


def _provider(name: str, row: Mapping[str, Any], where: str) -> Provider:
    provider = Provider(
        name=name,
        title=row["title"],
        wire=row["wire"],
        base_url=row["base_url"].rstrip("/"),
        hosts=frozenset(row["hosts"]),
        key_env=row["key_env"],
        key_page=row.get("key_page", ""),
        quirks=frozenset(row.get("quirks", ())),
    )
    return _checked_base_url(provider, f"{where}: providers.{name}.base_url")


def _checked_base_url(provider: Provider, where: str) -> Provider:
    parts = urlsplit(provider.base_url)
    host = parts.hostname or ""
    if parts.username or parts.password or parts.query:
        raise CatalogError("a base URL holds neither user, password nor query", where=where)
    if host in _LOOPBACK and parts.scheme in {"http", "https"}:
        return provider
    if parts.scheme != "https":
        raise CatalogError("https is needed: a key would travel in clear text", where=where)
    if host not in provider.hosts:
        allowed = ", ".join(sorted(provider.hosts))
        raise CatalogError(f"{provider.title}'s key may go to {allowed} or this machine, not to {host!r}", where=where)
    return provider


def _endpoints(
    rows: Iterable[Mapping[str, Any]], providers: Mapping[str, Provider], models: Mapping[str, Model], where: str
) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for row in rows:
        provider, _, rest = row["id"].partition("/")
        model_id, _, upstream = rest.partition("+")
        if provider not in providers:
            raise CatalogError(f"endpoint {row['id']!r}: no provider {provider!r}", where=where)
        if row["model"] not in models:
            raise CatalogError(f"endpoint {row['id']!r}: no model {row['model']!r}", where=where)
        if row["id"] in endpoints:
            raise CatalogError(f"endpoint {row['id']!r} stands there twice", where=where)
        retired_on = row.get("retired_on")
        endpoints[row["id"]] = Endpoint(
            id=row["id"],
            provider=provider,
            provider_model_id=model_id,
            upstream=upstream or None,
            model=row["model"],
            capabilities=frozenset(row.get("capabilities", ("tools", "stream"))),
            prices=tuple(_price(price) for price in row.get("prices", ())),
            retired_on=date.fromisoformat(retired_on) if retired_on else None,
            tool_choices=frozenset(row.get("tool_choices", ("auto", "none", "required", "named"))),
        )
    return endpoints


def _price(row: Mapping[str, str]) -> Price:
    return Price(
        since=date.fromisoformat(row["from"]),
        input=Decimal(row["input"]),
        cached_input=Decimal(row["cached_input"]),
        output=Decimal(row["output"]),
        origin=row["origin"],
        checked=date.fromisoformat(row["checked"]),
    )
