"""The simulator serves what the catalogue lists: a new endpoint there must not look broken here."""

from __future__ import annotations

from simulated import running

from pytest_kimiprobe.simulator.chat import find_model
from pytest_kimiprobe.simulator.world import world
from routing import catalog


def test_every_endpoint_that_is_not_retired_is_served() -> None:
    """Provider model id and upstream tag of each endpoint exist in the simulated world."""
    for endpoint in catalog.load().endpoints.values():
        if endpoint.retired_on is not None:
            continue
        provider, _, rest = endpoint.id.partition("/")
        name, _, tag = rest.partition("+")
        model = find_model(provider, name)
        assert not tag or tag in {host.tag for host in model.upstreams}, endpoint.id


def test_the_environment_is_what_the_catalogue_reads() -> None:
    """Every provider's base URL and key variable is set, and the base URL leads here."""
    with running() as simulator:
        environment = simulator.environment()
        url = simulator.url
        providers = catalog.load(environment=environment).providers
    assert {provider.base_url.startswith(f"{url}/") for provider in providers.values()} == {True}
    assert {provider.key_env for provider in providers.values()} == {
        name for name in environment if "BASE_URL" not in name
    }
    assert set(world()) <= set(providers)
