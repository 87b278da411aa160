"""The frozen corpora of rescue, and what a router delivers of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from attack_corpus import Attack
from faulty_server import Behaviour, Line, head
from honest_corpus import FOREIGN, Honest
from rescue_fragments import k2, k2_section

from routing import AllAttemptsFailed, Reply, Router
from routing.rescue import Rescue, RescueStream
from routing.schema import ToolSet
from routing.types import ChatRequest
from routing.verify import expectations_of

Row: TypeAlias = Attack | Honest

BY_WORDING = {
    "asked_show": "the user asks in words to see a call, the answer is one",
    "asked_show_led": "the same, with a sentence before it",
    "asked_dataset": "the user asks in words for a line of training data",
    "asked_roleplay": "the user asks in words for a game or a poem",
    "asked_extraction": "the user asks in words for JSON with a name and arguments",
    "asked_alternatives": "two sections with a sentence between them: text between sections is text",
    "quoted_reworded": "the request describes the call in words, and no call stands there",
    "quoted_from_assistant": "the call stands only in the assistant's message before the user's last one, which may confirm it",
    "refused_by_user": "the same, but the user declines in words",
    "recap_executed": "the answer repeats an earlier structured call, as a polling agent does",
    "placeholder_arguments": "the arguments are placeholders, which are valid values",
    "enclosed_fence": "JSON or code in a fence behind one short sentence, which is a call",
    "k3_in_response": "the same in K3's response channel",
    "broken_not_json": "typographic quotation marks, which are repaired",
}
"""Kinds of attacks beside `wording_*` of which some rows are executed, and why a correct host would call there too."""


_THOUGHT_END = re.compile(r"</\s*(?:think|thought|reason|reflect|scratch)|<\|close\|>|/think", re.IGNORECASE)
"""Without its begin, it shows that text which a stream has given is a thought."""


class Answers:
    """A server's behaviour: it answers each request with the content that is set."""

    def __init__(self) -> None:
        self.body = b"{}"

    def set(self, row: Row) -> None:
        """The answer of the next requests."""
        message = {"role": "assistant", "content": row.content, "reasoning_content": row.reasoning}
        choice = {"index": 0, "message": message, "finish_reason": row.finish_reason}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        self.body = json.dumps({"choices": [choice], "usage": usage}).encode()

    def behaviour(self) -> Behaviour:
        """What the server does with a connection."""

        def speak(line: Line) -> None:
            while line.request() is not None:
                line.send(head(length=len(self.body)), self.body)

        return speak


def through_router(router: Router, answers: Answers, row: Row) -> Reply | None:
    """What is delivered of an answer; None if nothing is."""
    answers.set(row)
    try:
        return router.complete(row.messages, tools=row.tools, model="kimi-k2.6")
    except AllAttemptsFailed:
        return None


def through_stream(row: Row, size: int = 7) -> tuple[str, Rescue]:
    """What a stream gives of an answer on its way, and its result."""
    asked = expectations_of(ChatRequest(row.messages, row.tools)).origins()
    stream = RescueStream(row.tools, **asked)
    content = row.content or ""
    given = "".join(stream.feed(content[at : at + size]) for at in range(0, len(content), size))
    found = stream.finish(row.finish_reason, reasoning=row.reasoning)
    assert found.text.startswith(given) or _THOUGHT_END.search(content), row.id
    return given, found


def is_right(row: Honest, calls: Any, text: str) -> bool:
    """Whether calls and text are those that the row expects; white space does not count."""
    same = [(call.name, call.arguments) for call in calls] == [(name, arguments) for name, arguments in row.calls]
    return same and text.split() == row.text.split()


def is_native(row: Honest) -> bool:
    """Whether the call has one of Kimi's own forms."""
    return row.dialect not in FOREIGN


def leaked_recordings(path: Path) -> Iterator[Honest]:
    """Every recorded answer with text and calls, the calls leaked in K2's form behind its own text."""
    from pytest_kimiprobe.recording.recordings import read

    for row in read(path):
        messages = [one for one in row.request.get("messages") or () if isinstance(one, dict)]
        answer = row.exchange().answer
        if answer is not None and answer.text.strip() and answer.tool_calls:
            calls = [(call.name or "", json.loads(str(call.arguments) or "{}")) for call in answer.tool_calls]
            yield from _leaked(f"{row.id} answer", messages, list(row.tools), answer.text, calls)
        for at, message in enumerate(messages):
            text, calls = _said(message)
            if message.get("role") == "assistant" and text.strip() and calls:
                yield from _leaked(f"{row.id} message {at}", messages[:at], list(row.tools), text, calls)


def _said(message: dict[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """Text and calls of an earlier answer, in OpenAI's or Anthropic's form."""
    content = message.get("content")
    if isinstance(content, str):
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        return content, [(one["name"], json.loads(one["arguments"] or "{}")) for one in functions]
    parts = content if isinstance(content, list) else []
    text = "\n".join(part["text"] for part in parts if part.get("type") == "text")
    return text, [(part["name"], part["input"]) for part in parts if part.get("type") == "tool_use"]


def _leaked(
    name: str, messages: list[dict[str, Any]], tools: list[Any], text: str, calls: list[tuple[str, Any]]
) -> Iterator[Honest]:
    offered = ToolSet.of(tools)
    if not all(called in offered and offered.errors(called, given) is None for called, given in calls):
        return  # a tool of the host, or a call that was wrong when it was recorded
    plain = [{"role": "user", "content": "Go on."}]
    plain += [
        {"role": _ROLES[message["role"]], "content": "\n".join(_texts(message.get("content")))} for message in messages
    ]
    plain += [{"role": "user", "content": "Go on."}]
    section = k2_section(*(k2(called, json.dumps(given), str(at)) for at, (called, given) in enumerate(calls)))
    for gap in ("", "\n", "\n\n"):
        content, said = f"{text}{gap}{section}", re.sub(r"<think>.*</think>", "", text, flags=re.DOTALL)
        yield Honest(f"{name} {gap!r}", "recorded", "k2", "en", plain, tools, content, None, "stop", calls, said, "")


_ROLES = {"user": "user", "tool": "user", "system": "system", "developer": "system", "assistant": "assistant"}


def _texts(content: Any) -> Iterator[str]:
    """All texts of a message's content, those of tool results too."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        yield from _texts(part.get("text") or part.get("content"))
