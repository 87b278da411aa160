"""Pass each request to the handler of its path.

Every provider has a prefix, and below it the paths that the provider's real API has below its base URL.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ..behaviour.draws import Draws
from ..behaviour.refusals import Refusal, refusal
from ..behaviour.served_models import SimulatedModel, find_model, served_models
from ..conversation import parsed
from ..http_types import Request, Response, json_response
from ..protocols import openrouter
from ..protocols.chat import chat, count_tokens, messages
from ..protocols.predictions import Predictions

PREFIXES = {
    "openrouter": "/openrouter/api/v1",
    "moonshot": "/moonshot/v1",
    "moonshot-cn": "/moonshot-cn/v1",
    "groq": "/groq/openai/v1",
    "together": "/together/v1",
    "replicate": "/replicate/v1",
    "anthropic": "/anthropic/v1",
}
"""Path of each provider's base URL on this server, by provider name."""
_TOGETHER_MODELS = "/together/v2/supported-models"
"""Path of the list of models that Together's SDK 3 asks for; it is outside the base URL of the other paths."""
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """Record of one request that the server received; `body` is the parsed JSON, or None if it is not JSON.

    Headers are left out, so that no API key is kept.
    """

    method: str
    path: str
    body: Any = None


@dataclass(slots=True)
class App:
    """Handles the requests to all simulated providers. `requests` holds the newest 1000 requests, oldest first."""

    draws: Draws
    requests: deque[Received] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    predictions: Predictions = field(default_factory=Predictions)

    async def handle(self, request: Request) -> Response:
        """Record one request and return its response, which is an error answer if the provider refuses."""
        self.requests.append(Received(request.method, request.path, parsed(request.body)))
        try:
            return await self._answer(request)
        except Refusal as refused:
            return json_response(refused.body, refused.status, refused.headers)

    async def _answer(self, request: Request) -> Response:
        provider = next((name for name, prefix in PREFIXES.items() if request.path.startswith(f"{prefix}/")), None)
        provider = "together" if request.path == _TOGETHER_MODELS else provider
        if provider is None:
            message = f"no provider has this path; available: {', '.join(PREFIXES.values())}"
            return json_response({"error": {"message": message}}, 404)
        key = _key(provider, request)
        if not key or "wrong" in key:  # so that clients can be tested with a wrong key
            raise refusal(provider, "unauthorized")
        path = request.path.removeprefix(PREFIXES[provider])
        if request.method == "POST" and path == "/chat/completions" and provider not in ("anthropic", "replicate"):
            metadata = request.headers.get("x-openrouter-metadata") == "enabled"
            return await chat(provider, request.body, self.draws, add_metadata=metadata)
        if request.method == "POST" and provider == "anthropic" and path == "/messages":
            return await messages(request.body, request.headers.get("anthropic-version", ""), self.draws)
        if request.method == "POST" and provider == "anthropic" and path == "/messages/count_tokens":
            return count_tokens(request.body, request.headers.get("anthropic-version", ""))
        if provider == "replicate" and (answered := await self.predictions.answer(request, path, self.draws)):
            return answered
        page = _page(provider, path) if request.method == "GET" else None
        if page is None:
            raise refusal(provider, "unknown_path")
        return json_response(page)


def _key(provider: str, request: Request) -> str:
    """The API key of a request, from the header that the provider reads; empty if there is none."""
    if provider == "anthropic" and "x-api-key" in request.headers:
        return request.headers["x-api-key"].strip()
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() in ("bearer", "token") else ""


def _page(provider: str, path: str) -> Any:
    models = [model for model in served_models()[provider.removesuffix("-cn")].values() if not model.retired]
    if provider == "openrouter":
        return _openrouter_page(path, models)
    if provider == "replicate":
        return _replicate_page(path)
    if path == _TOGETHER_MODELS:
        return {"data": [_supported(model) for model in models], "totalCount": len(models)}
    if path == "/models":
        listed = [_listed(provider, model) for model in models]
        return listed if provider == "together" else {"object": "list", "data": listed}
    if provider.startswith("moonshot") and path == "/users/me/balance":
        balance = {"available_balance": 49.5, "voucher_balance": 0, "cash_balance": 49.5}
        return {"code": 0, "data": balance, "scode": "0x0", "status": True}
    if path.startswith("/models/") and provider != "anthropic":
        return _listed(provider, find_model(provider, path.removeprefix("/models/")))
    return None


def _openrouter_page(path: str, models: list[SimulatedModel]) -> Any:
    if path.startswith("/models/") and path.endswith("/endpoints"):
        return openrouter.endpoints_page(find_model("openrouter", path[len("/models/") : -len("/endpoints")]))
    if path in ("/key", "/credits"):
        return openrouter.account_page(path[1:])
    return openrouter.models_page(models) if path == "/models" else None


def _replicate_page(path: str) -> Any:
    if path == "/account":
        return {"type": "user", "username": "simulated", "name": "Simulated", "github_url": ""}
    owner, _, name = path.removeprefix("/models/").partition("/")
    if not path.startswith("/models/") or not name:
        return None
    model = find_model("replicate", f"{owner}/{name}")
    return {"owner": owner, "name": name, "visibility": "public", "url": f"https://replicate.com/{model.id}"}


def _listed(provider: str, model: SimulatedModel) -> dict[str, Any]:
    owner = {"groq": "Moonshot AI", "together": "Moonshot"}.get(provider, "moonshot")
    row: dict[str, Any] = {"id": model.id, "object": "model", "created": 1_780_000_000, "owned_by": owner}
    if provider == "groq":
        return row | {"context_window": model.context, "active": True}
    row["context_length"] = model.context
    return row | ({"type": "chat", "display_name": model.id} if provider == "together" else {})


def _supported(model: SimulatedModel) -> dict[str, Any]:
    """One entry of the list of models that Together's SDK 3 asks for. Prices are USD per million tokens."""
    day = "2026-09-01T00:00:00Z"
    price = {"input": model.price.input, "cachedInput": model.price.cached, "output": model.price.output}
    return {
        "id": model.id,
        "name": model.id,
        "displayName": model.id,
        "displayType": "language",
        "publisher": "Moonshot AI",
        "baseModel": "",
        "baseModelId": "",
        "capabilities": ["CAPABILITY_CHAT"],
        "inputModalities": ["MODALITY_TEXT", "MODALITY_IMAGE"],
        "outputModalities": ["MODALITY_TEXT"],
        "products": ["PRODUCT_SERVERLESS"],
        "deploymentProfiles": [],
        "status": "SUPPORTED_MODEL_STATUS_SUPPORTED",
        "contextLength": str(model.context),
        "pricing": {kind: float(value * 1_000_000) for kind, value in price.items()},
        "createdAt": day,
        "updatedAt": day,
    }
