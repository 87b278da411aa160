"""Changes a good answer into the answer that a persona gives.

Pure: the functions take a draft or parts of one, and return a new one. Delaying and cutting answers is done in
responses.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ..conversation import Call, Draft, OfferedTool
from ..scenario import Persona
from ..validity import checker

Tools: TypeAlias = Mapping[str, OfferedTool]
"""The tools that a request offers, by name."""


def apply_persona(persona: Persona, draft: Draft, tools: Tools) -> Draft:
    """The answer that a persona gives instead of the good answer `draft`.

    Only `empty` changes an answer without calls.
    """
    if persona.persona == "empty":
        return Draft()
    if draft.calls and (of_answer := _ANSWER_CHANGES.get(persona.persona)):
        return of_answer(draft)
    if of_call := _CALL_CHANGES.get(persona.persona):
        return replace(draft, calls=tuple(of_call(call, persona.how, tools) for call in draft.calls))
    return draft


def k2_section(calls: tuple[Call, ...]) -> str:
    """The text of tool calls in Kimi K2's native format (MoonshotAI/Kimi-K2 docs/tool_call_guidance.md)."""
    inner = "".join(
        f"<|tool_call_begin|>{call.id}<|tool_call_argument_begin|>{call.arguments}<|tool_call_end|>" for call in calls
    )
    return f"<|tool_calls_section_begin|>{inner}<|tool_calls_section_end|>"


def k3_section(calls: tuple[Call, ...]) -> str:
    """The text of tool calls in Kimi K3's native format (XTML)."""
    inner = "".join(_k3_call(call, spot) for spot, call in enumerate(calls, 1))
    return f"<|open|>tools<|sep|>{inner}<|close|>tools<|sep|><|close|>message<|sep|>"


def _k3_call(call: Call, spot: int) -> str:
    members = "".join(
        f'<|open|>argument key="{_escaped(key)}" type="{_k3_type(value)}"<|sep|>'
        f"{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}<|close|>argument<|sep|>"
        for key, value in json.loads(call.arguments).items()
    )
    return f'<|open|>call tool="{_escaped(call.name)}" index="{spot}"<|sep|>{members}<|close|>call<|sep|>'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;")


def _k3_type(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), "string")


def _as_text(draft: Draft, text: str) -> Draft:
    return replace(draft, text=text, calls=(), finish="stop")


def _json_calls(calls: tuple[Call, ...]) -> str:
    listed = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    return json.dumps(listed[0] if len(listed) == 1 else listed, ensure_ascii=False)


def _odd_call(call: Call, how: str, _: Tools) -> Call:
    """The right call `call`, written in the odd form that `how` names.

    By default, the arguments are encoded as JSON twice. Strict clients refuse these forms, which real hosts have sent.
    """
    if how == "prefixed_name":
        return replace(call, name=f"functions.{call.name}")
    if how == "same_id":
        return replace(call, id="call_0")
    if how == "no_arguments":
        return replace(call, arguments="") if call.arguments == "{}" else call
    return replace(call, arguments=json.dumps(call.arguments))


def _unknown_tool(call: Call, _: str, tools: Tools) -> Call:
    name = f"{call.name}_tool"
    while name in tools:
        name += "_tool"
    return replace(call, id=call.id.replace(call.name, name), name=name)


def _bad_arguments(call: Call, how: str, tools: Tools) -> Call:
    if how == "json":
        return replace(call, arguments="{'': " + call.arguments.replace('"', "'")[1:])
    if how == "truncated":
        return replace(call, arguments=call.arguments[: max(1, len(call.arguments) * 2 // 3)].rstrip("}"))
    return replace(call, arguments=_first_invalid(call, tools))


def _first_invalid(call: Call, tools: Tools) -> str:
    """The call's arguments with one change that breaks the tool's schema, as JSON text.

    The first change that breaks it is used: an argument removed, an argument changed in type, or an argument added.
    If no change breaks the schema, the text is `[]`.
    """
    valid = checker(tools[call.name].schema)
    for option in _mutations(json.loads(call.arguments)):
        if not valid(option):
            return json.dumps(option, ensure_ascii=False)
    return "[]"


def _mutations(arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in arguments:
        yield {name: value for name, value in arguments.items() if name != key}
    for key, value in arguments.items():
        yield {**arguments, key: {"value": value}}
    yield {**arguments, "unexpected": True}


def _wrong_arguments(call: Call, _: str, tools: Tools) -> Call:
    """The call with one argument changed to another value that the tool's schema allows.

    The first such value is taken. If there is none, the call is returned unchanged.
    """
    schema = tools[call.name].schema
    valid, arguments = checker(schema), json.loads(call.arguments)
    for key, value in arguments.items():
        member = (schema.get("properties") or {}).get(key)
        options = member.get("enum", ()) if isinstance(member, Mapping) else ()
        for other in (*options, *_others(value)):
            changed = {**arguments, key: other}
            if other != value and valid(changed):
                return replace(call, arguments=json.dumps(changed, ensure_ascii=False))
    return call


def _others(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int | float):
        return value + 1, value - 1
    if isinstance(value, str):
        return "Atlantis", "2001-01-01", f"{value}x", value[::-1]
    return (value * 2, value[:-1]) if isinstance(value, list) else ()


_ANSWER_CHANGES: Mapping[str, Callable[[Draft], Draft]] = {
    "leaks_k2": lambda draft: _as_text(draft, f"I'll take care of that. {k2_section(draft.calls)}"),
    "leaks_k3": lambda draft: _as_text(draft, f"I'll take care of that. {k3_section(draft.calls)}"),
    "leaks_in_reasoning": lambda draft: Draft(reasoning=f"{draft.reasoning} {k2_section(draft.calls)}".strip()),
    "json_in_text": lambda draft: _as_text(draft, _json_calls(draft.calls)),
    "no_call": lambda draft: Draft(text="I can tell you that without any tool.", reasoning=draft.reasoning),
    "wrong_finish": lambda draft: replace(draft, finish="stop"),
}
_CALL_CHANGES: Mapping[str, Callable[[Call, str, Tools], Call]] = {
    "odd_calls": _odd_call,
    "unknown_tool": _unknown_tool,
    "bad_arguments": _bad_arguments,
    "wrong_arguments": _wrong_arguments,
}
