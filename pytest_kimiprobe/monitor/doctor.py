"""Checks the environment before a run: installation, catalogue, flags, evidence, keys, hosts and credit.

Each check gives a diagnosis. No diagnosis contains a key.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import routing
from routing import catalog as catalogs
from routing.catalog import Catalog, Provider
from routing.errors import ConfigError, ExchangeError
from routing.evidence import model as evidences
from routing.flags.model import Flags
from routing.flags.source import find_flags
from routing.transport import HttpRequest, Transport, library
from routing.transport.event_loop import run

from ..import_check import LIBRARIES, install_hint
from ..providers.account import account_of, keys_of

REACH_S = 5.0
Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Result of one check. A `problem` prevents a run; a `note` does not."""

    level: Level
    topic: str
    text: str


def examine(
    *,
    flags: Path | None,
    results: Path | None,
    environment: Mapping[str, str],
    reach: bool = True,
    account: bool = False,
) -> Iterator[Diagnosis]:
    """Run all checks, and yield their diagnoses in the order in which problems should be fixed.

    `reach`: also check whether each provider's host answers. `account`: also ask how much credit is left, with the
    provider's own key, at each provider that has an API for it.
    """
    yield Diagnosis("ok", "routing", f"{routing.__version__} from {routing.__file__}")
    yield Diagnosis("ok", "http", f"{library().__name__} {getattr(library(), '__version__', '')}")
    yield from _extras()
    try:
        catalog = catalogs.load(environment=environment)
    except ConfigError as error:
        yield Diagnosis("problem", "catalogue", str(error))
        return
    yield Diagnosis("ok", "catalogue", f"{catalog.origin}: {len(catalog.endpoints)} endpoints")
    path = flags or find_flags()
    yield _flags(path, catalog)
    yield _evidence(results or (path.parent / "results" if path else Path("results")))
    yield from _keys(catalog, environment)
    if reach:
        yield from _of_each(catalog.providers.values(), _host)
    if account:
        keys, _ = keys_of(catalog, environment)
        asked = [provider for provider in catalog.providers.values() if provider.account and provider.name in keys]
        yield from _of_each(asked, lambda transport, provider: _account(transport, provider, keys[provider.name]))


def _extras() -> Iterator[Diagnosis]:
    for extra, (_, module) in LIBRARIES.items():
        there = importlib.util.find_spec(module) is not None
        hint = "" if there else f": {install_hint(extra)}"
        yield Diagnosis(
            "ok" if there else "note", "extra", f"{extra} {'installed' if there else 'not installed'}{hint}"
        )


def _flags(path: Path | None, catalog: Catalog) -> Diagnosis:
    if path is None:
        return Diagnosis("note", "flags", "no flags.yaml from here upwards: the packaged one is used, everything off")
    try:
        flags = Flags.load(path, catalog.models)
    except ConfigError as error:
        return Diagnosis("problem", "flags", str(error))
    on = sum(flag.enabled for flag in flags.flags.values())
    count = f"{len(flags.flags)} flag{'' if len(flags.flags) == 1 else 's'}"
    return Diagnosis("ok", "flags", f"{path}: {count}, {on} enabled, environment {flags.environment}")


def _evidence(folder: Path) -> Diagnosis:
    path = folder / "latest.json"
    try:
        evidence = evidences.loads(path.read_text("utf-8"), origin=str(path))
    except FileNotFoundError:
        return Diagnosis("note", "evidence", f"{path}: not there yet: run kimiprobe check")
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        return Diagnosis("problem", "evidence", str(error))
    now = datetime.now(UTC)
    old = [row for row in evidence.endpoints.values() if row.status_at(now) != row.status]
    text = f"{path}: {len(evidence.endpoints)} endpoints, {len(old)} older than {evidences.FRESH_FOR.days} days"
    return Diagnosis("note" if old else "ok", "evidence", text)


def _keys(catalog: Catalog, environment: Mapping[str, str]) -> Iterator[Diagnosis]:
    keys, missing = keys_of(catalog, environment)
    for provider in catalog.providers.values():
        if provider.name in keys:
            found = len(provider.keys(environment))
            text = f"{provider.key_env} is set" if provider.key_env else f"{provider.title} needs none"
            text += f" ({found} keys)" if found > 1 else ""
            yield Diagnosis("ok", "key", text)
        else:
            is_set = bool(environment.get(provider.key_env, "").strip())
            yield Diagnosis("problem" if is_set else "note", "key", missing[provider.name])
    if not keys:
        yield Diagnosis("problem", "key", "no key at all: live runs need one; simulated ones none")


def _of_each(
    providers: Iterable[Provider], ask: Callable[[Transport, Provider], Coroutine[Any, Any, Diagnosis]]
) -> list[Diagnosis]:
    """Run the check `ask` for all providers concurrently; return the diagnoses in the order of the providers."""

    async def answers() -> list[Diagnosis]:
        async with aclosing(Transport()) as transport:
            return await asyncio.gather(*(ask(transport, provider) for provider in providers))

    return run(answers())


async def _host(transport: Transport, provider: Provider) -> Diagnosis:
    """Check whether the provider's host gives any HTTP answer within 5 seconds. No key is sent."""
    try:
        async with asyncio.timeout(REACH_S):
            request = HttpRequest("GET", f"{provider.base_url}/models", {}, b"")
            async with transport.send(request):
                return Diagnosis("ok", "host", f"{provider.base_url} answers")
    except TimeoutError:
        problem = f"does not answer within {REACH_S:g} s"
    except ExchangeError as error:
        problem = f"is not reached: {error.reason}"
    return Diagnosis("note", "host", f"{provider.base_url} {problem}")


async def _account(transport: Transport, provider: Provider, key: str) -> Diagnosis:
    try:
        found = await account_of(transport, provider, key)
    except ExchangeError as error:
        return Diagnosis(
            "problem" if error.error_class == "account" else "note", "account", f"{provider.title}: {error}"
        )
    if found is None or found.left is None:
        return Diagnosis("note", "account", f"{provider.title}: it does not say what is left")
    of = f" of the key's limit of {found.limit:.2f}" if found.limit is not None else ""
    text = f"{provider.title}: {found.left:.2f} {found.currency}{of} left"
    return Diagnosis("problem" if found.left <= 0 else "ok", "account", text)
