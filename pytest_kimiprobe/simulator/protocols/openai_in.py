"""Check a chat-completions request by its provider's rules, and read the prompt for the simulated model from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..behaviour.refusals import Refusal, refusal
from ..behaviour.served_models import SimulatedModel
from ..conversation import Call, JsonObject, OfferedTool, Prompt, PromptTurn, Role, parsed
from ..validity import checker, is_schema, offer


def check_history(provider: str, body: JsonObject) -> None:
    """Check messages and tool choice by the rules that all providers of chat completions share.

    Raises Refusal for the first fault: missing content, an unknown tool call id, or a tool choice without its tool.
    """
    for sentence in _faults(body):
        raise refusal(provider, "bad_request", detail=sentence)


def _faults(body: JsonObject) -> Iterator[str]:
    known: set[str] = set()
    for spot, message in enumerate(body["messages"]):
        known |= {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] != "assistant" and message.get("content") is None and not message.get("tools"):
            yield f"'messages.{spot}.content' : property 'content' is missing"
        if message["role"] == "tool" and message.get("tool_call_id") not in known:
            yield f"tool_call_id {message.get('tool_call_id')!r} is not found"
    choice = body.get("tool_choice")
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        yield f"tool_choice: tool {choice['function']['name']!r} is not in tools"
    if choice == "required" and not names:
        yield "tool_choice 'required' needs tools"


def thinks(model: SimulatedModel, body: JsonObject) -> bool:
    """Whether the model thinks before it answers this request.

    Some models always think and some never do. The others think unless the request switches thinking off.
    """
    if model.thinks != "default":
        return model.thinks == "always"
    thinking, reasoning = body.get("thinking") or {}, body.get("reasoning") or {}
    off = thinking.get("type") == "disabled" or reasoning.get("enabled") is False
    return not off and "none" not in (reasoning.get("effort"), body.get("reasoning_effort"))


def effort(model: SimulatedModel, body: JsonObject) -> str:
    """How much the model thinks: `low`, `medium`, `high` or `max`; empty if it does not think or has no efforts.

    Kimi K3 has efforts. `thinking.effort` wins over `reasoning_effort`, and `max` is the default.
    """
    if not thinks(model, body) or not model.k3:
        return ""
    asked = [(body.get(name) or {}).get("effort") for name in ("thinking", "reasoning")]
    return next((one for one in (*asked, body.get("reasoning_effort")) if one in EFFORTS), "max")


def with_declared_tools(provider: str, model: SimulatedModel, body: JsonObject) -> JsonObject:
    """The request with the tools that its system messages declare, as Moonshot's API accepts them for Kimi K3.

    A declared tool has the same status as a tool of the request. The other providers, and Moonshot for other models,
    ignore the declarations. Raises Refusal for a message that declares tools and may not.
    """
    declaring = [message for message in body["messages"] if message.get("tools") is not None]
    if not declaring or not model.k3 or not provider.startswith("moonshot"):
        return body
    for message in declaring:
        if message["role"] != "system" or message.get("content"):
            rule = "only a system message without content can declare tools"
            raise refusal(provider, "bad_request", detail=f"Invalid request: {rule}")
    declared = [tool for message in declaring for tool in message["tools"]]
    return {**body, "tools": [*(body.get("tools") or ()), *declared]}


EFFORTS = ("low", "medium", "high", "max")
"""The values of an effort, least thinking first. Other values are ignored."""


def check_moonshot(provider: str, model: SimulatedModel, body: JsonObject) -> None:
    """Check a request by Moonshot's rules. Raises Refusal for the first fault.

    A model that thinks restricts `tool_choice` and needs the reasoning of earlier tool calls. Sampling values are
    fixed. Tool schemas must be in Moonshot's dialect of JSON Schema.
    """
    thinking = thinks(model, body)
    for sentence in (
        *_choice_faults(model, body, thinking=thinking),
        *_sampling_faults(model, body, thinking=thinking),
        *(_history_faults(body) if thinking else ()),
        *_schema_faults(body),
    ):
        raise refusal(provider, "bad_request", detail=sentence)


def _choice_faults(model: SimulatedModel, body: JsonObject, *, thinking: bool) -> Iterator[str]:
    choice = body.get("tool_choice")
    if thinking and choice == "required" and not model.k3:
        yield "tool_choice 'required' is incompatible with thinking enabled"
    if thinking and isinstance(choice, dict):
        yield "tool_choice 'specified' is incompatible with thinking enabled"
    if (body.get("thinking") or {}).get("type") == "disabled" and model.thinks == "always" and not model.k3:
        yield "invalid thinking: only type=enabled is allowed for this model"


def _sampling_faults(model: SimulatedModel, body: JsonObject, *, thinking: bool) -> Iterator[str]:
    only = {"temperature": 1 if thinking else 0.6, "top_p": 0.95, "presence_penalty": 0, "frequency_penalty": 0, "n": 1}
    for name, value in only.items():
        if body.get(name) is not None and body[name] != value and model.thinks != "never":
            yield f"invalid {name}: only {value} is allowed for this model"


def _history_faults(body: JsonObject) -> Iterator[str]:
    for spot, message in enumerate(body["messages"]):
        if message["role"] == "assistant" and message.get("tool_calls") and not message.get("reasoning_content"):
            yield f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {spot}"


_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,255}")


def _schema_faults(body: JsonObject) -> Iterator[str]:
    start = "tools.function.parameters is not a valid moonshot flavored json schema, details: "
    names: set[str] = set()
    for tool in body.get("tools") or ():
        function = tool["function"]
        schema = function.get("parameters")
        if not _NAME.fullmatch(function["name"]):
            rule = "must start with a letter and can contain letters, numbers, underscores, and dashes"
            yield f"Invalid request: function name is invalid, {rule}"
        if function["name"] in names:
            yield f"Invalid request: function name {function['name']} is duplicated"
        names.add(function["name"])
        if schema is None:
            continue
        if not isinstance(schema, dict) or schema.get("type", "object" if not schema else None) != "object":
            yield f"{start}<At path '': type must be object>"
        for path in _anyof_beside_type(schema, ""):
            rule = "when using anyOf, type should be defined in anyOf items instead of the parent schema"
            yield f"{start}<At path '{path}': {rule}>"


def _anyof_beside_type(schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("anyOf"), list) and "type" in schema:
            yield path
        for key, value in schema.items():
            yield from _anyof_beside_type(value, f"{path}.{key}" if path else key)
    elif isinstance(schema, list):
        for spot, value in enumerate(schema):
            yield from _anyof_beside_type(value, f"{path}.{spot}")


_GROQ_MEMBERS = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "reasoning"))


def check_groq(body: JsonObject) -> None:
    """Check a request by Groq's rules. Raises Refusal for an unknown member of a message or an unsupported option."""
    for spot, message in enumerate(body["messages"]):
        for name in message:
            if name not in _GROQ_MEMBERS:
                rule = f"'messages.{spot}' : property '{name}' is unsupported"
                start = f"'messages.{spot}' : for 'role:{message['role']}' the following must be satisfied"
                raise refusal("groq", "bad_request", detail=f"{start}[({rule})]")
    for name in ("logprobs", "logit_bias", "top_logprobs"):
        if body.get(name):
            raise refusal("groq", "bad_request", detail=f"property '{name}' is unsupported")
    if body.get("n") not in (None, 1):
        raise refusal("groq", "bad_request", detail="'n' : number must be at most 1")


def check_groq_calls(calls: tuple[Call, ...], body: JsonObject) -> Refusal | None:
    """Groq's error answer for the first of the model's calls that does not fit the request's tools; None if all fit.

    The answer is HTTP 400 with the code `tool_use_failed`. A call fits if its tool was offered and its arguments
    satisfy the tool's schema.
    """
    schemas = {tool.name: tool.schema for tool in _tools(body)}
    for call in calls:
        arguments = parsed(call.arguments)
        if call.name not in schemas:
            reason = f"attempted to call tool '{call.name}' which was not in request.tools"
        elif not isinstance(arguments, dict) or not checker(schemas[call.name])(arguments):
            reason = f"parameters for tool {call.name} did not match schema: errors: [invalid arguments]"
        else:
            continue
        generation = f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}'
        message = f"Tool call validation failed: tool call validation failed: {reason}"
        kind = {"type": "invalid_request_error", "code": "tool_use_failed"}
        error = {"message": message, **kind, "failed_generation": generation}
        return Refusal(400, {"error": error})
    return None


def read_prompt(model: SimulatedModel, body: JsonObject) -> Prompt:
    """The prompt for the simulated model, from the body of a chat-completions request that passed the checks.

    Kimi K3's template begins with a system message that says how much the model shall think.
    """
    choice = body.get("tool_choice") or "auto"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    level = effort(model, body)
    turns = [PromptTurn("system", f"thinking_effort: {level}")] if level else []
    return Prompt(
        turns=(*turns, *map(_turn, body["messages"])),
        tools=_tools(body),
        choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        named=isinstance(choice, dict),
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=limit,
        thinks=thinks(model, body),
        effort=level,
        answer_schema=_answer_schema(body.get("response_format") or {}),
    )


def _answer_schema(response_format: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The JSON Schema that the answer's text must satisfy; None if the text is free."""
    if response_format.get("type") == "json_object":
        return {"type": "object"}
    schema = (response_format.get("json_schema") or {}).get("schema")
    return schema if is_schema(schema) else None


def _tools(body: JsonObject) -> tuple[OfferedTool, ...]:
    functions = [tool["function"] for tool in body.get("tools") or ()]
    return tuple(offer(item["name"], item.get("description"), item.get("parameters")) for item in functions)


def _turn(message: Mapping[str, Any]) -> PromptTurn:
    role: Role = "system" if message["role"] == "developer" else message["role"]
    text, images = _content(message.get("content"))
    calls = tuple(
        Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return PromptTurn(role, text, calls, message.get("tool_call_id") or "", images)


def _content(content: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(content, list):
        return content or "", ()
    images = [part["image_url"] for part in content if part["type"] == "image_url" and "image_url" in part]
    links = tuple(image["url"] if isinstance(image, dict) else image for image in images)
    return "\n".join(part.get("text", "") for part in content if part["type"] == "text"), links
