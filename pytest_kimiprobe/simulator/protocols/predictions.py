"""Replicate's predictions API, in which a client creates, polls, cancels and streams predictions.

The input of a prediction is one prompt text, without tools.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ..behaviour.draws import Draws, serial
from ..behaviour.refusals import refusal
from ..behaviour.responses import AnswerInfo, answer_stream, early_response, respond
from ..behaviour.served_models import SimulatedUsage, find_model
from ..conversation import Draft, JsonObject, Prompt, PromptTurn, Role, pieces
from ..http_types import Request, Response, json_response
from ..scenario import Persona
from .shapes import parse_body

_LONGEST_WAIT_S = 60
_REMEMBERED = 500
_FAILING = ("error_in_200", "stream_error")


@dataclass(slots=True)
class Prediction:
    """One prediction of Replicate.

    Its answer, `draft`, is complete from the start. Its status follows from the time since then. `base` is the URL
    that its links begin with.
    """

    id: str
    model: str
    input: JsonObject
    base: str
    streams: bool
    persona: Persona
    draft: Draft
    used: SimulatedUsage
    started: float = field(default_factory=time.monotonic)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cancelled: bool = False

    @property
    def duration_s(self) -> float:
        """Seconds that the prediction takes from its start to its end."""
        return self.persona.first_token_ms / 1000 + self.used.completion / self.persona.tokens_per_s

    @property
    def status(self) -> str:
        """Present status in Replicate's terms: `starting`, `processing`, `succeeded`, `failed` or `canceled`."""
        age = time.monotonic() - self.started
        if self.cancelled:
            return "canceled"
        if age < self.duration_s:
            return "starting" if age < self.duration_s / 4 else "processing"
        return "failed" if self.persona.persona in _FAILING else "succeeded"

    def page(self) -> JsonObject:
        """The prediction as Replicate's API shows it: the JSON body of a response."""
        status = self.status
        url = f"{self.base}/predictions/{self.id}"
        urls = {"get": url, "cancel": f"{url}/cancel", "web": f"https://replicate.com/p/{self.id}"}
        done = status in ("succeeded", "failed", "canceled")
        tokens = {"input_token_count": self.used.prompt, "output_token_count": self.used.completion}
        metrics = {"predict_time": round(self.duration_s, 6), **tokens}
        return {
            "id": self.id,
            "model": self.model,
            "version": "hidden",
            "input": self.input,
            "logs": "",
            "output": self.output() if status == "succeeded" else None,
            "data_removed": False,
            "error": "Prediction failed: upstream error" if status == "failed" else None,
            "status": status,
            "created_at": self.created_at.isoformat(),
            "urls": urls | ({"stream": f"{self.base}/stream/{self.id}"} if self.streams else {}),
            **({"completed_at": (self.created_at + timedelta(seconds=self.duration_s)).isoformat()} if done else {}),
            **({"metrics": metrics} if status == "succeeded" else {}),
        }

    def output(self) -> list[str]:
        """The answer's text in pieces. The persona `cut` keeps only the share `at` of the pieces, from the first on."""
        parts = pieces(self.draft.text)
        return parts[: max(1, int(len(parts) * self.persona.at))] if self.persona.persona == "cut" else parts


@dataclass(slots=True)
class Predictions:
    """Handles the requests for predictions, and keeps the newest 500 predictions by id."""

    known: OrderedDict[str, Prediction] = field(default_factory=OrderedDict)

    async def answer(self, request: Request, path: str, draws: Draws) -> Response | None:
        """Answer a request for predictions. Returns None if `path` is not a path of the predictions API.

        `path` is the part of the request's path after the path of Replicate's base URL.
        """
        create = re.fullmatch(r"/models/([\w.-]+/[\w.-]+)/predictions", path)
        if create and request.method == "POST":
            return await self._create(request, create.group(1), draws)
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
        persona, generator = draws.draw(f"replicate/{model.id}", body)
        early = await early_response(persona, "replicate", model.id)
        if early is not None:
            return early
        draft, used = respond(read_prompt(body["input"]), persona)
        base = f"http://{request.headers.get('host', 'localhost')}/replicate/v1"
        number, streams = serial(generator).lower(), bool(body.get("stream"))
        prediction = Prediction(number, model.id, body["input"], base, streams, persona, draft, used)
        self.known[number] = prediction
        while len(self.known) > _REMEMBERED:
            self.known.popitem(last=False)
        return await _created(prediction, request.headers.get("prefer", ""))


async def _created(prediction: Prediction, prefer: str) -> Response:
    """The response (201) to a request that created a prediction. `prefer` is the request's Prefer header.

    The response is given immediately. With `Prefer: wait[=n]`, it is given when the prediction has ended, or after
    `n` seconds (default and maximum: 60).
    """
    match = re.fullmatch(r"wait(?:=(\d+))?", prefer.strip())
    if match:
        await asyncio.sleep(min(prediction.duration_s + 0.001, int(match.group(1) or _LONGEST_WAIT_S), _LONGEST_WAIT_S))
    return json_response(prediction.page(), 201)


def _stream(prediction: Prediction) -> Response:
    parts = ["\n".join(f"data: {line}" for line in part.split("\n")) for part in prediction.output()]
    events = [f"event: output\nid: {spot}:0\n{part}\n\n" for spot, part in enumerate(parts)]
    kind = prediction.persona.persona
    if kind in _FAILING:
        events = ['event: error\ndata: {"detail": "upstream error"}\n\n', 'event: done\ndata: {"reason": "error"}\n\n']
    elif kind != "cut":
        events.append("event: done\ndata: {}\n\n")
    pace = replace(prediction.persona, persona="healthy")
    return answer_stream(pace, AnswerInfo("replicate", prediction.used.completion), events)


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


def read_prompt(given: JsonObject) -> Prompt:
    """The prompt for the simulated model, from the `input` of a prediction.

    Each line that begins with a speaker, such as `User: ...`, begins a turn. Without such lines, the last paragraph is
    the user's turn and the text before it is the system's. `image` belongs to the last turn.
    """
    instructions = given.get("system_prompt")
    system = (PromptTurn("system", instructions),) if instructions else ()
    turns = [*system, *_turns(given["prompt"])]
    if turns and given.get("image"):
        turns[-1] = replace(turns[-1], images=(given["image"],))
    return Prompt(turns=tuple(turns), max_tokens=given.get("max_tokens"))


def _turns(text: str) -> tuple[PromptTurn, ...]:
    marks = list(_SPEAKER.finditer(text))
    if not marks:
        head, _, request = text.strip().rpartition("\n\n")
        return (*((PromptTurn("system", head),) if head else ()), PromptTurn("user", request))
    lead = text[: marks[0].start()].strip()
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    turns = [
        _turn(mark.group(1).lower(), text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]
    return (*((PromptTurn("system", lead),) if lead else ()), *(turn for turn in turns if turn.text))


def _turn(speaker: str, text: str) -> PromptTurn:
    shown = f"Tool result: {text}" if speaker.startswith("tool") else text
    return PromptTurn(_ROLES[speaker], shown)
