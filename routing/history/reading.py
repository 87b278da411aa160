"""Converts messages from callers into one normal form: OpenAI's, without fields that only some hosts accept.

Roles are `system`, `user`, `assistant` and `tool`. Content is a string or a list of parts of known types. A tool call
has a name, and arguments that are the text of a JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import RequestRejected
from ..parsing.message_text import texts_of
from ..types import JsonObject, Message

ROLES = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name; most hosts only know the older one
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
REASONING = ("reasoning_content", "reasoning", "reasoning_details")
_KNOWN = {
    "system": {"role", "content", "name", "tools"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "function_call", "refusal", "partial", *REASONING},
    "tool": {"role", "content", "name", "tool_call_id"},
}
_OTHER_PARTS = frozenset({"input_audio", "file", "video_url"})
EMPTY = "(empty message)"
"""The text that is sent in an empty user message."""
WRAPPED = "malformed_arguments"
"""The key of the object in which an earlier call's arguments are sent if they are not a JSON object themselves."""


def read_message(message: Message, notes: dict[str, None]) -> JsonObject:
    """One message in normal form. The names of fields that were left out are added to `notes`.

    Raises RequestRejected for a role or content that no protocol has.
    """
    if not isinstance(message, Mapping):
        raise RequestRejected("bad_request", "a message is not an object", phase="send")
    role = ROLES.get(str(message.get("role")))
    if role is None:
        raise RequestRejected("bad_request", f"unknown role {str(message.get('role'))[:40]!r}", phase="send")
    # Null fields are ignored: SDK objects dumped to dicts are full of them.
    if unknown := sorted(str(key) for key, value in message.items() if key not in _KNOWN[role] and value is not None):
        notes[f"message_fields_removed: {', '.join(unknown)}"] = None
    read: JsonObject = {"role": role, "content": _content(message.get("content"))}
    if role == "assistant":
        _read_assistant(message, read)
    elif role == "system" and isinstance(tools := message.get("tools"), Sequence):
        read["tools"] = list(tools)
    elif role == "tool":
        read["tool_call_id"] = _text(message.get("tool_call_id"))
    if name := _text(message.get("name")):
        read["name"] = name
    return read


def _read_assistant(message: Message, read: JsonObject) -> None:
    calls = message.get("tool_calls")
    rows = list(calls) if isinstance(calls, Sequence) and not isinstance(calls, str) else []
    if not rows and isinstance(message.get("function_call"), Mapping):
        rows = [{"function": message["function_call"]}]
    if rows:
        read["tool_calls"] = [_call(row) for row in rows if isinstance(row, Mapping)]
    if not read["content"] and (refusal := _text(message.get("refusal"))):
        read["content"] = refusal
    read |= {name: message[name] for name in (*REASONING, "partial") if message.get(name)}


def _call(row: Mapping[str, Any]) -> JsonObject:
    # A call of one of OpenAI's custom tools has its input as text.
    function = next((form for kind in ("function", "custom") if isinstance(form := row.get(kind), Mapping)), {})
    name = _text(function.get("name")) or "unknown"
    arguments = arguments_text(function.get("arguments", function.get("input")))
    return {
        "id": _text(row.get("id")),
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def arguments_text(arguments: Any) -> str:
    """The arguments of a tool call as the text of a JSON object. Chat templates and Anthropic refuse anything else.

    Text that is a JSON object is kept byte for byte. `""` and null become `{}`. Any other value becomes an object that
    holds it under the key `WRAPPED`.
    """
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return "{}"
    if isinstance(arguments, Mapping):
        return as_json(dict(arguments))
    if isinstance(arguments, str) and isinstance(_parsed(arguments), dict):
        return arguments
    return as_json({WRAPPED: arguments})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(number: str) -> float:
    """The number as a float. Raises ValueError if the float is infinite, which JSON cannot express."""
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value


def as_json(value: Any) -> str:
    """The value as JSON text. Raises RequestRejected for a value that JSON cannot express."""
    try:
        return json.dumps(value, ensure_ascii=False, default=dict, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise RequestRejected("bad_request", "the request holds a value that is not JSON", phase="send") from None


def _content(content: Any) -> str | list[JsonObject]:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        # Moonshot refuses a part with empty text, and accepts empty text that is not in a part.
        return [part for item in content for part in _parts(item) if part.get("text") != ""] or ""
    return as_json(content)


def _parts(item: Any) -> Iterator[JsonObject]:
    if isinstance(item, str):
        yield {"type": "text", "text": item}
        return
    if not isinstance(item, Mapping):
        raise RequestRejected("bad_request", "a content part is neither text nor object", phase="send")
    kind = item.get("type")
    if kind in {"text", "input_text", "output_text", "refusal"}:
        yield {"type": "text", "text": _text(item.get("text")) or _text(item.get("refusal"))}
    elif kind in {"image_url", "input_image", "image"}:
        yield _image(item)
    elif kind in _OTHER_PARTS:
        yield dict(item)
    elif kind not in {"thinking", "redacted_thinking", "reasoning"}:
        raise RequestRejected("bad_request", f"unknown type of content part {str(kind)[:40]!r}", phase="send")


def _image(item: Mapping[str, Any]) -> JsonObject:
    """OpenAI's content part for an image, made from one of OpenAI's forms or from Anthropic's form.

    Raises RequestRejected (`image_refused`) for an image without a URL.
    """
    source = item.get("source")
    if isinstance(source, Mapping):
        url = _text(source.get("url")) or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    given = item.get("image_url")
    image = given if isinstance(given, Mapping) else {"url": given}
    detail = {"detail": image["detail"]} if image.get("detail") in {"auto", "low", "high"} else {}
    if not _text(image.get("url")):
        raise RequestRejected("image_refused", "an image part without URL", phase="send")
    return {"type": "image_url", "image_url": {"url": str(image["url"]), **detail}}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def text_of(content: str | Sequence[JsonObject]) -> str:
    """The text of a message's content: its text parts joined by newlines."""
    return "\n".join(texts_of(content))


def images_of(content: str | Sequence[JsonObject]) -> list[JsonObject]:
    """The parts of a message's content that are not text: images and files. The content must be in normal form."""
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]
