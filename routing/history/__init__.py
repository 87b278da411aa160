"""Makes any message history valid for one endpoint: call ids, tool names, tool results, reasoning, images. Pure.

docs/providers.md lists what hosts refuse, and what makes Kimi models leak their markers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..catalog.model import Endpoint, Provider
from ..errors import EndpointUnavailable
from ..types import JsonObject, Message
from .calls import NewId, PreparedHistory, legal_id, native_id, numbered, own_id, paired
from .reading import EMPTY, REASONING, images_of, read_message, text_of
from .tool_names import NameRule, aliases

__all__ = ["PLACEHOLDER", "PreparedHistory", "prepare"]

PLACEHOLDER = " "
"""Reasoning that is sent with an earlier tool call if the host requires one and the real one is not known.
LiteLLM sends the same text.
"""
_DETAILS = frozenset({"reasoning.text", "reasoning.summary", "reasoning.encrypted"})


def prepare(
    messages: Sequence[Message],
    endpoint: Endpoint,
    provider: Provider,
    *,
    thinks: bool | None = None,
    tools: Iterable[str] = (),
    rule: NameRule = "any",
) -> PreparedHistory:
    """Make a history of messages valid for `endpoint`.

    `thinks`: whether the endpoint will think in this request; None means its default. `tools`: names of the offered
    tools. These names and those in the history are replaced if they break `rule`.

    Raises RequestRejected for a role or content that no protocol has.
    Raises EndpointUnavailable for content that this endpoint does not accept.
    """
    notes: dict[str, None] = {}
    quirks = provider.quirks | endpoint.quirks
    read = [read_message(message, notes) for message in messages]
    earlier = (call["function"]["name"] for message in read for call in message.get("tool_calls", ()))
    sent = aliases([*tools, *earlier], rule)
    renamed = [_renamed(message, sent) for message in read]
    done = numbered(paired(renamed, notes), _new_id(endpoint, provider), notes)
    thinks = endpoint.thinks if thinks is None else thinks
    shaped = [_reasoning(message, endpoint, provider, notes, thinks=thinks) for message in done.messages]
    shaped = list(_images_moved(shaped, notes, provider.wire))
    for message in shaped:
        if "tools" in message and "dynamic_tools" not in endpoint.capabilities:
            del message["tools"]
            notes["message_fields_removed: tools"] = None
        _check_images(message, endpoint, quirks)
        if "text_content" in quirks and isinstance(message["content"], list) and not images_of(message["content"]):
            message["content"] = text_of(message["content"])
    shaped = list(_not_empty(shaped, notes, provider.wire))
    return replace(
        done, messages=tuple(shaped or [{"role": "user", "content": EMPTY}]), notes=tuple(notes), aliases=sent
    )


def _not_empty(messages: Iterable[JsonObject], notes: dict[str, None], wire: str) -> Iterator[JsonObject]:
    """Yield the messages without empty ones, which Moonshot refuses. An empty user message gets `EMPTY` as its text.

    Empty assistant messages remain from answers that were interrupted, or that held only reasoning.
    """
    for message in messages:
        role = message["role"]
        if role == "tool" or any(message.get(name) for name in ("content", "tool_calls", "partial", "tools")):
            yield message
        elif role != "user":
            notes[f"empty_{role}_message: left out"] = None
        elif wire == "anthropic":  # which joins it with other messages of the user
            yield message
        else:
            notes["empty_user_message: sent with a text"] = None
            yield {**message, "content": EMPTY}


def _renamed(message: JsonObject, names: Mapping[str, str]) -> JsonObject:
    for call in message.get("tool_calls", ()):
        function = call["function"]
        function["name"] = names.get(function["name"], function["name"])
    if message["role"] == "tool" and "name" in message:
        message["name"] = names.get(message["name"], message["name"])
    return message


def _new_id(endpoint: Endpoint, provider: Provider) -> NewId:
    if provider.wire == "anthropic" or endpoint.family != "kimi":
        return legal_id
    # Moonshot's own API renames all ids of the history before its models see them.
    return own_id if "own_call_ids" in provider.quirks | endpoint.quirks else native_id


def _reasoning(
    message: JsonObject, endpoint: Endpoint, provider: Provider, notes: dict[str, None], *, thinks: bool
) -> JsonObject:
    """The message with its reasoning in the field that this endpoint reads, or without reasoning if it reads none."""
    if message["role"] != "assistant":
        return message
    thought = _thought(message)
    bare = {key: value for key, value in message.items() if key not in REASONING}
    place = provider.reasoning_field if endpoint.thinks else ""
    if not place:
        if thought:
            notes["reasoning_removed: not taken here"] = None
        return bare
    if not thought:
        if not (thinks and message.get("tool_calls") and "reasoning_required" in provider.quirks | endpoint.quirks):
            return bare
        notes["reasoning_filled: a tool call without is refused"] = None
    bare[place] = thought or PLACEHOLDER
    if place == "reasoning" and "upstream_pinning" in provider.quirks and (details := _details(message)):
        bare["reasoning_details"] = details
    return bare


def _thought(message: JsonObject) -> str:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str):
            return str(message[name])
    texts = [row.get("text") or row.get("summary") for row in _details(message)]
    return "".join(text for text in texts if isinstance(text, str))


def _details(message: JsonObject) -> list[JsonObject]:
    rows = message.get("reasoning_details")
    rows = rows if isinstance(rows, list) else []
    return [dict(row) for row in rows if isinstance(row, Mapping) and row.get("type") in _DETAILS]


def _images_moved(messages: Iterable[JsonObject], notes: dict[str, None], wire: str) -> Iterator[JsonObject]:
    """Yield the messages, with images and files only in messages that may hold them.

    Those of other messages are moved into a user message that follows.
    """
    taking = {"user", "tool"} if wire == "anthropic" else {"user"}
    waiting: list[JsonObject] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role != "tool" and waiting:
            yield {"role": "user", "content": waiting}
            waiting = []
        if role in taking:
            yield message
            continue
        if others := images_of(content):
            notes[f"images_of_{role}_messages: moved into a user message"] = None
            origin = f"tool result {message['tool_call_id']}" if role == "tool" else f"the {role} message"
            waiting += [{"type": "text", "text": f"[Images of {origin}]"}, *others]
        yield {**message, "content": text_of(content) or ("[images follow]" if others else "")}
    if waiting:
        yield {"role": "user", "content": waiting}


def _check_images(message: JsonObject, endpoint: Endpoint, quirks: frozenset[str]) -> None:
    for part in images_of(message["content"]):
        if part["type"] != "image_url":
            continue
        if "vision" not in endpoint.capabilities:
            raise EndpointUnavailable("no_capability", "it takes no images", phase="send")
        if "inline_images" in quirks and not part["image_url"]["url"].lower().startswith(("data:", "ms://")):
            raise EndpointUnavailable("no_capability", "it takes images as data URLs only", phase="send")
