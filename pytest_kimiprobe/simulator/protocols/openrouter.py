"""OpenRouter's extensions: choice of upstreams, `openrouter_metadata`, and the GET responses for models and credit."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Any

from ..behaviour.refusals import Refusal
from ..behaviour.served_models import SimulatedModel, SimulatedPrice, SimulatedUpstream
from ..conversation import JsonObject

_SAMPLING = ("include_reasoning", "max_tokens", "reasoning", "response_format", "stop", "temperature")
PARAMETERS = [*_SAMPLING, "tool_choice", "tools", "top_p"]
"""Request parameters that every simulated upstream supports."""
_UNIVERSAL = ("model", "messages", "stream", "stream_options", "provider", "usage", "user", "models", "debug")
"""Request fields that OpenRouter handles itself. `require_parameters` does not demand them of an upstream."""


def candidates(model: SimulatedModel, body: JsonObject) -> list[SimulatedUpstream]:
    """The upstreams that a request may be sent to, in the order in which they are tried.

    Those in `provider.order` come first, in that order. The others follow, the cheapest first. If
    `provider.allow_fallbacks` is false, only the first upstream is returned. Raises Refusal (404) if no upstream is
    allowed, or if `provider.require_parameters` is set and the request has an unsupported parameter.
    """
    preferences: JsonObject = body.get("provider") or {}
    allowed = [upstream for upstream in model.upstreams if _allowed(upstream, preferences)]
    if not allowed:
        raise _not_found("No allowed providers are available for the selected model.")
    if preferences.get("require_parameters") and not set(body) <= {*PARAMETERS, *_UNIVERSAL, "session_id"}:
        raise _not_found("No endpoints found that can handle the requested parameters.")
    cheapest = sorted(allowed, key=lambda upstream: upstream.price.output + upstream.price.input)
    preferred = [upstream for name in _names(preferences.get("order")) for upstream in cheapest if _is(upstream, name)]
    ordered = list(dict.fromkeys([*preferred, *cheapest]))
    return ordered if preferences.get("allow_fallbacks", True) else ordered[:1]


def attempt_entry(model: SimulatedModel, upstream: SimulatedUpstream, status: int) -> JsonObject:
    """The entry in `openrouter_metadata` for one attempt at an upstream. `status` is the HTTP status of the attempt."""
    return {"model": model.slug, "provider": upstream.title, "status": status}


def route_metadata(
    model: SimulatedModel, upstreams: Iterable[SimulatedUpstream], chosen: SimulatedUpstream, attempts: list[JsonObject]
) -> JsonObject:
    """The value of `openrouter_metadata` (SDK 1.3.84): available upstreams, the one that answered, and attempts."""
    available = [
        {"model": model.slug, "provider": upstream.title, "selected": upstream is chosen} for upstream in upstreams
    ]
    return {
        "requested": model.id,
        "strategy": "direct",
        "region": None,
        "summary": f"available={len(available)}, selected={chosen.title}",
        "attempt": len(attempts),
        "attempts": attempts,
        "is_byok": False,
        "endpoints": {"total": len(available), "available": available},
    }


def _not_found(sentence: str) -> Refusal:
    return Refusal(404, {"error": {"message": sentence, "code": 404}, "user_id": "user_simulated"})


def _names(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is(upstream: SimulatedUpstream, name: str) -> bool:
    """Whether `name` means this upstream. Upper and lower case are the same.

    A name can be the upstream's tag, the part of the tag before the slash, or the upstream's title.
    """
    return name.lower() in (upstream.tag, upstream.tag.split("/")[0], upstream.title.lower())


def _allowed(upstream: SimulatedUpstream, preferences: JsonObject) -> bool:
    only, ignored = _names(preferences.get("only")), _names(preferences.get("ignore"))
    quantizations = _names(preferences.get("quantizations"))
    return (
        (not only or any(_is(upstream, name) for name in only))
        and not any(_is(upstream, name) for name in ignored)
        and (not quantizations or upstream.quantization in quantizations)
        and _affordable(upstream.price, preferences.get("max_price"))
    )


def _affordable(price: SimulatedPrice, most: Any) -> bool:
    """Whether a price is within the limits `most`, the value of `provider.max_price` in USD per million tokens.

    Limits that are not numbers are ignored.
    """
    limits = most if isinstance(most, dict) else {}
    return _within(price.input, limits.get("prompt")) and _within(price.output, limits.get("completion"))


def _within(price: Decimal, limit: Any) -> bool:
    try:
        return price <= Decimal(str(limit)) / 1_000_000
    except InvalidOperation:
        return True


def models_page(models: Iterable[SimulatedModel]) -> JsonObject:
    """The body of the response to `GET /models`. Aliases, whose ids begin with `~`, are left out."""
    listed = [_model(model) for model in models if not model.id.startswith("~")]
    return {"data": listed, "total_count": len(listed), "links": {"next": None, "prev": None}}


def _model(model: SimulatedModel) -> JsonObject:
    return {
        **_constant("model"),
        "id": model.id,
        "canonical_slug": model.slug,
        "name": model.id,
        "context_length": model.context,
        "pricing": _pricing(model.price),
        "supported_parameters": PARAMETERS,
        "links": {"details": f"/api/v1/models/{model.id}/endpoints"},
    }


def endpoints_page(model: SimulatedModel) -> JsonObject:
    """The body of the response to `GET /models/{author}/{slug}/endpoints`: the model and its upstreams."""
    return {"data": {**_model(model), "endpoints": [_endpoint(model, upstream) for upstream in model.upstreams]}}


def _endpoint(model: SimulatedModel, upstream: SimulatedUpstream) -> JsonObject:
    return {
        **_constant("endpoint"),
        "name": f"{upstream.title} | {model.slug}",
        "model_id": model.id,
        "model_name": model.id,
        "tag": upstream.tag,
        "provider_name": upstream.title,
        "quantization": upstream.quantization,
        "context_length": model.context,
        "pricing": _pricing(upstream.price),
        "supported_parameters": PARAMETERS,
    }


def _pricing(price: SimulatedPrice) -> JsonObject:
    return {
        "prompt": _plain(price.input),
        "completion": _plain(price.output),
        "input_cache_read": _plain(price.cached),
        "request": "0",
        "image": "0",
        "discount": 0,
    }


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"


def account_page(name: str) -> JsonObject:
    """The body of the response to `GET /key` or `GET /credits`."""
    return {"data": _constant(name)}


@cache
def _constant(name: str) -> JsonObject:
    """The fields of a page, or of a part of one, that openrouter_pages.yaml gives."""
    import yaml

    pages: JsonObject = yaml.safe_load(
        resources.files(__package__).joinpath("openrouter_pages.yaml").read_text("utf-8")
    )
    fields: JsonObject = pages[name]
    return fields
