"""Upstreams, prices and credit are read from the providers' pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from pytest_kimiprobe.monitor.cli.doctor import doctor
from pytest_kimiprobe.providers.account import Account, account_of, openrouter_account, page_data
from pytest_kimiprobe.providers.discovery import Upstream, upstreams_of
from pytest_kimiprobe.simulator import Simulator, load_scenario
from routing import catalog
from routing.catalog.model import Price
from routing.errors import AccountError, ProviderFailure
from routing.transport import Transport

T = TypeVar("T")
DAY = date(2026, 11, 23)
ENDPOINT = {
    "name": "Novita | moonshotai/kimi-k2.6",
    "tag": "novita/fp8",
    "provider_name": "Novita",
    "quantization": "fp8",
    "context_length": 262144,
    "status": 0,
    "pricing": {"prompt": "0.0000008", "completion": "0.0000034", "input_cache_read": "0.00000016"},
    "supported_parameters": ["tools", "tool_choice"],
    "supports_tool_choice": {"auto": True, "none": True, "required": False, "function": True},
    "uptime_last_30m": 99.5,
}


def page(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(load_scenario("healthy")) as running:
        yield running


def asked(work: Callable[[Transport], Awaitable[T]]) -> T:
    async def run() -> T:
        transport = Transport()
        try:
            return await work(transport)
        finally:
            await transport.aclose()

    return asyncio.run(run())


def test_an_upstream_has_tag_prices_and_capabilities() -> None:
    """Prices per token become prices per million tokens; `function` becomes `named`."""
    (upstream,) = upstreams_of({"endpoints": [ENDPOINT]}, DAY)
    price = Price(DAY, Decimal("0.8"), Decimal("0.16"), Decimal("3.4"), "openrouter", DAY)
    assert upstream == Upstream("novita/fp8", price, frozenset({"auto", "none", "named"}))


def test_what_an_upstream_does_not_say_is_unknown() -> None:
    """Never zero: a price of zero would make it the cheapest."""
    (upstream,) = upstreams_of({"endpoints": [{"tag": "x", "pricing": {"prompt": "free"}}, {}, 3]}, DAY)
    assert upstream == Upstream("x")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", page({}), page({"endpoints": 3}), page([1])])
def test_a_malformed_page_is_a_failure_of_the_provider(body: bytes) -> None:
    """It has a reason code instead of a traceback."""
    with pytest.raises(ProviderFailure, match="malformed_body"):
        upstreams_of(page_data(200, {}, body), DAY)


def test_a_refused_key_is_an_account_error(simulator: Simulator) -> None:
    """The error classes are those of any exchange."""
    body = b'{"error": {"code": 401, "message": "No auth credentials found"}}'
    with pytest.raises(AccountError, match="unauthorized"):
        page_data(401, {}, body)


def test_credit_is_what_was_bought_less_what_was_used() -> None:
    """It can be negative; a key may have no limit."""
    unlimited = {"limit": None, "limit_remaining": None, "usage": 3}
    assert openrouter_account(unlimited, {"total_credits": 5, "total_usage": 6.25}) == Account(Decimal("-1.25"))
    assert openrouter_account(unlimited, {}) == Account(None)


@pytest.mark.parametrize(
    ("name", "left", "currency"),
    [("openrouter", "90", "USD"), ("moonshot", "49.5", "USD"), ("moonshot-cn", "49.5", "CNY")],
)
def test_remaining_credit_is_requested_over_http(simulator: Simulator, name: str, left: str, currency: str) -> None:
    """At OpenRouter it is the smaller of the key's limit and the account's credit."""
    provider = catalog.load(environment=simulator.environment()).providers[name]
    found = asked(lambda http: account_of(http, provider, "sk-simulated-key"))
    assert found is not None
    assert (found.left, found.currency) == (Decimal(left), currency)


def test_providers_without_such_an_api_are_not_asked() -> None:
    """No request is sent to them."""
    provider = catalog.load(environment={"KIMIPROBE_BASE_URL_GROQ": "http://127.0.0.1:9/v1"}).providers["groq"]
    assert asked(lambda http: account_of(http, provider, "gsk_simulated")) is None


def test_doctor_shows_remaining_credit_and_no_key(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is sent only with --account, and only to its provider."""
    for name, value in simulator.environment().items():
        monkeypatch.setenv(name, value)
    before = len(simulator.requests)
    plain = CliRunner().invoke(doctor, ["--offline", "--json"])
    assert len(simulator.requests) == before
    with_accounts = CliRunner().invoke(doctor, ["--offline", "--account", "--json"])
    rows = [row["text"] for row in json.loads(with_accounts.output)["findings"] if row["topic"] == "account"]
    assert rows == [
        "OpenRouter: 90.00 USD of the key's limit of 100.00 left",
        "Moonshot: 49.50 USD left",
        "Moonshot (China): 49.50 CNY left",
    ]
    for key in (value for name, value in simulator.environment().items() if name.endswith(("_KEY", "_TOKEN"))):
        assert key not in plain.output + with_accounts.output
