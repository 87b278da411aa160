"""The catalogue's prices, compared with the price lists that they come from."""

from __future__ import annotations

from datetime import UTC, datetime, time

import genai_prices
import pytest

from routing import catalog
from routing.catalog import Endpoint, Price
from routing.types import Usage

CATALOG = catalog.load(environment={})
PROVIDERS = {
    "moonshot": "moonshotai",
    "openrouter": "openrouter",
    "groq": "groq",
    "together": "together",
    "anthropic": "anthropic",
}
PINNED = {
    "novita/fp8": ("novita", "moonshotai/kimi-k2.6"),
    "fireworks/fp8": ("fireworks", "accounts/fireworks/models/kimi-k2p6"),
    "moonshotai/int4": ("moonshotai", "kimi-k2.6"),
}
"""Upstreams of OpenRouter's whose own price list says what they take: OpenRouter adds nothing to it."""
OTHER_LISTS = {
    "openrouter/moonshotai/kimi-k2.6+wandb/fp8": "genai-prices has no W&B",
    "openrouter/moonshotai/kimi-k2.6+deepinfra/fp4": "genai-prices has no DeepInfra",
    "together/moonshotai/Kimi-K2.6": "genai-prices dropped it when it was retired",
    "together/moonshotai/Kimi-K2.7-Code": "genai-prices dropped it when it was retired",
}
"""Endpoints whose prices LiteLLM's table gave alone, and why."""
UNPRICED = {"moonshot-cn": "billed in CNY", "replicate": "billed by the second of computing"}
PRICED = [(endpoint, price) for endpoint in CATALOG.endpoints.values() for price in endpoint.prices]


def named(value: object) -> str:
    return value.id if isinstance(value, Endpoint) else f"{value.since}" if isinstance(value, Price) else str(value)


@pytest.mark.parametrize(
    ("endpoint", "price"), [(e, price) for e, price in PRICED if e.id not in OTHER_LISTS], ids=named
)
def test_the_catalogue_and_genai_prices_agree(endpoint: Endpoint, price: Price) -> None:
    """On every dated price: tokens of each kind cost the same from that day on.

    Kinds: fresh, cached, cache-written, completed.
    """
    assert price.origin == "genai-prices"
    provider, model = PINNED.get(endpoint.upstream or "", (PROVIDERS[endpoint.provider], endpoint.provider_model_id))
    for ours in (
        Usage(1_000_000, 100_000),
        Usage(1_000_000, 100_000, cached_tokens=400_000),
        Usage(1_000_000, 0, cache_write_tokens=1_000_000),
    ):
        told = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=ours.prompt_tokens,
                cache_read_tokens=ours.cached_tokens,
                cache_write_tokens=ours.cache_write_tokens,
                output_tokens=ours.completion_tokens,
            ),
            model_ref=model,
            provider_id=provider,
            genai_request_timestamp=datetime.combine(price.since, time(12), UTC),
        )
        assert price.cost(ours) == told.total_price


def test_every_price_has_a_list_and_a_day() -> None:
    """No endpoint is silently left out of the comparison: those without a price, or with another list, are named."""
    assert {e.id for e, price in PRICED if price.origin != "genai-prices"} == OTHER_LISTS.keys()
    assert {e.provider for e in CATALOG.endpoints.values() if not e.prices} == UNPRICED.keys()
    assert all(price.since <= price.checked for _, price in PRICED)


@pytest.mark.parametrize("endpoint_id", OTHER_LISTS)
def test_what_genai_prices_does_not_know_is_not_known(endpoint_id: str) -> None:
    """As soon as genai-prices knows such a price, it must be compared too."""
    endpoint = CATALOG.endpoint(endpoint_id)
    provider = (endpoint.upstream or endpoint.provider).partition("/")[0]
    with pytest.raises(LookupError):
        genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1), model_ref=endpoint.provider_model_id, provider_id=provider
        )
