"""The simulated model's one decision: call tools, or speak."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..conversation import Call, Draft, OfferedTool, Prompt
from . import speak
from .choose import Wish, best, wishes
from .emulate import as_text, described_tools
from .fill import alternatives, fill
from .words import quoted


def answer(prompt: Prompt) -> Draft:
    """What the model answers. Deterministic: the same prompt gives the same answer."""
    told = described_tools(prompt) if not prompt.tools else None
    offered = replace(prompt, tools=told.tools) if told else prompt
    calls = _calls(offered)
    if not calls and prompt.answer_schema is not None:
        return Draft(text=_structured(prompt.answer_schema, prompt), reasoning=_thought(prompt, ()))
    if not calls:
        return Draft(text=speak.text(offered), reasoning=_thought(prompt, ()))
    if told:
        return Draft(text=as_text(calls, told), reasoning=_thought(prompt, calls))
    return Draft(reasoning=_thought(prompt, calls), calls=calls, finish="tool_calls")


def _calls(prompt: Prompt) -> tuple[Call, ...]:
    if not prompt.tools or prompt.choice == "none" or not prompt.turns:
        return ()
    if speak.is_result(prompt.turns[-1]):
        return _numbered(_continued(prompt), prompt)
    planned = _plan(prompt)
    return _numbered(planned if prompt.parallel else planned[:1], prompt)


def _continued(prompt: Prompt) -> list[tuple[str, str]]:
    """After results: what is still to do, one by one, or because it needed a result."""
    made = _made(prompt)
    if not prompt.parallel:
        return [call for call in _plan(prompt) if call[0] not in made][:1]
    message, result = speak.last_request(prompt), prompt.turns[-1].text
    waiting = [
        wish for wish in wishes(message, prompt.tools) if wish.tool.name not in made and _POINTS.search(wish.text)
    ]
    filled = [(wish.tool.name, fill(wish.tool.schema, wish.text)) for wish in waiting]
    return [
        (name, _json({**each.arguments, each.missing[0]: result})) for name, each in filled if len(each.missing) == 1
    ]


def _made(prompt: Prompt) -> set[str]:
    """Names of the tools called since the last request."""
    made: set[str] = set()
    for turn in reversed(prompt.turns):
        if turn.role == "user" and not speak.is_result(turn):
            break
        made |= {call.name for call in turn.calls}
    return made


def _plan(prompt: Prompt) -> list[tuple[str, str]]:
    message = speak.last_request(prompt)
    if prompt.named:
        tools = [tool for tool in prompt.tools if tool.name == prompt.choice]
        return [_forced(tool, message) for tool in tools]
    wished = wishes(message, prompt.tools)
    if seen := speak.sight(prompt):  # what is seen may be what a tool asks for
        message, wished = f"{message} {seen}", [replace(wish, text=f"{wish.text} {seen}") for wish in wished]
    found = [call for spot, wish in enumerate(wished) for call in _of_wish(wish, message, later=spot > 0)]
    if not found and prompt.choice == "required":
        return [_forced(best(message, prompt.tools), message)]
    return list(dict.fromkeys(found))


def _forced(tool: OfferedTool, message: str) -> tuple[str, str]:
    return tool.name, _json(fill(tool.schema, message).arguments)


_POINTS = re.compile(r"\b(?:it|its|that|them|the (?:result|content|output|answer))\b", re.IGNORECASE)
"""Words that point at the result of an earlier call."""


def _of_wish(wish: Wish, message: str, *, later: bool) -> list[tuple[str, str]]:
    """The calls of one wish: several where it lists several things; none where a member cannot be known."""
    listed = alternatives(wish.tool.schema, wish.text)
    if listed:
        filled = [fill(wish.tool.schema, wish.text, without=tuple(set(listed) - {one})) for one in listed]
        return [(wish.tool.name, _json(each.arguments)) for each in filled]
    filled_once = fill(wish.tool.schema, wish.text)
    if filled_once.missing and wish.text != message:
        wider = fill(wish.tool.schema, message)
        filled_once = wider if len(wider.missing) < len(filled_once.missing) else filled_once
    if filled_once.missing and later and _POINTS.search(wish.text):
        return []
    if filled_once.missing and not wish.explicit and len(filled_once.missing) > filled_once.told:
        return []
    return [(wish.tool.name, _json(filled_once.arguments))]


def _numbered(planned: list[tuple[str, str]], prompt: Prompt) -> tuple[Call, ...]:
    """Kimi's ids: `functions.NAME:N`, counted through the whole conversation."""
    before = sum(len(turn.calls) for turn in prompt.turns)
    return tuple(
        Call(f"functions.{name}:{before + spot}", name, arguments) for spot, (name, arguments) in enumerate(planned)
    )


def _structured(schema: Mapping[str, Any], prompt: Prompt) -> str:
    """The JSON of an answer that must satisfy a schema. Without properties it has the keys that the request quotes."""
    message = speak.last_request(prompt)
    if not schema.get("properties") and (keys := [one for one in quoted(message) if one.isidentifier()]):
        schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
        message = message.translate(str.maketrans("", "", "'\"`"))
    return _json(fill(schema, message).arguments or {"answer": speak.text(replace(prompt, answer_schema=None))})


def _thought(prompt: Prompt, calls: tuple[Call, ...]) -> str:
    if not prompt.thinks:
        return ""
    asked = " ".join(speak.last_request(prompt).split())[:120]
    more = {"high": 1, "max": 2}.get(prompt.effort, 0)
    step = "I will call " + " and ".join(call.name for call in calls) + "." if calls else "I can answer that in words."
    return f"The user asks: {asked} {'I check that again. ' * more}{step}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
