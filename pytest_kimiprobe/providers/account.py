"""Reads the remaining credit of a key's account from the providers that report it: OpenRouter and Moonshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from routing.catalog import Catalog, Provider
from routing.errors import KeyMissing, ProviderFailure
from routing.redaction import ApiKey
from routing.transport import HttpRequest, Transport
from routing.wire import wire_named
from routing.wire.anthropic_request import VERSION
from routing.wire.error_bodies import fault
from routing.wire.json_fields import mapping, whole_object


@dataclass(frozen=True, slots=True)
class Account:
    """Credit of a key's account, in `currency`.

    `left` is the remaining credit (None if unknown), `limit` the key's limit (None if it has none).
    """

    left: Decimal | None
    limit: Decimal | None = None
    currency: str = "USD"


def keys_of(catalog: Catalog, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The keys that the environment holds, and for each other provider why there is none; both by provider."""
    keys, missing = {}, {}
    for name, provider in catalog.providers.items():
        try:
            keys[name] = provider.key(environment)
        except KeyMissing as problem:
            missing[name] = str(problem)
    return keys, missing


async def account_of(transport: Transport, provider: Provider, key: str) -> Account | None:
    """Request the credit of the key's account; None if the provider does not report it. Raises ExchangeError."""
    key = ApiKey(key)  # a traceback may be printed with locals
    if provider.account == "openrouter":
        limits = await page_of(transport, provider, key, "/key")
        return openrouter_account(limits, await page_of(transport, provider, key, "/credits"))
    if provider.account.startswith("moonshot"):
        page = await page_of(transport, provider, key, "/users/me/balance")
        currency = "CNY" if provider.account == "moonshot-cny" else "USD"
        return Account(_amount(page.get("available_balance")), None, currency)  # cash and vouchers together
    return None


def openrouter_account(key: Mapping[str, Any], credit: Mapping[str, Any]) -> Account:
    """The account, from the data of OpenRouter's pages `/key` and `/credits`.

    `left` is the smaller of two amounts: what the key's limit still allows, and the credit that remains.
    Credit is negative if the account is overdrawn. The field `rate_limit` of `/key` is obsolete.
    """
    bought, used = _amount(credit.get("total_credits")), _amount(credit.get("total_usage"))
    left = [_amount(key.get("limit_remaining")), None if bought is None or used is None else bought - used]
    return Account(min((amount for amount in left if amount is not None), default=None), _amount(key.get("limit")))


async def page_of(
    transport: Transport, provider: Provider, key: str, path: str, *, timeout_s: float = 10.0
) -> Mapping[str, Any]:
    """Request a page of the provider with the key, and return its `data`. Raises ExchangeError."""
    key = ApiKey(key)
    return page_data(*await whole_page(transport, provider, key, path, timeout_s=timeout_s))


async def whole_page(
    transport: Transport, provider: Provider, key: str, path: str, *, timeout_s: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Request a page of the provider with the key; returns status, headers and body. Raises ExchangeError."""
    key = ApiKey(key)
    request = _page_request(provider, key, path)
    async with transport.send(request, timeout_s=timeout_s) as response:
        return response.status, response.headers, b"".join([chunk async for chunk in response.chunks])


def _page_request(provider: Provider, key: str, path: str) -> HttpRequest:
    """The request for a page. No frame that may raise an error has its headers as a local variable."""
    headers = dict(wire_named(provider.wire).authorization(key))
    if provider.wire == "anthropic":
        headers["anthropic-version"] = VERSION
    return HttpRequest("GET", provider.base_url + path, headers, b"", provider.hosts)


def page_data(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """The member `data` of a page. Raises ExchangeError for an error status or a page without `data`."""
    page = whole_object(status, headers, body)
    if status >= 300 or page.get("error"):
        raise fault(status, page.get("error") or page, headers)
    data = mapping(page.get("data"))
    if not data:
        raise ProviderFailure("malformed_body", "the page holds no data", status=status, phase="parse")
    return data


def _amount(value: Any) -> Decimal | None:
    """A finite amount, which may be negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    amount = Decimal(str(value))
    return amount if amount.is_finite() else None
