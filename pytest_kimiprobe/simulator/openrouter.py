"""OpenRouter's own part: which upstreams a request may go to, and the pages that list models, prices and credit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from .nouns import JsonObject
from .refusals import Refused
from .world import Model, Price, Upstream

PARAMETERS = [
    "include_reasoning",
    "max_tokens",
    "reasoning",
    "response_format",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
]


def candidates(model: Model, body: JsonObject) -> list[Upstream]:
    """The upstreams a request may go to, in order. Raises the 404 where none is left."""
    wishes = body.get("provider") if isinstance(body.get("provider"), dict) else {}
    wishes = wishes if isinstance(wishes, dict) else {}
    allowed = [host for host in model.upstreams if _allowed(host, wishes)]
    if not allowed:
        raise _none("No allowed providers are available for the selected model.")
    if wishes.get("require_parameters") and not _parameters(body) <= set(PARAMETERS):
        raise _none("No endpoints found that can handle the requested parameters.")
    cheapest = sorted(allowed, key=lambda host: host.price.output + host.price.input)
    wanted = _names(wishes.get("order"))
    first = [host for name in wanted for host in cheapest if _is(host, name)]
    ordered = list(dict.fromkeys([*first, *cheapest]))
    return ordered if wishes.get("allow_fallbacks", True) else (list(dict.fromkeys(first)) or ordered)[:1]


def tried(model: Model, host: Upstream, status: int) -> JsonObject:
    """One attempt, as `openrouter_metadata` lists it."""
    return {"model": model.slug, "provider": host.title, "status": status}


def route_told(model: Model, hosts: Iterable[Upstream], chosen: Upstream, attempts: list[JsonObject]) -> JsonObject:
    """`openrouter_metadata`: which upstreams there were, which were tried, who answered (OpenRouter SDK 1.3.84)."""
    available = [{"model": model.slug, "provider": host.title, "selected": host is chosen} for host in hosts]
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


def _none(sentence: str) -> Refused:
    return Refused(404, {"error": {"message": sentence, "code": 404}, "user_id": "user_simulated"})


def _names(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _is(host: Upstream, name: str) -> bool:
    """A full tag, its base slug, or the host's title."""
    return name.lower() in (host.tag, host.tag.split("/")[0], host.title.lower())


def _allowed(host: Upstream, wishes: Mapping[str, Any]) -> bool:
    only, ignored = _names(wishes.get("only")), _names(wishes.get("ignore"))
    quantizations = _names(wishes.get("quantizations"))
    return (
        (not only or any(_is(host, name) for name in only))
        and not any(_is(host, name) for name in ignored)
        and (not quantizations or host.quantization in quantizations)
        and _affordable(host.price, wishes.get("max_price"))
    )


def _affordable(price: Price, most: Any) -> bool:
    if not isinstance(most, dict):
        return True
    try:
        limits = {name: Decimal(str(value)) / 1_000_000 for name, value in most.items()}
    except InvalidOperation:
        return True
    return price.input <= limits.get("prompt", price.input) and price.output <= limits.get("completion", price.output)


def _parameters(body: JsonObject) -> set[str]:
    plain = {
        "model",
        "messages",
        "stream",
        "stream_options",
        "provider",
        "usage",
        "user",
        "models",
        "debug",
        "session_id",
    }
    return set(body) - plain


def models_page(models: Iterable[Model]) -> JsonObject:
    """`GET /models`."""
    return {"data": [_model(model) for model in models if not model.id.startswith("~")]}


def _model(model: Model) -> JsonObject:
    return {
        "id": model.id,
        "canonical_slug": model.slug,
        "name": model.id,
        "context_length": model.context,
        "pricing": _pricing(model.price),
        "supported_parameters": PARAMETERS,
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    }


def endpoints_page(model: Model) -> JsonObject:
    """`GET /models/{author}/{slug}/endpoints`."""
    return {"data": {**_model(model), "endpoints": [_endpoint(model, host) for host in model.upstreams]}}


def _endpoint(model: Model, host: Upstream) -> JsonObject:
    return {
        "name": f"{host.title} | {model.slug}",
        "model_id": model.id,
        "model_name": model.id,
        "tag": host.tag,
        "provider_name": host.title,
        "quantization": host.quantization,
        "context_length": model.context,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "pricing": _pricing(host.price),
        "supported_parameters": PARAMETERS,
        "supports_tool_choice": {"auto": True, "none": True, "required": True, "function": True},
        "supports_implicit_caching": False,
        "status": 0,
        "uptime_last_5m": 100,
        "uptime_last_30m": 99.9,
        "uptime_last_1d": 99.5,
    }


def _pricing(price: Price) -> JsonObject:
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


KEY_PAGE: JsonObject = {
    "data": {
        "label": "simulated",
        "limit": 100,
        "limit_remaining": 90,
        "usage": 10,
        "is_free_tier": False,
        "rate_limit": {"requests": -1, "interval": "10s"},
    }
}
CREDITS_PAGE: JsonObject = {"data": {"total_credits": 100, "total_usage": 10}}
