"""Upstreams that a gateway lists today are probed in addition to those of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from pytest_kimiprobe.providers.discovery import discover
from pytest_kimiprobe.simulator import Simulator, load_scenario
from routing import catalog as catalogs
from routing.catalog import Catalog

TODAY = date(2026, 11, 23)
BASE = "openrouter/moonshotai/kimi-k2.6"


def bare(environment: dict[str, str], *kept: str) -> Catalog:
    """The packaged catalogue with only some of the gateway's endpoints."""
    catalog = catalogs.load(environment=environment)
    known = {name: row for name, row in catalog.endpoints.items() if not name.startswith(BASE) or name in kept}
    return replace(catalog, endpoints=known)


def test_listed_upstreams_become_endpoints_with_their_price() -> None:
    """Each is pinned by its tag; known endpoints stay as in the catalogue."""
    with Simulator(load_scenario("healthy")) as simulator:
        environment = simulator.environment()
        whole = catalogs.load(environment=environment)
        known = f"{BASE}+novita/fp8"
        found = discover(bare(environment, BASE, known), "kimi-k2.6", environment, TODAY)
    fresh = found.catalog.endpoints.keys() - {BASE, known}
    pinned = {name for name in fresh if name.startswith(f"{BASE}+")}
    assert {name for name in whole.endpoints if name.startswith(f"{BASE}+")} <= pinned | {known}
    assert all(found.catalog.endpoints[name].price_at(TODAY) for name in pinned)
    assert found.catalog.endpoints[known] == whole.endpoints[known]
    assert f"{len(pinned)} of them new" in found.notes[0]


def test_an_upstream_that_is_listed_no_more_is_named_and_still_probed() -> None:
    """Its probe shows `retired` if it is gone."""
    with Simulator(load_scenario("healthy")) as simulator:
        environment = simulator.environment()
        catalog = bare(environment, BASE)
        gone = replace(catalog.endpoints[BASE], id=f"{BASE}+gone/fp1", upstream="gone/fp1")
        catalog = replace(catalog, endpoints={**catalog.endpoints, gone.id: gone})
        found = discover(catalog, "kimi-k2.6", environment, TODAY)
    assert gone.id in found.catalog.endpoints
    assert "not listed any more: gone/fp1" in found.notes[0]


@pytest.mark.parametrize("variable", ["OPENROUTER_API_KEY", "KIMIPROBE_BASE_URL_OPENROUTER"])
def test_a_gateway_that_cannot_be_asked_changes_nothing(variable: str) -> None:
    """Without a key, or if it does not answer, a note says so and the catalogue is unchanged."""
    environment = {"OPENROUTER_API_KEY": "sk-test-key", "KIMIPROBE_BASE_URL_OPENROUTER": "http://127.0.0.1:9"}
    if variable == "OPENROUTER_API_KEY":
        del environment[variable]
    catalog = catalogs.load(environment=environment)
    found = discover(catalog, "kimi-k2.6", environment, TODAY)
    assert dict(found.catalog.endpoints) == dict(catalog.endpoints)
    assert "are not known" in found.notes[0]
    assert "sk-test-key" not in found.notes[0]
