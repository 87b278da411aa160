"""Handlers for chat completions and for Anthropic's Messages API.

A handler checks a request, selects the persona that answers it, and renders the answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ..behaviour.draws import Draws, serial
from ..behaviour.refusals import error_event
from ..behaviour.responses import (
    AnswerInfo,
    answer_plain,
    answer_stream,
    early_response,
    prompt_tokens,
    refused_by,
    respond,
)
from ..behaviour.served_models import SimulatedModel, SimulatedUpstream, find_model
from ..conversation import JsonObject
from ..http_types import Response, json_response
from ..scenario import Persona, Scenario
from . import anthropic_in, anthropic_out, openai_in, openai_out
from .openai_in import check_groq, check_groq_calls, check_history, check_moonshot, with_declared_tools
from .openai_out import ChatAnswer
from .openrouter import attempt_entry, candidates, route_metadata
from .shapes import parse_body


async def chat(provider: str, raw: bytes, draws: Draws, *, add_metadata: bool = False) -> Response:
    """Answer `POST /chat/completions` as the provider does. `raw` is the body of the request.

    `add_metadata` adds `openrouter_metadata` to an answer of OpenRouter. Raises Refusal if the provider refuses the
    request.
    """
    body = parse_body(provider, raw)
    model = find_model(provider, body["model"])
    body = with_declared_tools(provider, model, body)
    check_history(provider, body)
    if provider.startswith("moonshot"):
        check_moonshot(provider, model, body)
    if provider == "groq":
        check_groq(body)
    upstreams = candidates(model, body) if provider == "openrouter" else ()
    return await _answer(_AcceptedRequest(provider, model, body, tuple(upstreams), add_metadata), draws)


async def messages(raw: bytes, version: str, draws: Draws) -> Response:
    """Answer `POST /v1/messages` as Anthropic does.

    `raw` is the body of the request, and `version` its anthropic-version header. Raises Refusal if Anthropic refuses
    the request.
    """
    body = parse_body("anthropic", raw)
    anthropic_in.check(body, version)
    return await _answer(_AcceptedRequest("anthropic", find_model("anthropic", body["model"]), body), draws)


def count_tokens(raw: bytes, version: str) -> Response:
    """Answer `POST /v1/messages/count_tokens` as Anthropic does. Raises Refusal if Anthropic refuses the request."""
    body = parse_body("anthropic", raw, "anthropic_count")
    anthropic_in.check(body, version)
    prompt = anthropic_in.read_prompt(find_model("anthropic", body["model"]), body)
    return json_response({"input_tokens": prompt_tokens(prompt)})


@dataclass(frozen=True, slots=True)
class _AcceptedRequest:
    """A request that passed the provider's checks.

    `upstreams` are OpenRouter's upstreams that the request may be sent to, in the order in which they are tried. For
    the other providers, `upstreams` is empty.
    """

    provider: str
    model: SimulatedModel
    body: JsonObject
    upstreams: tuple[SimulatedUpstream, ...] = ()
    add_metadata: bool = False

    @property
    def endpoint(self) -> str:
        return f"{self.provider}/{self.model.id}"


async def _answer(request: _AcceptedRequest, draws: Draws) -> Response:
    persona, upstream, attempts = _select_persona(request, draws.scenario)
    endpoint = f"{request.endpoint}+{upstream.tag}" if upstream else request.endpoint
    drawn, generator = draws.draw(endpoint, request.body, persona)
    early = await early_response(drawn, request.provider, request.model.id, upstream.title if upstream else "")
    if early is not None:
        return early
    answer = _chat_answer(request, upstream, drawn, serial(generator))
    if request.add_metadata and upstream:
        metadata = route_metadata(request.model, request.upstreams, upstream, attempts)
        answer = replace(answer, metadata=metadata)
    return await _rendered(answer, request.body, drawn)


def _select_persona(
    request: _AcceptedRequest, scenario: Scenario
) -> tuple[Persona, SimulatedUpstream | None, list[JsonObject]]:
    """The persona that answers the request, the upstream that has this persona, and OpenRouter's attempts.

    Providers other than OpenRouter have no upstream and no attempts. OpenRouter answers with the persona that the
    scenario names for the model without an upstream, if the request pins no upstream. Otherwise it tries the request's
    upstreams in order, and takes the first one that does not refuse every request, or the last one.
    """
    if not request.upstreams:
        return scenario.persona_of(request.endpoint), None, []
    pinned = (request.body.get("provider") or {}).get("only")
    own = None if pinned else scenario.named(request.endpoint)
    if own is not None:
        return own, request.upstreams[0], [attempt_entry(request.model, request.upstreams[0], 200)]
    attempts: list[JsonObject] = []
    for upstream in request.upstreams:
        persona = scenario.persona_of(f"{request.endpoint}+{upstream.tag}")
        refused = refused_by(persona, "openrouter", request.model.id) if persona.rate == 1 else None
        attempts.append(attempt_entry(request.model, upstream, refused.status if refused else 200))
        if refused is None:
            break
    return persona, upstream, attempts


def _chat_answer(
    request: _AcceptedRequest, upstream: SimulatedUpstream | None, persona: Persona, serial_text: str
) -> ChatAnswer:
    body = request.body
    protocol = anthropic_in if request.provider == "anthropic" else openai_in
    draft, used = respond(protocol.read_prompt(request.model, body), persona)
    return ChatAnswer(
        provider=request.provider,
        model=request.model,
        draft=draft,
        usage=used,
        created=int(time.time()),
        serial=serial_text,
        upstream=upstream,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


async def _rendered(answer: ChatAnswer, body: JsonObject, persona: Persona) -> Response:
    protocol = anthropic_out if answer.provider == "anthropic" else openai_out
    info = AnswerInfo(answer.provider, answer.usage.completion, answer.upstream_title, _headers(answer))
    refused = check_groq_calls(answer.draft.calls, body) if answer.provider == "groq" else None
    if refused and body.get("stream"):
        head = openai_out.events(replace(answer, draft=replace(answer.draft, calls=())))[0]
        return answer_stream(persona, info, [head, error_event("groq", refused)])
    if body.get("stream"):
        return answer_stream(persona, info, protocol.events(answer))
    if refused:
        return json_response(refused.body, refused.status, info.headers)
    return await answer_plain(persona, info, protocol.plain(answer))


def _headers(answer: ChatAnswer) -> dict[str, str]:
    if answer.provider == "openrouter":
        return {"x-generation-id": answer.id}
    if answer.provider == "anthropic":
        limits = {f"anthropic-ratelimit-{kind}-remaining": "1000" for kind in ("requests", "tokens")}
        return {"request-id": f"req_01{answer.serial}", **limits}
    if answer.provider == "groq":
        return {
            "x-request-id": f"req_{answer.serial.lower()}",
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-remaining-requests": "14399",
            "x-ratelimit-reset-requests": "6s",
            "x-ratelimit-limit-tokens": "100000",
            "x-ratelimit-remaining-tokens": "99000",
            "x-ratelimit-reset-tokens": "1.57s",
        }
    return {}
