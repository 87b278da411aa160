"""Types of the catalogue: providers, models, endpoints and their dated prices. Frozen, without I/O."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from ..errors import CatalogError, KeyMissing, UnknownName
from ..redaction import ApiKey
from ..types import LOOPBACK, Answer, CostOrigin, ToolChoice, Usage
from .api_keys import keys_in

ALL_CHOICES = ("auto", "none", "required", "named")
_FORMER_NAMES = {"weightsbiases": "wandb"}
"""Upstream names that are not spelled like their tags -> the beginning of the tag."""
_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in USD per million tokens, valid from the day `since`.

    `origin` is the source of the figures, `checked` the day on which they were last compared with it. `cache_write` is
    the price of prompt tokens that are written to a cache; None means the price `input`.
    """

    since: date
    input: Decimal
    cached_input: Decimal
    output: Decimal
    origin: str
    checked: date
    cache_write: Decimal | None = None

    def cost(self, usage: Usage) -> Decimal:
        """The cost of these tokens in USD.

        Cached prompt tokens, and those written to a cache, are priced separately.
        """
        write = self.input if self.cache_write is None else self.cache_write
        fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
        total = (
            fresh * self.input
            + usage.cached_tokens * self.cached_input
            + usage.cache_write_tokens * write
            + usage.completion_tokens * self.output
        )
        return total / _MILLION


@dataclass(frozen=True, slots=True)
class Provider:
    """An account behind one API. `key_env` is the variable that holds its keys; empty if it needs no key.

    `wire` names the protocol. `quirks` are deviations from that protocol, which the protocol's module handles
    (docs/providers.md). `reasoning_field` is the message field in which the provider reads the reasoning of earlier
    turns; empty if it reads none.
    """

    name: str
    title: str
    wire: str
    base_url: str
    hosts: frozenset[str]
    key_env: str = ""
    key_page: str = ""
    quirks: frozenset[str] = frozenset()
    reasoning_field: str = ""
    account: str = ""
    """Name of the API that reports how much money is left on the account; empty if there is none."""

    @property
    def local(self) -> bool:
        """Whether the base URL points at this machine."""
        return (urlsplit(self.base_url).hostname or "") in LOOPBACK

    def key(self, environment: Mapping[str, str] | None = None) -> str:
        """The provider's first key from the environment; empty if it needs none. Raises KeyMissing as `keys` does."""
        return self.keys(environment)[0]

    def keys(self, environment: Mapping[str, str] | None = None) -> tuple[ApiKey, ...]:
        """The provider's keys from the environment, in the order to try them; one empty key if it needs none.

        They are separated by commas in the variable `key_env`, or in variables of that name with `_2`, `_3` and so on.
        A placeholder such as `your-key-here` is passed over. Raises KeyMissing, which names the variable and never
        shows a value, if no key is left.
        """
        if not self.key_env:
            return (ApiKey(),)
        found, problem = keys_in(os.environ if environment is None else environment, self.key_env)
        if not found:
            del environment  # a traceback may be printed with locals
            where = (
                f"get a key for {self.title} at {self.key_page}" if self.key_page else f"set it to {self.title}'s key"
            )
            raise KeyMissing(f"{problem}; {where}", where=self.key_env)
        return found

    def at(self, base_url: str, *, where: str) -> Provider:
        """The same provider with another base URL.

        Raises CatalogError if `base_url` is not a base URL, or if the provider's key must not be sent there.
        """
        moved = replace(self, base_url=base_url.rstrip("/"))
        try:
            parts = urlsplit(moved.base_url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise CatalogError("not a URL", where=where) from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise CatalogError("a base URL holds neither user, password, query nor fragment", where=where)
        if not all("!" <= char <= "~" and char not in '\\"<>' for char in moved.base_url) or "%" in moved.base_url:
            raise CatalogError("a base URL holds plain ASCII letters only", where=where)
        if parts.scheme not in {"http", "https"} or not host:
            raise CatalogError("a base URL begins with https:// or http:// and a host", where=where)
        if host in LOOPBACK or not self.key_env:
            return moved
        if parts.scheme != "https":
            raise CatalogError("https is needed: a key would travel in clear text", where=where)
        if host not in self.hosts:
            allowed = ", ".join(sorted(self.hosts))
            raise CatalogError(f"{self.title}'s key may go to {allowed} or this machine, not to {host!r}", where=where)
        return moved


@dataclass(frozen=True, slots=True)
class Model:
    """A model under the family's own name.

    `reference` is the id of the endpoint that the model's other endpoints are compared with.
    """

    name: str
    title: str
    family: str
    reference: str
    always_thinks: bool = False


@dataclass(frozen=True, slots=True)
class Requirements:
    """Capabilities that one request needs an endpoint to have.

    `tools`: "any" needs native or emulated tools, "native" needs native ones, "" needs none. `thinking`: True needs an
    endpoint that thinks, False needs one whose thinking can be turned off.
    """

    tools: Literal["", "any", "native"] = ""
    stream: bool = False
    vision: bool = False
    native_ids: bool = False
    dynamic_tools: bool = False
    tool_choice: ToolChoice | None = None
    thinking: bool | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A destination of requests, with the id `<provider>/<provider model id>[+<upstream tag>]`.

    `thinking` names how the endpoint's thinking is controlled: `never` if it has none, `always` if it cannot be
    controlled. `always_thinks`: the model thinks even if it is asked not to. `quirks` are deviations from the protocol
    beside those of the provider. `tool_choices` are the accepted values of `tool_choice`; `named` means an object that
    names one function.
    """

    id: str
    provider: str
    provider_model_id: str
    upstream: str | None
    model: str
    capabilities: frozenset[str] = frozenset({"tools", "stream"})
    prices: tuple[Price, ...] = ()
    retired_on: date | None = None
    tool_choices: frozenset[str] = frozenset(ALL_CHOICES)
    family: str = ""
    thinking: str = "never"
    quirks: frozenset[str] = frozenset()
    always_thinks: bool = False

    @property
    def thinks(self) -> bool:
        """Whether the endpoint thinks by default."""
        return self.thinking != "never"

    def is_served_by(self, name: str) -> bool:
        """Whether `name`, which a gateway reports for an answer, can be the upstream that this endpoint pins.

        The name and the tag are spelled in different ways, such as `Moonshot AI` and `moonshotai/int4`. True if no
        upstream is pinned.
        """
        if self.upstream is None:
            return True
        tag = self.upstream.partition("/")[0].lower()
        words = re.findall(r"\w+", name.lower())
        told, pinned = "".join(words), "".join(re.findall(r"\w+", tag))
        told = _FORMER_NAMES.get(told, told)
        return told.startswith(pinned) or pinned.startswith(told) or set(tag.split("-")) <= set(words)

    def unmet(self, needs: Requirements) -> str:
        """The needs that this endpoint does not meet, as predicates ("has no tools and does not stream").

        Empty if all needs are met.
        """
        able, choice = self.capabilities, needs.tool_choice
        form = choice if isinstance(choice, str) or choice is None else "named"
        kinds = {"tools"} if needs.tools == "native" else {"tools", "tools:emulated"}
        rules = (
            (needs.tools and not able & kinds, "has no tools"),
            (needs.stream and "stream" not in able, "does not stream"),
            (needs.vision and "vision" not in able, "takes no images"),
            (needs.native_ids and "native_ids" not in able, "has no native ids"),
            (needs.dynamic_tools and "dynamic_tools" not in able, "takes no tools in messages"),
            (form is not None and form not in self.tool_choices, f"does not accept tool_choice {str(form)[:20]}"),
            (needs.thinking and not self.thinks, "does not think"),
            (needs.thinking is False and not self._can_stop_thinking, "cannot stop thinking"),
        )
        return " and ".join(words for is_unmet, words in rules if is_unmet)

    @property
    def _can_stop_thinking(self) -> bool:
        return not self.always_thinks and self.thinking not in {"always", "never", "reasoning_effort", "between_tools"}

    def price_at(self, day: date) -> Price | None:
        """The price that applies on `day`; None if no price is known.

        An unknown price counts as the highest one and never as zero.
        """
        known = [price for price in self.prices if price.since <= day]
        return max(known, key=lambda price: price.since, default=None)

    def cost_of(self, answer: Answer, day: date | None = None) -> tuple[Decimal | None, CostOrigin]:
        """The cost of an answer in USD, and the origin of the figure.

        The provider's report is used if there is one, else the price on `day` (default: today). None if neither is
        known.
        """
        if answer.reported_cost_usd is not None:
            return answer.reported_cost_usd, "reported"
        price = self.price_at(day or datetime.now(UTC).date())
        if price is None or answer.usage is None or not answer.usage.counted:
            return None, "unknown"
        return price.cost(answer.usage), "catalog"

    def retired_at(self, day: date) -> bool:
        """Whether the catalogue says that the endpoint was retired by `day`."""
        return self.retired_on is not None and self.retired_on <= day


@dataclass(frozen=True, slots=True)
class Catalog:
    """The whole catalogue: providers and models by name, endpoints by id.

    `origin` is the file that it was read from.
    """

    default_model: str
    vision_endpoint: str
    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    endpoints: Mapping[str, Endpoint]
    origin: str = field(default="")

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """The endpoint with this id. Raises UnknownName, which lists the known ids, if there is none."""
        if endpoint_id not in self.endpoints:
            raise UnknownName(_unknown("endpoint", endpoint_id, self.endpoints))
        return self.endpoints[endpoint_id]

    def model(self, name: str) -> Model:
        """The model with this name. Raises UnknownName, which lists the known names, if there is none."""
        if name not in self.models:
            raise UnknownName(_unknown("model", name, self.models))
        return self.models[name]

    def provider(self, name: str) -> Provider:
        """The provider with this name. Raises UnknownName, which lists the known names, if there is none."""
        if name not in self.providers:
            raise UnknownName(_unknown("provider", name, self.providers))
        return self.providers[name]

    def provider_of(self, endpoint: Endpoint) -> Provider:
        """The provider that serves this endpoint."""
        return self.providers[endpoint.provider]

    def of_model(self, name: str) -> tuple[Endpoint, ...]:
        """All endpoints of a model, including retired ones, in the order of the file."""
        self.model(name)
        return tuple(endpoint for endpoint in self.endpoints.values() if endpoint.model == name)

    def dearest_at(self, day: date) -> Price:
        """A price made of the highest figures known on `day`, each of its kind.

        Used for endpoints without a known price.
        """
        known = [price for endpoint in self.endpoints.values() if (price := endpoint.price_at(day))]
        zero = Decimal(0)
        return Price(
            since=day,
            input=max((price.input for price in known), default=zero),
            cached_input=max((price.cached_input for price in known), default=zero),
            output=max((price.output for price in known), default=zero),
            origin="dearest",
            checked=day,
            cache_write=max((price.cache_write or price.input for price in known), default=zero),
        )

    def with_base_urls(self, environment: Mapping[str, str]) -> Catalog:
        """The same catalogue with the base URLs that the variables `KIMIPROBE_BASE_URL_<PROVIDER>` give.

        Raises CatalogError if a provider's key must not be sent to the host of such a URL.
        """
        changed = dict(self.providers)
        for name, provider in self.providers.items():
            variable = f"KIMIPROBE_BASE_URL_{name.upper().replace('-', '_')}"
            if url := environment.get(variable, "").strip():
                changed[name] = provider.at(url, where=variable)
        return replace(self, providers=MappingProxyType(changed))


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return f"unknown {kind} {name[:100]!r}; available: {', '.join(known)}"
