"""One request to Anthropic's `POST /v1/messages`, from the checks to the rendered answer."""

from __future__ import annotations

from .anthropic_in import check, read_prompt
from .anthropic_out import Message, events, plain
from .chat import find_model
from .http import Response
from .openai_in import thinks
from .respond import respond
from .shapes import parse_body
from .stage import Draws, Teller, answer_plain, answer_stream, meet, serial


async def messages(raw: bytes, version: str, draws: Draws) -> Response:
    """Answer one request; `version` is the anthropic-version header. Raises Refused for what Anthropic refuses."""
    body = parse_body("anthropic", raw)
    check(body, version)
    model = find_model("anthropic", body["model"])
    endpoint = f"anthropic/{model.id}"
    scenario = draws.scenario
    persona, generator = draws.draw(endpoint, body, scenario.persona_of(endpoint) or scenario.default)
    instead = await meet(persona, "anthropic", model.id)
    if instead is not None:
        return instead
    draft, used = respond(read_prompt(body, thinking=thinks(model, body)), persona)
    message = Message(model, draft, used, serial(generator))
    limits = {f"anthropic-ratelimit-{kind}-remaining": "1000" for kind in ("requests", "tokens")}
    teller = Teller("anthropic", used.completion, headers={"request-id": f"req_01{message.serial}", **limits})
    if body.get("stream"):
        return answer_stream(persona, teller, events(message))
    return await answer_plain(persona, teller, plain(message))
