"""The decision of the simulated model: call tools, answer in JSON, or answer in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..conversation import Call, Draft, OfferedTool, Prompt
from . import speak
from .arguments import alternatives, fill
from .choose import Wish, best, wishes
from .emulate import as_text, described_tools
from .facts import facts
from .words import pattern


def answer(prompt: Prompt) -> Draft:
    """What the model answers. The same prompt gives the same answer."""
    described = described_tools(prompt) if not prompt.tools else None
    offered = replace(prompt, tools=described.tools) if described else prompt
    calls = _calls(offered)
    thought = _thought(prompt, calls)
    if calls and described:
        return Draft(text=as_text(calls, described), reasoning=thought)
    if calls:
        return Draft(reasoning=thought, calls=calls, finish="tool_calls")
    schema = prompt.answer_schema
    return Draft(text=speak.text(offered) if schema is None else _structured(schema, prompt), reasoning=thought)


def _calls(prompt: Prompt) -> tuple[Call, ...]:
    if not prompt.tools or prompt.choice == "none" or not prompt.turns:
        return ()
    planned = _continued(prompt) if speak.is_result(prompt.turns[-1]) else _plan(prompt)
    before = sum(len(turn.calls) for turn in prompt.turns)  # Kimi's ids count through the whole conversation
    return tuple(
        Call(f"functions.{name}:{before + spot}", name, arguments)
        for spot, (name, arguments) in enumerate(planned if prompt.parallel else planned[:1])
    )


def _continued(prompt: Prompt) -> list[tuple[str, str]]:
    """The calls after results: those that were not made yet, or that needed a result."""
    made = _made(prompt)
    if not prompt.parallel:
        return [call for call in _plan(prompt) if call[0] not in made]
    found, result = [], prompt.turns[-1].text
    for wish in wishes(speak.last_request(prompt), prompt.tools):
        filled = fill(wish.tool.schema, wish.text)
        if wish.tool.name not in made and pattern("<points>").search(wish.text) and len(filled.missing) == 1:
            found.append((wish.tool.name, _json({**filled.arguments, filled.missing[0]: result})))
    return found


def _made(prompt: Prompt) -> set[str]:
    """Names of the tools called since the last request."""
    made: set[str] = set()
    for turn in prompt.turns:
        made = set() if turn.role == "user" and not speak.is_result(turn) else made | {call.name for call in turn.calls}
    return made


def _plan(prompt: Prompt) -> list[tuple[str, str]]:
    message, seen = speak.last_request(prompt), speak.sight(prompt)
    if prompt.named:
        return [_forced(tool, message) for tool in prompt.tools if tool.name == prompt.choice]
    wished = [replace(wish, text=f"{wish.text} {seen}".strip()) for wish in wishes(message, prompt.tools)]
    found = [call for spot, wish in enumerate(wished) for call in _of_wish(wish, f"{message} {seen}", later=spot > 0)]
    if not found and prompt.choice == "required":
        return [_forced(best(message, prompt.tools), message)]
    return list(dict.fromkeys(found))


def _forced(tool: OfferedTool, message: str) -> tuple[str, str]:
    return tool.name, _json(fill(tool.schema, message).arguments)


def _of_wish(wish: Wish, message: str, *, later: bool) -> list[tuple[str, str]]:
    """The calls of one wish: several if it lists several things, none if a required value is not known."""
    name, schema = wish.tool.name, wish.tool.schema
    if several := alternatives(schema, wish.text):
        each = [fill(schema, wish.text, without=tuple(set(several) - {one})) for one in several]
        return [(name, _json(filled.arguments)) for filled in each]
    filled, wider = fill(schema, wish.text), fill(schema, message)
    if len(wider.missing) < len(filled.missing):
        filled = wider
    unknown = filled.missing and not wish.explicit and len(filled.missing) > filled.given
    if unknown or (filled.missing and later and pattern("<points>").search(wish.text)):
        return []
    return [(name, _json(filled.arguments))]


def _structured(schema: Mapping[str, Any], prompt: Prompt) -> str:
    """The JSON of an answer that must satisfy a schema. Without properties it has the keys that the request quotes."""
    message = " ".join([speak.last_request(prompt), *(turn.text for turn in prompt.turns if speak.is_result(turn))])
    keys = [fact.value for fact in facts(message) if "quoted" in fact.shapes and fact.value.isidentifier()]
    if not schema.get("properties") and keys:
        schema = {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}
        message = re.sub("[\"'`]", "", message)
    return _json(fill(schema, message).arguments or {"answer": speak.text(prompt)})


def _thought(prompt: Prompt, calls: tuple[Call, ...]) -> str:
    """The reasoning. It is longer for a higher effort."""
    if not prompt.thinks:
        return ""
    asked = " ".join(speak.last_message(prompt).split())[:120]
    step = "I will call " + " and ".join(call.name for call in calls) + "." if calls else "I can answer that in words."
    again = {"high": 1, "max": 2}.get(prompt.effort, 0)
    return f"The user asks: {asked} {'I check that again. ' * again}{step}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
