"""Reading a chat-completions request: shape checks, each provider's own rules, and the prompt for the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .nouns import Call, JsonObject, OfferedTool, Prompt, Role, Turn
from .refusals import Refused, refusal
from .validity import checker
from .world import Model

_ROLES = ("system", "developer", "user", "assistant", "tool")


def parse_body(provider: str, raw: bytes) -> JsonObject:
    """The JSON object of a request, or the provider's 400."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise refusal(provider, "bad_request", detail="We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise refusal(provider, "bad_request", detail="The request body must be a JSON object.")
    return body


def check_shape(provider: str, body: JsonObject) -> None:
    """What every provider of this family refuses."""
    for sentence in _faults(body):
        raise refusal(provider, "bad_request", detail=sentence)


def _faults(body: JsonObject) -> Any:
    messages = body.get("messages")
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model: field required"
    if not isinstance(messages, list) or not messages:
        yield "messages: must be a non-empty array"
        return
    for spot, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            yield f"messages.{spot}.role: must be one of {', '.join(_ROLES)}"
        elif message["role"] != "assistant" and "content" not in message:
            yield f"'messages.{spot}.content' : property 'content' is missing"
        elif message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
            yield f"messages.{spot}.tool_call_id: field required"
    yield from _unanswered(messages)
    yield from _tool_faults(body)


def _unanswered(messages: list[Any]) -> Any:
    """A tool result must follow the call with its id."""
    known: set[str] = set()
    for message in messages:
        known |= {call.get("id", "") for call in message.get("tool_calls") or () if isinstance(call, dict)}
        if message.get("role") == "tool" and message.get("tool_call_id") not in known:
            yield f"tool_call_id {message.get('tool_call_id')!r} is not found"


def _tool_faults(body: JsonObject) -> Any:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        yield "tools: must be an array"
        return
    for spot, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if (
            not isinstance(function, dict)
            or not isinstance(function.get("name"), str)
            or tool.get("type") != "function"
        ):
            yield f"tools.{spot}: must be a function with a name"
    choice = body.get("tool_choice", "auto")
    names = [
        tool["function"]["name"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    if isinstance(choice, dict):
        wanted = (choice.get("function") or {}).get("name")
        if wanted not in names:
            yield f"tool_choice: tool {wanted!r} is not in tools"
    elif choice not in ("auto", "none", "required", None):
        yield f"tool_choice: {choice!r} is none of auto, none, required"
    elif choice == "required" and not tools:
        yield "tool_choice 'required' needs tools"


def thinks(model: Model, body: JsonObject) -> bool:
    """Whether the model thinks for this request: some always do, some unless switched off."""
    if model.thinks != "default":
        return model.thinks == "always"
    thinking, reasoning = body.get("thinking"), body.get("reasoning")
    off = isinstance(thinking, dict) and thinking.get("type") == "disabled"
    return not (
        off
        or (isinstance(reasoning, dict) and (reasoning.get("enabled") is False or reasoning.get("effort") == "none"))
    )


def check_moonshot(provider: str, model: Model, body: JsonObject) -> None:
    """Moonshot's own rules: thinking and tool_choice, fixed sampling, reasoning in the history, its flavour of schema."""
    thinking = thinks(model, body)
    for sentence in (
        *_choice_faults(model, body, thinking=thinking),
        *_sampling_faults(model, body, thinking=thinking),
        *(_history_faults(body) if thinking else ()),
        *_schema_faults(body),
    ):
        raise refusal(provider, "bad_request", detail=sentence)


def _choice_faults(model: Model, body: JsonObject, *, thinking: bool) -> Any:
    choice = body.get("tool_choice")
    if thinking and choice == "required" and not model.accepts_required:
        yield "tool_choice 'required' is incompatible with thinking enabled"
    if thinking and isinstance(choice, dict):
        yield "tool_choice 'specified' is incompatible with thinking enabled"
    given = body.get("thinking")
    if isinstance(given, dict) and given.get("type") == "disabled" and model.thinks == "always":
        yield "invalid thinking: only type=enabled is allowed for this model"


def _sampling_faults(model: Model, body: JsonObject, *, thinking: bool) -> Any:
    only = {"temperature": 1 if thinking else 0.6, "top_p": 0.95, "presence_penalty": 0, "frequency_penalty": 0, "n": 1}
    for name, value in only.items():
        if body.get(name) is not None and body[name] != value and model.thinks != "never":
            yield f"invalid {name}: only {value} is allowed for this model"


def _history_faults(body: JsonObject) -> Any:
    for spot, message in enumerate(body["messages"]):
        if message["role"] == "assistant" and message.get("tool_calls") and not message.get("reasoning_content"):
            yield f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {spot}"


def _schema_faults(body: JsonObject) -> Any:
    start = "tools.function.parameters is not a valid moonshot flavored json schema, details: "
    for tool in body.get("tools") or ():
        function = tool["function"]
        schema = function.get("parameters")
        if not function["name"][:1].isalpha() and not function["name"].startswith("_"):
            yield "Invalid request: function name is invalid, must start with a letter and can contain letters, numbers, underscores, and dashes"
        if schema is None:
            continue
        if not isinstance(schema, dict) or schema.get("type", "object" if not schema else None) != "object":
            yield f"{start}<At path '': type must be object>"
        for path in _anyof_beside_type(schema, ""):
            yield f"{start}<At path '{path}': when using anyOf, type should be defined in anyOf items instead of the parent schema>"


def _anyof_beside_type(schema: Any, path: str) -> Any:
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
    """Groq refuses unknown message members and what it does not support."""
    for spot, message in enumerate(body["messages"]):
        for name in message:
            if name not in _GROQ_MEMBERS:
                sentence = f"'messages.{spot}' : for 'role:{message['role']}' the following must be satisfied[('messages.{spot}' : property '{name}' is unsupported)]"
                raise refusal("groq", "bad_request", detail=sentence)
    for name in ("logprobs", "logit_bias", "top_logprobs"):
        if body.get(name):
            raise refusal("groq", "bad_request", detail=f"property '{name}' is unsupported")
    if body.get("n") not in (None, 1):
        raise refusal("groq", "bad_request", detail="'n' : number must be at most 1")


def check_groq_calls(calls: tuple[Call, ...], body: JsonObject) -> Refused | None:
    """Groq validates the model's calls itself: the 400 `tool_use_failed`, where one does not fit the request's tools."""
    schemas = {tool.name: tool.schema for tool in _tools(body)}
    for call in calls:
        arguments = _loads(call.arguments)
        if call.name not in schemas:
            reason = f"attempted to call tool '{call.name}' which was not in request.tools"
        elif not isinstance(arguments, dict) or not checker(schemas[call.name])(arguments):
            reason = f"parameters for tool {call.name} did not match schema: errors: [invalid arguments]"
        else:
            continue
        generation = f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}'
        message = f"Tool call validation failed: tool call validation failed: {reason}"
        error = {
            "message": message,
            "type": "invalid_request_error",
            "code": "tool_use_failed",
            "failed_generation": generation,
        }
        return Refused(400, {"error": error})
    return None


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def read_prompt(body: JsonObject, *, thinking: bool) -> Prompt:
    """The prompt for the simulated model."""
    choice = body.get("tool_choice") or "auto"
    named = isinstance(choice, dict)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return Prompt(
        turns=tuple(map(_turn, body["messages"])),
        tools=_tools(body),
        choice=choice["function"]["name"] if isinstance(choice, dict) else choice,
        named=named,
        parallel=body.get("parallel_tool_calls") is not False,
        max_tokens=limit if isinstance(limit, int) else None,
        thinks=thinking,
    )


def _tools(body: JsonObject) -> tuple[OfferedTool, ...]:
    functions = [tool["function"] for tool in body.get("tools") or ()]
    return tuple(
        OfferedTool(item["name"], item.get("description") or "", item.get("parameters") or {}) for item in functions
    )


def _turn(message: Mapping[str, Any]) -> Turn:
    role: Role = "system" if message["role"] == "developer" else message["role"]
    text, images = _content(message.get("content"))
    calls = tuple(
        Call(str(call.get("id", "")), str(call["function"].get("name", "")), str(call["function"].get("arguments", "")))
        for call in message.get("tool_calls") or ()
        if isinstance(call, dict) and isinstance(call.get("function"), dict)
    )
    return Turn(role, text, calls, str(message.get("tool_call_id") or ""), images)


def _content(content: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(content, list):
        return (content if isinstance(content, str) else ""), ()
    parts = [part for part in content if isinstance(part, dict)]
    images = [part["image_url"] for part in parts if part.get("type") == "image_url" and part.get("image_url")]
    links = tuple(image.get("url", "") if isinstance(image, dict) else str(image) for image in images)
    return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "text"), links
