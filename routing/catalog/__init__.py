"""Catalogue of providers, models and endpoints, read from catalog.yaml: ids and prices are data, never code.

A file that says `extends: packaged` changes the packaged catalogue: the file's rows are added to it, or replace rows of
the same name or id. `KIMIPROBE_CATALOG` names such a file, or a whole catalogue. The variable
`KIMIPROBE_BASE_URL_<PROVIDER>` overrides a base URL. Keys are sent only to hosts that the catalogue names for the
provider, or to this machine.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from ..errors import CatalogError
from ..parsing.safe_read import read_regular
from ..parsing.schema_files import converted, load_checked
from ..types import JsonObject
from .model import Catalog, Endpoint, Model, Price, Provider, Requirements

__all__ = ["Catalog", "Endpoint", "Model", "Price", "Provider", "Requirements", "load"]

VARIABLE = "KIMIPROBE_CATALOG"
_PACKAGED = "routing/catalog/catalog.yaml"


def load(path: Path | None = None, *, environment: Mapping[str, str] | None = None) -> Catalog:
    """Read the catalogue: from `path`, else from the file that `KIMIPROBE_CATALOG` names, else the packaged one.

    Base URLs that variables of `environment` (default: `os.environ`) give override those of the catalogue. Raises
    CatalogError, which names file, line and field.
    """
    try:
        return _loaded(path, os.environ if environment is None else environment)
    except CatalogError as error:
        del environment  # a traceback may be printed with locals: the environment and base URLs hold keys and passwords
        raise error.with_traceback(None) from None


def _loaded(path: Path | None, environment: Mapping[str, str]) -> Catalog:
    if path is None and (named := environment.get(VARIABLE, "").strip()):
        path = Path(named)
    return (_packaged() if path is None else _read(path)).with_base_urls(environment)


@functools.cache
def _packaged() -> Catalog:
    return _catalog(_packaged_document(), _PACKAGED)


@functools.cache
def _packaged_document() -> JsonObject:
    return _document((resources.files(__package__) / "catalog.yaml").read_bytes(), _PACKAGED)


def _read(path: Path) -> Catalog:
    document = _document(read_regular(path, error=CatalogError), str(path))
    if "extends" in document:
        return _catalog(_laid_over(_packaged_document(), document), str(path))
    return _catalog(document, str(path))


def _document(data: bytes, where: str) -> JsonObject:
    document: JsonObject = load_checked(
        data, "catalog.schema.json", where=where, error=CatalogError, package=__package__
    ).data
    return document


def _laid_over(base: JsonObject, rows: JsonObject) -> JsonObject:
    """`base` with the rows of an extending file: new rows are added, rows of the same name or id are replaced whole."""
    mine = rows.get("endpoints", [])
    replaced = {row["id"] for row in mine}
    return {
        "default_model": rows.get("default_model", base["default_model"]),
        "vision_endpoint": rows.get("vision_endpoint", base["vision_endpoint"]),
        "providers": {**base["providers"], **rows.get("providers", {})},
        "models": {**base["models"], **rows.get("models", {})},
        "endpoints": [row for row in base["endpoints"] if row["id"] not in replaced] + mine,
    }


def _catalog(document: JsonObject, where: str) -> Catalog:
    providers = {name: _provider(name, row, where) for name, row in document["providers"].items()}
    models = {name: Model(name, **row) for name, row in document["models"].items()}
    endpoints = _endpoints(document["endpoints"], providers, models, where)
    for name, target in [(f"models.{m.name}.reference", m.reference) for m in models.values()] + [
        ("vision_endpoint", document["vision_endpoint"])
    ]:
        if target not in endpoints:
            raise CatalogError(f"{name} names {target!r}, which is not among the endpoints", where=where)
    if document["default_model"] not in models:
        told = f"default_model {document['default_model']!r} is not among the models: {', '.join(models)}"
        raise CatalogError(told, where=where)
    return Catalog(
        default_model=document["default_model"],
        vision_endpoint=document["vision_endpoint"],
        providers=MappingProxyType(providers),
        models=MappingProxyType(models),
        endpoints=MappingProxyType(endpoints),
        origin=where,
    )


def _provider(name: str, row: Mapping[str, Any], where: str) -> Provider:
    own_host = frozenset({urlsplit(row["base_url"]).hostname or ""})
    provider = Provider(name, **{"hosts": own_host, **converted(row, _CONVERTED)})
    return provider.at(row["base_url"], where=f"{where}: providers.{name}.base_url")


def _endpoints(
    rows: Iterable[Mapping[str, Any]], providers: Mapping[str, Provider], models: Mapping[str, Model], where: str
) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for row in rows:
        provider = row["id"].partition("/")[0]
        if provider not in providers:
            raise CatalogError(
                f"endpoint {row['id']!r}: no provider {provider!r}; available: {', '.join(providers)}", where=where
            )
        if row["model"] not in models:
            raise CatalogError(
                f"endpoint {row['id']!r}: no model {row['model']!r}; available: {', '.join(models)}", where=where
            )
        if row["id"] in endpoints:
            raise CatalogError(f"endpoint {row['id']!r} is listed twice", where=where)
        endpoints[row["id"]] = _endpoint(row, models[row["model"]])
    return endpoints


def _endpoint(row: Mapping[str, Any], model: Model) -> Endpoint:
    provider, _, rest = row["id"].partition("/")
    model_id, _, upstream = rest.partition("+")
    return Endpoint(
        provider=provider,
        provider_model_id=model_id,
        upstream=upstream or None,
        family=model.family,
        always_thinks=model.always_thinks,
        **converted(row, _CONVERTED),
    )


def _price(row: Mapping[str, str]) -> Price:
    return Price(
        since=date.fromisoformat(row["from"]),
        input=Decimal(row["input"]),
        cached_input=Decimal(row["cached_input"]),
        output=Decimal(row["output"]),
        origin=row["origin"],
        checked=date.fromisoformat(row["checked"]),
        cache_write=Decimal(row["cache_write"]) if "cache_write" in row else None,
    )


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "hosts": frozenset,
    "quirks": frozenset,
    "capabilities": frozenset,
    "tool_choices": frozenset,
    "retired_on": date.fromisoformat,
    "prices": lambda rows: tuple(_price(row) for row in rows),
}
"""Converters of the values that are not used as the file has them, by key. Every key of the file is the name of a
field."""
