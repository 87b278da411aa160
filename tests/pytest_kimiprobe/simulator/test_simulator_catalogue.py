"""The simulator serves the endpoints of the catalogue, so that a new one does not look broken."""

from __future__ import annotations

from simulated import running

from pytest_kimiprobe.simulator.behaviour.served_models import find_model, served_models
from pytest_kimiprobe.simulator.protocols.openai_in import thinks
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


def test_catalogue_and_simulator_agree_on_thinking() -> None:
    """An endpoint whose thinking can be stopped stops it, and the others do not."""
    off = {"thinking": {"type": "disabled"}, "reasoning": {"effort": "none"}}
    for endpoint in catalog.load().endpoints.values():
        if endpoint.retired_on is None and endpoint.thinking != "between_tools":
            model = find_model(endpoint.provider, endpoint.provider_model_id)
            stops = endpoint.unmet(catalog.Requirements(thinking=False)) == ""
            assert (thinks(model, {}), stops) == (endpoint.thinks, endpoint.thinks and not thinks(model, off)), endpoint


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
