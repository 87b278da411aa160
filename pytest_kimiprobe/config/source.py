"""Source of a run's answers (live, simulator or replay), read from `--kimiprobe-source`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from routing.catalog import Catalog, Endpoint

from ..verdicts import Source

Kind = Literal["live", "simulator", "replay"]


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """A parsed source: `live`, `simulator[:SCENARIO]` or `replay:PATH`."""

    kind: Kind
    detail: str = ""

    @classmethod
    def read(cls, text: str) -> SourceChoice:
        """Parse the option's value. Raises UsageError listing the valid forms."""
        kind, _, detail = text.partition(":")
        if kind == "live" and not detail:
            return cls("live")
        if kind == "simulator":
            return cls("simulator", detail or "mixed")
        if kind == "replay" and detail:
            return cls("replay", detail)
        raise pytest.UsageError(f"unknown source {text!r}; available: live, simulator, simulator:SCENARIO, replay:PATH")

    @property
    def path(self) -> Path:
        """Path of the recordings of a replay."""
        return Path(self.detail)

    def environment(self) -> Mapping[str, str]:
        """Environment that keys and base URLs are read from; empty unless the run is live."""
        return os.environ if self.kind == "live" else {}

    def stamp(self, catalog: Catalog, endpoints: list[Endpoint]) -> Source:
        """The source written into results: `local` if the base URL of a probed provider points to this machine."""
        if self.kind != "live":
            return self.kind
        return "local" if any(catalog.provider_of(endpoint).local for endpoint in endpoints) else "live"


def no_keys(catalog: Catalog) -> str:
    """Message for a run without any key: one line for each provider, and the option that needs no key."""
    keyed = [provider for provider in catalog.providers.values() if provider.key_env]
    regions = {p.name: p for p in keyed if any(p.name.startswith(f"{other.name}-") for other in keyed)}
    width = max(len(provider.key_env) for provider in keyed)
    lines = []
    for provider in keyed:
        if provider.name not in regions:
            also = [f"; {r.title}: {r.key_env}" for name, r in regions.items() if name.startswith(f"{provider.name}-")]
            lines.append(f"  {provider.key_env:<{width}}  {provider.title}: {provider.key_page}{''.join(also)}")
    return "\n".join(
        [
            "no provider key is set. Set one of these, or try `pytest --kimiprobe --kimiprobe-source simulator`:",
            *lines,
        ]
    )
