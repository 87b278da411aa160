"""One request to Anthropic's `POST /v1/messages`, from the checks to the rendered answer."""

from __future__ import annotations

from ..behaviour.draws import Draws, serial
from ..behaviour.respond import respond
from ..behaviour.responses import AnswerInfo, answer_plain, answer_stream, early_response
from ..behaviour.served_models import find_model
from ..http_types import Response
from .anthropic_in import check, read_prompt
from .anthropic_out import MessagesAnswer, events, plain
from .openai_in import thinks
from .shapes import parse_body


async def messages(raw: bytes, version: str, draws: Draws) -> Response:
    """Answer one request; `version` is the anthropic-version header. Raises Refusal as Anthropic refuses."""
    body = parse_body("anthropic", raw)
    check(body, version)
    model = find_model("anthropic", body["model"])
    persona, generator = draws.draw(f"anthropic/{model.id}", body)
    early = await early_response(persona, "anthropic", model.id)
    if early is not None:
        return early
    draft, used = respond(read_prompt(body, thinking=thinks(model, body)), persona)
    answer = MessagesAnswer(model, draft, used, serial(generator))
    limits = {f"anthropic-ratelimit-{kind}-remaining": "1000" for kind in ("requests", "tokens")}
    info = AnswerInfo("anthropic", used.completion, headers={"request-id": f"req_01{answer.serial}", **limits})
    if body.get("stream"):
        return answer_stream(persona, info, events(answer))
    return await answer_plain(persona, info, plain(answer))
