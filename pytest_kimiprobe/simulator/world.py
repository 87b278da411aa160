"""The models, upstreams and prices of the simulated providers, read once from world.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

Thinking: TypeAlias = Literal["always", "default", "never"]


@dataclass(frozen=True, slots=True)
class Price:
    """USD per token."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def scaled(self, share: Decimal) -> Price:
        """The same price at another host, in whole tenths of a cent per million tokens."""
        step = Decimal("0.000000001")
        return Price(*((part * share).quantize(step) for part in (self.input, self.cached, self.output)))


@dataclass(frozen=True, slots=True)
class Upstream:
    """One host behind OpenRouter. `tag` is what `provider.only` pins."""

    tag: str
    title: str
    quantization: str
    price: Price


@dataclass(frozen=True, slots=True)
class Model:
    """One model id of one provider. `slug` is what answers name as `model`."""

    id: str
    slug: str
    price: Price
    context: int = 131072
    thinks: Thinking = "never"
    accepts_required: bool = False
    retired: bool = False
    upstreams: tuple[Upstream, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    prompt: int
    completion: int
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Prompt and completion."""
        return self.prompt + self.completion


def cost_parts(usage: Usage, price: Price) -> tuple[Decimal, Decimal]:
    """Cost of the prompt and of the completion in USD, exact."""
    return usage.prompt * price.input, usage.completion * price.output


@cache
def world() -> Mapping[str, Mapping[str, Model]]:
    """Models by provider and provider model id."""
    import yaml

    text = resources.files(__package__).joinpath("world.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return {provider: _models(entry) for provider, entry in data.items()}


def _models(entry: Mapping[str, Any]) -> dict[str, Model]:
    common = entry.get("upstreams", {})
    hosts = {**common, **entry.get("other_upstreams", {})}
    return {
        name: _model(name, row, {tag: hosts[tag] for tag in row.get("upstreams", common)})
        for name, row in entry["models"].items()
    }


def _model(name: str, row: Mapping[str, Any], hosts: Mapping[str, Any]) -> Model:
    price = Price(*(Decimal(part) / 1_000_000 for part in row["price"]))
    return Model(
        id=name,
        slug=row.get("slug", name),
        price=price,
        context=row.get("context", 131072),
        thinks=row.get("thinks", "never"),
        accepts_required=row.get("required", False),
        retired=row.get("retired", False),
        upstreams=tuple(
            Upstream(tag, title, quantization, price.scaled(Decimal(share)))
            for tag, (title, quantization, share) in hosts.items()
        ),
    )
