"""Change a good answer as a persona does. Pure: drafts in, drafts out; delays and cuts are in responses.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ..conversation import Call, Draft, OfferedTool
from ..scenario import Persona
from ..validity import checker

Tools: TypeAlias = Mapping[str, OfferedTool]
"""Offered tools by name."""


def apply_persona(persona: Persona, draft: Draft, tools: Tools) -> Draft:
    """The answer as this persona gives it. Only `empty` changes an answer without calls."""
    if persona.persona == "empty":
        return Draft()
    change = _CHANGES.get(persona.persona)
    return change(persona, draft, tools) if change and draft.calls else draft


def k2_section(calls: tuple[Call, ...]) -> str:
    """Tool calls in Kimi K2's native format (MoonshotAI/Kimi-K2 docs/tool_call_guidance.md)."""
    inner = "".join(
        f"<|tool_call_begin|>{call.id}<|tool_call_argument_begin|>{call.arguments}<|tool_call_end|>" for call in calls
    )
    return f"<|tool_calls_section_begin|>{inner}<|tool_calls_section_end|>"


def k3_section(calls: tuple[Call, ...]) -> str:
    """Tool calls in Kimi K3's native format (XTML)."""
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


def _leak(persona: Persona, draft: Draft, _: Tools) -> Draft:
    section = k2_section if persona.persona == "leaks_k2" else k3_section
    return replace(draft, text=f"I'll take care of that. {section(draft.calls)}", calls=(), finish="stop")


def _leak_in_reasoning(_: Persona, draft: Draft, __: Tools) -> Draft:
    reasoning = f"{draft.reasoning} {k2_section(draft.calls)}".strip()
    return Draft(reasoning=reasoning, finish="stop")


def _json_in_text(_: Persona, draft: Draft, __: Tools) -> Draft:
    listed = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in draft.calls]
    text = json.dumps(listed[0] if len(listed) == 1 else listed, ensure_ascii=False)
    return replace(draft, text=text, calls=(), finish="stop")


def _no_call(_: Persona, draft: Draft, __: Tools) -> Draft:
    return Draft(text="I can tell you that without any tool.", reasoning=draft.reasoning)


def _wrong_finish(_: Persona, draft: Draft, __: Tools) -> Draft:
    return replace(draft, finish="stop")


def _odd_calls(persona: Persona, draft: Draft, _: Tools) -> Draft:
    """Right calls in a form that strict clients refuse, as seen from real hosts."""

    def odd(call: Call) -> Call:
        if persona.how == "prefixed_name":
            return replace(call, name=f"functions.{call.name}")
        if persona.how == "same_id":
            return replace(call, id="call_0")
        if persona.how == "no_arguments":
            return replace(call, arguments="") if call.arguments == "{}" else call
        return replace(call, arguments=json.dumps(call.arguments))

    return replace(draft, calls=tuple(map(odd, draft.calls)))


def _unknown_tool(_: Persona, draft: Draft, tools: Tools) -> Draft:
    return replace(draft, calls=tuple(_renamed(call, tools) for call in draft.calls))


def _renamed(call: Call, tools: Tools) -> Call:
    name = f"{call.name}_tool"
    while name in tools:
        name += "_tool"
    return replace(call, id=call.id.replace(call.name, name), name=name)


def _bad_arguments(persona: Persona, draft: Draft, tools: Tools) -> Draft:
    def broken(call: Call) -> Call:
        if persona.how == "json":
            return replace(call, arguments="{'': " + call.arguments.replace('"', "'")[1:])
        if persona.how == "truncated":
            return replace(call, arguments=call.arguments[: max(1, len(call.arguments) * 2 // 3)].rstrip("}"))
        return replace(call, arguments=_first_invalid(call, tools))

    return replace(draft, calls=tuple(map(broken, draft.calls)))


def _first_invalid(call: Call, tools: Tools) -> str:
    """The smallest change that breaks the schema: a member removed, changed in type or added."""
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


def _wrong_arguments(_: Persona, draft: Draft, tools: Tools) -> Draft:
    return replace(draft, calls=tuple(replace(call, arguments=_other_values(call, tools)) for call in draft.calls))


def _other_values(call: Call, tools: Tools) -> str:
    """The arguments with the first other value that the schema still allows."""
    schema = tools[call.name].schema
    valid, arguments = checker(schema), json.loads(call.arguments)
    for key, value in arguments.items():
        member = (schema.get("properties") or {}).get(key)
        options = member.get("enum", ()) if isinstance(member, Mapping) else ()
        for other in (*options, *_others(value)):
            changed = {**arguments, key: other}
            if other != value and valid(changed):
                return json.dumps(changed, ensure_ascii=False)
    return call.arguments


def _others(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int | float):
        return value + 1, value - 1
    if isinstance(value, str):
        return "Atlantis", "2001-01-01", f"{value}x", value[::-1]
    return (value * 2, value[:-1]) if isinstance(value, list) else ()


_CHANGES: Mapping[str, Callable[[Persona, Draft, Tools], Draft]] = {
    "leaks_k2": _leak,
    "leaks_k3": _leak,
    "leaks_in_reasoning": _leak_in_reasoning,
    "json_in_text": _json_in_text,
    "no_call": _no_call,
    "odd_calls": _odd_calls,
    "wrong_finish": _wrong_finish,
    "unknown_tool": _unknown_tool,
    "bad_arguments": _bad_arguments,
    "wrong_arguments": _wrong_arguments,
}
