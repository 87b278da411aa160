"""Converts a `PreparedHistory` into the system prompt and the messages of Anthropic's API. Pure.

User and assistant turns alternate, and tool results come first in a user turn. Content is neither dropped nor
reordered: if the protocol has no place for a message, it is sent as marked text at the same position. The URL of an
image is passed on; the image is not fetched.
Rules: https://platform.claude.com/docs/en/api/messages and docs/providers.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from ..errors import EndpointUnavailable, RequestRejected
from ..history import PreparedHistory
from ..history.reading import EMPTY, text_of
from ..types import JsonObject

_GO_ON = "Continue."
_BEGIN = "(The conversation begins with the assistant.)"
_TAKEN = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SAME = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


@dataclass(slots=True)
class _AnthropicTurn:
    """One user or assistant message under assembly. Its content is the tool results (`results`), then `blocks`."""

    role: str
    results: list[JsonObject] = field(default_factory=list)
    blocks: list[JsonObject] = field(default_factory=list)

    def message(self) -> JsonObject:
        content = [*self.results, *self.blocks] or [{"type": "text", "text": EMPTY}]
        return {"role": self.role, "content": content}


def converted(history: PreparedHistory, notes: dict[str, None]) -> tuple[str, list[JsonObject]]:
    """The system prompt and the messages to send to Anthropic for this history. Changes are added to `notes`.

    Raises RequestRejected or EndpointUnavailable for content that cannot be sent.
    """
    messages = list(history.messages)
    leading = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    system = "\n\n".join(filter(str.strip, (text_of(message["content"]) for message in messages[:leading])))
    turns: list[_AnthropicTurn] = []
    for message in messages[leading:]:
        _add(message, turns, history, notes)
    turns = _closed(turns, notes)
    return system, [turn.message() for turn in turns]


def _add(message: JsonObject, turns: list[_AnthropicTurn], history: PreparedHistory, notes: dict[str, None]) -> None:
    if "name" in message:
        notes["message_fields_removed: name"] = None
    if message["role"] == "assistant":
        blocks = [*_blocks(message["content"]), *map(_tool_use, message.get("tool_calls", ()))]
        if blocks:  # an empty assistant message adds no turn
            _turn_of(turns, "assistant").blocks += blocks
        return
    turn = _turn_of(turns, "user")
    if message["role"] == "tool":
        turn.results.append(_tool_result(message, made_up=message["tool_call_id"] in history.made_up))
    elif message["role"] == "system":
        notes["system_message_in_the_conversation: marked text in a user turn"] = None
        text = text_of(message["content"])
        if text.strip():
            turn.blocks.append({"type": "text", "text": f"<system_message>\n{text}\n</system_message>"})
    else:
        turn.blocks += _blocks(message["content"])


def _turn_of(turns: list[_AnthropicTurn], role: str) -> _AnthropicTurn:
    """The last turn if it has this role, else a new turn, which is added to `turns`.

    Tool results follow an assistant turn, so they always begin a new user turn.
    """
    if not turns or turns[-1].role != role:
        turns.append(_AnthropicTurn(role))
    return turns[-1]


def _closed(turns: list[_AnthropicTurn], notes: dict[str, None]) -> list[_AnthropicTurn]:
    """The turns, with a user turn added at the beginning or end if an assistant turn is there.

    The protocol requires a user turn at both ends.
    """
    if not turns or turns[0].role == "assistant":
        turns = [_AnthropicTurn("user", blocks=[{"type": "text", "text": _BEGIN if turns else EMPTY}]), *turns]
    if turns[-1].role == "assistant":
        notes["assistant_message_at_the_end: asked to continue"] = None
        turns = [*turns, _AnthropicTurn("user", blocks=[{"type": "text", "text": _GO_ON}])]
    return turns


def _blocks(content: str | Sequence[JsonObject]) -> list[JsonObject]:
    """Anthropic's text and image blocks for a message's content. Anthropic refuses empty text, so it is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: JsonObject) -> JsonObject | None:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]} if part["text"].strip() else None
    if part["type"] == "image_url":
        return _image_block(part["image_url"]["url"])
    raise EndpointUnavailable("no_capability", f"it takes no {part['type']}", phase="send")


def _tool_use(call: JsonObject) -> JsonObject:
    function = call["function"]
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": json.loads(function["arguments"])}


def _tool_result(message: JsonObject, *, made_up: bool) -> JsonObject:
    content = message["content"]
    result: JsonObject = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
    if isinstance(content, str):
        result |= {"content": content} if content.strip() else {}
    elif blocks := _blocks(content):
        result["content"] = blocks
    return result | ({"is_error": True} if made_up else {})


def _image_block(url: str) -> JsonObject:
    """Anthropic's block for the image at an `https:` or `data:` URL.

    Raises RequestRejected (`image_refused`) that says what is wrong with the image.
    """
    if url[:5].lower() == "data:":
        return {"type": "image", "source": _inline(url[5:])}
    if not _is_https(url):
        raise _refused("an image's URL must begin with https:// or data:")
    return {"type": "image", "source": {"type": "url", "url": url}}


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # for example an unclosed bracket
        return False
    return parts.scheme.lower() == "https" and bool(parts.hostname)


def _inline(rest: str) -> JsonObject:
    head, comma, payload = rest.partition(",")
    if not comma:
        raise _refused("a data URL without data")
    media, *options = (part.strip().lower() for part in head.split(";"))
    encoded = "base64" in options
    data = _decoded(payload) if encoded else unquote_to_bytes(payload)
    # The bytes decide the media type, because Anthropic refuses an image with a wrong label.
    media = _seen(data) or _SAME.get(media, media)
    if media not in _TAKEN:
        raise _refused(f"images are taken as {', '.join(_TAKEN)}, not as {media[:40] or 'an unnamed type'}")
    if not data:
        raise _refused("an image without data")
    return {"type": "base64", "media_type": media, "data": base64.b64encode(data).decode()}


def _decoded(payload: str) -> bytes:
    raw = b"".join(unquote_to_bytes(payload).split()).translate(_URL_SAFE).rstrip(b"=")
    try:
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _refused("an image's data is not base64") from None


def _seen(data: bytes) -> str:
    """The media type that the first bytes of an image show; empty if Anthropic does not accept that type."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def _refused(why: str) -> RequestRejected:
    return RequestRejected("image_refused", why, phase="send")
