"""One chat-completions request of the OpenAI family, from the checks to the rendered answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from .http import Response, json_response
from .nouns import JsonObject
from .openai_in import check_groq, check_groq_calls, check_history, check_moonshot, read_prompt, thinks
from .openai_out import Served, events, plain
from .openrouter import candidates, route_told, tried
from .refusals import Refused, error_event, refusal
from .respond import respond
from .scenario import Persona, Scenario
from .shapes import parse_body
from .stage import Draws, Teller, answer_plain, answer_stream, meet, refused_by, serial
from .world import Model, Upstream, world


def find_model(provider: str, name: str) -> Model:
    """The model of a request. Raises the provider's words for an unknown or retired one."""
    models = world()[provider.removesuffix("-cn")]
    plain_name = name.rsplit(":", 1)[0] if provider == "openrouter" else name
    model = models.get(plain_name)
    if model is None:
        named = provider != "openrouter" or "/" in name
        raise refusal(provider, "unknown_model" if named else "invalid_model", model=name)
    if model.retired:
        raise refusal(provider, "retired", model=name)
    return model


async def chat(provider: str, raw: bytes, draws: Draws, *, tell_route: bool = False) -> Response:
    """Answer `POST /chat/completions`; `tell_route` adds OpenRouter's `openrouter_metadata`. Raises Refused for what the provider refuses."""
    body = parse_body(provider, raw)
    check_history(provider, body)
    model = find_model(provider, body["model"])
    if provider.startswith("moonshot"):
        check_moonshot(provider, model, body)
    if provider == "groq":
        check_groq(body)
    hosts = candidates(model, body) if provider == "openrouter" else ()
    return await _serve(_Order(provider, model, body, tuple(hosts), tell_route), draws)


@dataclass(frozen=True, slots=True)
class _Order:
    """One accepted request: `hosts` are the upstreams it may go to, best first."""

    provider: str
    model: Model
    body: JsonObject
    hosts: tuple[Upstream, ...] = ()
    tell_route: bool = False

    @property
    def endpoint(self) -> str:
        return f"{self.provider}/{self.model.id}"


async def _serve(order: _Order, draws: Draws) -> Response:
    persona, host, attempts = _meet_endpoint(order, draws.scenario)
    whole = f"{order.endpoint}+{host.tag}" if host else order.endpoint
    drawn, generator = draws.draw(whole, order.body, persona)
    instead = await meet(drawn, order.provider, order.model.id, host.title if host else "")
    if instead is not None:
        return instead
    metadata = route_told(order.model, order.hosts, host, attempts) if order.tell_route and host else None
    return await _render(replace(_served(order, host, drawn, serial(generator)), metadata=metadata), order.body, drawn)


def _meet_endpoint(order: _Order, scenario: Scenario) -> tuple[Persona, Upstream | None, list[JsonObject]]:
    """The persona that serves this request, and which upstreams OpenRouter tried.

    Unpinned, OpenRouter has the persona that the scenario names for the model itself; where it names none, it goes to
    the cheapest upstream and on to the next while those always refuse.
    """
    if not order.hosts:
        return scenario.persona_of(order.endpoint) or scenario.default, None, []
    wishes = order.body.get("provider")
    pinned = isinstance(wishes, dict) and bool(wishes.get("only"))
    own = None if pinned else scenario.named(order.endpoint)
    if own is not None:
        return own, order.hosts[0], [tried(order.model, order.hosts[0], 200)]
    attempts: list[JsonObject] = []
    for host in order.hosts:
        persona = scenario.persona_of(f"{order.endpoint}+{host.tag}") or scenario.default
        refused = refused_by(persona, "openrouter", order.model.id) if persona.rate == 1 else None
        attempts.append(tried(order.model, host, refused.status if refused else 200))
        if refused is None:
            break
    return persona, host, attempts


def _served(order: _Order, host: Upstream | None, persona: Persona, number: str) -> Served:
    body = order.body
    prompt = read_prompt(body, thinking=thinks(order.model, body))
    draft, spent = respond(prompt, persona)
    options = body.get("stream_options")
    return Served(
        provider=order.provider,
        model=order.model,
        draft=draft,
        usage=spent,
        created=int(time.time()),
        serial=number,
        upstream=host,
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
    )


async def _render(served: Served, body: JsonObject, persona: Persona) -> Response:
    teller = Teller(served.provider, served.usage.completion, served.upstream_title, _headers(served))
    failed = check_groq_calls(served.draft.calls, body) if served.provider == "groq" else None
    if body.get("stream"):
        return answer_stream(persona, teller, _failed_stream(served, failed) if failed else events(served))
    if failed:
        return json_response(failed.body, failed.status, teller.headers)
    return await answer_plain(persona, teller, plain(served))


def _failed_stream(served: Served, failed: Refused) -> list[str]:
    first = events(replace(served, draft=replace(served.draft, calls=())))[:1]
    return [*first, error_event("groq", failed)]


def _headers(served: Served) -> dict[str, str]:
    if served.provider == "openrouter":
        return {"x-generation-id": served.id}
    if served.provider == "groq":
        return {
            "x-request-id": f"req_{served.serial.lower()}",
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14399",
            "x-ratelimit-reset-requests": "6s",
            "x-ratelimit-limit-tokens": "100000",
            "x-ratelimit-remaining-tokens": "99000",
            "x-ratelimit-reset-tokens": "1.57s",
        }
    return {}
