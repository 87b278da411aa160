"""The simulator serves the endpoints of the catalogue, so that a new one does not look broken."""

from __future__ import annotations

from simulated import running

from pytest_kimiprobe.simulator.behaviour.served_models import find_model, served_models
from routing import catalog


def test_every_endpoint_that_is_not_retired_is_served() -> None:
    """Provider model id and upstream tag of each endpoint exist in the simulator."""
    for endpoint in catalog.load().endpoints.values():
        if endpoint.retired_on is not None:
            continue
        provider, _, rest = endpoint.id.partition("/")
        name, _, tag = rest.partition("+")
        model = find_model(provider, name)
        assert not tag or tag in {host.tag for host in model.upstreams}, endpoint.id


def test_the_environment_is_what_the_catalogue_reads() -> None:
    """Each provider has a base URL of the simulator and a key variable."""
    with running() as simulator:
        environment = simulator.environment()
        url = simulator.url
        providers = catalog.load(environment=environment).providers
    assert {provider.base_url.startswith(f"{url}/") for provider in providers.values()} == {True}
    assert {provider.key_env for provider in providers.values()} == {
        name for name in environment if "BASE_URL" not in name
    }
    assert set(served_models()) <= set(providers)
