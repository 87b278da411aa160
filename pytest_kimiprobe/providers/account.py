"""Reads the remaining credit of a key's account from the providers that report it: OpenRouter and Moonshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from routing.catalog.model import Provider
from routing.errors import ProviderFailure
from routing.transport import HttpRequest, Transport
from routing.wire import wire_named
from routing.wire.error_bodies import fault
from routing.wire.json_fields import mapping, whole_object


@dataclass(frozen=True, slots=True)
class Account:
    """Remaining credit `left` (None if unknown) and the key's `limit` (None if it has none), in `currency`."""

    left: Decimal | None
    limit: Decimal | None = None
    currency: str = "USD"


async def account_of(transport: Transport, provider: Provider, key: str, *, timeout_s: float = 10.0) -> Account | None:
    """Ask for the account of this key; None if the provider has no such API. Raises ExchangeError."""
    if provider.account == "openrouter":
        key_page = parse_openrouter_key(*await get(transport, provider, key, "/key", timeout_s=timeout_s))
        credit = parse_openrouter_credits(*await get(transport, provider, key, "/credits", timeout_s=timeout_s))
        known = [left for left in (key_page.left, credit.left) if left is not None]
        return Account(min(known, default=None), key_page.limit)
    if provider.account.startswith("moonshot"):
        page = await get(transport, provider, key, "/users/me/balance", timeout_s=timeout_s)
        return parse_moonshot_balance(*page, currency="CNY" if provider.account == "moonshot-cny" else "USD")
    return None


def parse_openrouter_key(status: int, headers: Mapping[str, str], body: bytes) -> Account:
    """Parse `GET /key`: the limit of the key. The field `rate_limit` is obsolete."""
    data = page_data(status, headers, body)
    return Account(_amount(data.get("limit_remaining")), _amount(data.get("limit")))


def parse_openrouter_credits(status: int, headers: Mapping[str, str], body: bytes) -> Account:
    """Parse `GET /credits`: credit bought minus credit used; negative if overdrawn."""
    data = page_data(status, headers, body)
    bought, used = _amount(data.get("total_credits")), _amount(data.get("total_usage"))
    return Account(None if bought is None or used is None else bought - used)


def parse_moonshot_balance(status: int, headers: Mapping[str, str], body: bytes, *, currency: str = "USD") -> Account:
    """Parse `GET /users/me/balance`: cash and vouchers together."""
    return Account(_amount(page_data(status, headers, body).get("available_balance")), None, currency)


async def get(
    transport: Transport, provider: Provider, key: str, path: str, *, timeout_s: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Request a page of the provider with the key; returns status, headers and body. Raises ExchangeError."""
    headers = dict(wire_named(provider.wire).authorization(key))
    request = HttpRequest("GET", provider.base_url + path, headers, b"", provider.hosts)
    async with transport.send(request, timeout_s=timeout_s) as response:
        body = b"".join([chunk async for chunk in response.chunks])
        return response.status, response.headers, body


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
