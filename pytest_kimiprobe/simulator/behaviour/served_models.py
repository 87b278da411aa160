"""Models, upstreams and prices of the simulated providers, from served_models.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

from .refusals import refusal

Thinking: TypeAlias = Literal["always", "default", "never"]


@dataclass(frozen=True, slots=True)
class SimulatedPrice:
    """Prices of a model in USD per token: of input, of cached input and of output."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def scaled(self, share: Decimal) -> SimulatedPrice:
        """These prices times `share`, rounded to a tenth of a cent per million tokens."""
        step = Decimal("0.000000001")
        return SimulatedPrice(*((part * share).quantize(step) for part in (self.input, self.cached, self.output)))


@dataclass(frozen=True, slots=True)
class SimulatedUpstream:
    """One upstream of OpenRouter.

    `tag` is the value with which a request's `provider.only` pins it. `title` is its name in answers.
    """

    tag: str
    title: str
    quantization: str
    price: SimulatedPrice


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One model of a provider.

    `id` is the provider model id, and `slug` the value of `model` in answers. `context` is in tokens.
    `k3` says whether Moonshot's API accepts Kimi K3's features for this model: `tool_choice: required` while it thinks,
    tools that are declared in system messages, and thinking efforts. A `retired` model is refused.
    """

    id: str
    slug: str
    price: SimulatedPrice
    context: int = 131072
    thinks: Thinking = "never"
    k3: bool = False
    retired: bool = False
    upstreams: tuple[SimulatedUpstream, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedUsage:
    """Numbers of tokens that one request used: prompt, completion, and the reasoning that is part of the completion."""

    prompt: int
    completion: int
    reasoning: int = 0


def cost_parts(usage: SimulatedUsage, price: SimulatedPrice) -> tuple[Decimal, Decimal]:
    """Cost of the prompt and cost of the completion, in USD and not rounded."""
    return usage.prompt * price.input, usage.completion * price.output


@cache
def served_models() -> Mapping[str, Mapping[str, SimulatedModel]]:
    """The models of served_models.yaml, retired ones included, by provider and by provider model id."""
    import yaml

    text = resources.files(__package__).joinpath("served_models.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return {provider: _models(entry) for provider, entry in data.items()}


def find_model(provider: str, name: str) -> SimulatedModel:
    """The provider's model with the name that a request gives. OpenRouter ignores a suffix after a colon.

    Raises Refusal with the provider's error answer if the model is unknown or retired.
    """
    models = served_models()[provider.removesuffix("-cn")]
    model = models.get(name.rsplit(":", 1)[0] if provider == "openrouter" else name)
    if model is None:
        named = provider != "openrouter" or "/" in name
        raise refusal(provider, "unknown_model" if named else "invalid_model", model=name)
    if model.retired:
        raise refusal(provider, "retired", model=name)
    return model


def _models(entry: Mapping[str, Any]) -> dict[str, SimulatedModel]:
    common = entry.get("upstreams", {})
    hosts = {**common, **entry.get("other_upstreams", {})}
    return {
        name: _model(name, row, {tag: hosts[tag] for tag in row.get("upstreams", common)})
        for name, row in entry["models"].items()
    }


def _model(name: str, row: Mapping[str, Any], hosts: Mapping[str, Any]) -> SimulatedModel:
    price = SimulatedPrice(*(Decimal(part) / 1_000_000 for part in row["price"]))
    upstreams = tuple(
        SimulatedUpstream(tag, title, quantization, price.scaled(Decimal(share)))
        for tag, (title, quantization, share) in hosts.items()
    )
    return SimulatedModel(name, **{"slug": name, **row, "price": price, "upstreams": upstreams})
