"""Replicate: predictions that are created, polled, cancelled and streamed. No tools, no messages: only a prompt."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .chat import find_model
from .http import Request, Response, json_response
from .nouns import Draft, JsonObject, Prompt, Role, Turn, pieces
from .refusals import refusal
from .respond import respond
from .scenario import Persona
from .shapes import parse_body
from .stage import Draws, Teller, answer_stream, meet, serial
from .world import Usage

_LONGEST_WAIT_S = 60
_REMEMBERED = 500
_FAILING = ("error_in_200", "stream_error")


@dataclass(slots=True)
class Prediction:
    """One prediction; what it is now follows from the time since it began."""

    id: str
    model: str
    asked: JsonObject
    base: str
    streams: bool
    persona: Persona
    draft: Draft
    used: Usage
    began: float = field(default_factory=time.monotonic)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False

    @property
    def lasts(self) -> float:
        """Seconds from start to end."""
        return self.persona.first_token_ms / 1000 + self.used.completion / self.persona.tokens_per_s

    @property
    def status(self) -> str:
        """Replicate's word for the state it is in."""
        age = time.monotonic() - self.began
        if self.cancelled:
            return "canceled"
        if age < self.lasts:
            return "starting" if age < self.lasts / 4 else "processing"
        return "failed" if self.persona.persona in _FAILING else "succeeded"

    def page(self) -> JsonObject:
        """The prediction as JSON."""
        status = self.status
        url = f"{self.base}/predictions/{self.id}"
        urls = {"get": url, "cancel": f"{url}/cancel", "web": f"https://replicate.com/p/{self.id}"}
        done = status in ("succeeded", "failed", "canceled")
        return {
            "id": self.id,
            "model": self.model,
            "version": "hidden",
            "input": self.asked,
            "logs": "",
            "output": self.output() if status == "succeeded" else None,
            "data_removed": False,
            "error": "Prediction failed: upstream error" if status == "failed" else None,
            "status": status,
            "created_at": self.created_at.isoformat(),
            "urls": urls | ({"stream": f"{self.base}/stream/{self.id}"} if self.streams else {}),
            **({"completed_at": (self.created_at + timedelta(seconds=self.lasts)).isoformat()} if done else {}),
            **({"metrics": self._metrics()} if status == "succeeded" else {}),
        }

    def output(self) -> list[str]:
        """The text in pieces; a host that breaks off loses the rest of them."""
        parts = pieces(self.draft.text)
        return parts[: max(1, int(len(parts) * self.persona.at))] if self.persona.persona == "cut" else parts

    def _metrics(self) -> JsonObject:
        tokens = {"input_token_count": self.used.prompt, "output_token_count": self.used.completion}
        return {"predict_time": round(self.lasts, 6), **tokens}


@dataclass(slots=True)
class Predictions:
    """The newest 500 predictions."""

    known: OrderedDict[str, Prediction] = field(default_factory=OrderedDict)

    async def answer(self, request: Request, path: str, draws: Draws) -> Response | None:
        """Answer a request below the prefix; None where Replicate has no such path."""
        created = re.fullmatch(r"/models/([\w.-]+/[\w.-]+)/predictions", path)
        if created and request.method == "POST":
            return await self._create(request, created.group(1), draws)
        known = re.fullmatch(r"/(predictions|stream)/(\w+)(/cancel)?", path)
        if known is None:
            return None
        prediction = self.known.get(known.group(2))
        if prediction is None:
            raise refusal("replicate", "unknown_path")
        if known.group(1) == "stream":
            return _stream(prediction)
        if known.group(3) and request.method == "POST":
            prediction.cancelled = prediction.status in ("starting", "processing")
        return json_response(prediction.page())

    async def _create(self, request: Request, name: str, draws: Draws) -> Response:
        body = parse_body("replicate", request.body)
        model = find_model("replicate", name)
        asked: JsonObject = body["input"]
        endpoint, scenario = f"replicate/{model.id}", draws.scenario
        persona, generator = draws.draw(endpoint, body, scenario.persona_of(endpoint) or scenario.default)
        instead = await meet(persona, "replicate", model.id)
        if instead is not None:
            return instead
        draft, used = respond(read_prompt(asked), persona)
        base = f"http://{request.headers.get('host', 'localhost')}/replicate/v1"
        number = serial(generator).lower()
        prediction = Prediction(number, model.id, asked, base, bool(body.get("stream")), persona, draft, used)
        self.known[number] = prediction
        while len(self.known) > _REMEMBERED:
            self.known.popitem(last=False)
        return await _begun(prediction, request.headers.get("prefer", ""))


async def _begun(prediction: Prediction, prefer: str) -> Response:
    """201 at once, or with `Prefer: wait[=n]` after the end, if that comes in time."""
    match = re.fullmatch(r"wait(?:=(\d+))?", prefer.strip())
    if match:
        await asyncio.sleep(min(prediction.lasts + 0.001, int(match.group(1) or _LONGEST_WAIT_S), _LONGEST_WAIT_S))
    return json_response(prediction.page(), 201)


def _stream(prediction: Prediction) -> Response:
    events = [f"event: output\nid: {spot}:0\n{_data(part)}\n\n" for spot, part in enumerate(prediction.output())]
    kind = prediction.persona.persona
    if kind in _FAILING:
        events = ['event: error\ndata: {"detail": "upstream error"}\n\n', 'event: done\ndata: {"reason": "error"}\n\n']
    elif kind != "cut":
        events.append("event: done\ndata: {}\n\n")
    calm = Persona(
        "healthy", first_token_ms=prediction.persona.first_token_ms, tokens_per_s=prediction.persona.tokens_per_s
    )
    return answer_stream(calm, Teller("replicate", prediction.used.completion), events)


def _data(text: str) -> str:
    return "\n".join(f"data: {line}" for line in text.split("\n"))


_SPEAKER = re.compile(
    r"^\s*(?:#+\s*|\*\*|<\|im_|<\|?|\[)?(system|user|human|assistant|tool|tool result)\b(?:\|>|\]|\*\*|>)?\s*[:\n>]\s*",
    re.IGNORECASE | re.MULTILINE,
)
_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "tool": "user",
    "tool result": "user",
}


def read_prompt(asked: JsonObject) -> Prompt:
    """The prompt for the simulated model: `User: ...` lines become turns; else the last paragraph is the request."""
    text = str(asked["prompt"])
    told = asked.get("system_prompt")
    system = (Turn("system", told),) if isinstance(told, str) and told else ()
    limit = asked.get("max_tokens")
    return Prompt(turns=(*system, *_turns(text)), max_tokens=limit if isinstance(limit, int) else None)


def _turns(text: str) -> tuple[Turn, ...]:
    marks = list(_SPEAKER.finditer(text))
    if not marks:
        head, _, request = text.strip().rpartition("\n\n")
        return (*((Turn("system", head),) if head else ()), Turn("user", request))
    lead = text[: marks[0].start()].strip()
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    turns = [
        _turn(mark.group(1).lower(), text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]
    return (*((Turn("system", lead),) if lead else ()), *(turn for turn in turns if turn.text))


def _turn(speaker: str, text: str) -> Turn:
    said = f"Tool result: {text}" if speaker.startswith("tool") else text
    return Turn(_ROLES[speaker], said)
