"""Check a request to Anthropic's Messages API, and read the prompt for the simulated model from it.

The checks are Anthropic's rules for the order of messages, for ids and for content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from ..behaviour.refusals import refusal
from ..behaviour.served_models import SimulatedModel
from ..conversation import Call, JsonObject, Prompt, PromptTurn
from ..validity import is_schema, offer
from .openai_in import thinks

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")


def check(body: JsonObject, version: str) -> None:
    """Check a request by Anthropic's rules. Raises Refusal with Anthropic's message for the first fault.

    `version` is the anthropic-version header.
    """
    for sentence in _faults(body, version):
        raise refusal("anthropic", "bad_request", detail=sentence)


def _faults(body: JsonObject, version: str) -> Iterator[str]:
    if not version:
        yield "anthropic-version: header is required"
    messages = body["messages"]
    if not messages:
        yield "messages: at least one message is required"
        return
    yield from _sampling_faults(body)
    yield from _thinking_faults(body)
    yield from _tool_faults(body)
    for spot, message in enumerate(messages):
        yield from _message_faults(spot, message)
    yield from _order_faults(messages, tools=bool(body.get("tools")))


def _sampling_faults(body: JsonObject) -> Iterator[str]:
    if str(body.get("model", "")).startswith("claude-sonnet-5"):
        for name in ("temperature", "top_p", "top_k"):
            if body.get(name) not in (None, 1):
                yield f"`{name}` is not supported by this model"


def _thinking_faults(body: JsonObject) -> Iterator[str]:
    """Anthropic's messages for options that Claude Sonnet 5.5, the newest model, refuses.

    https://platform.claude.com/docs/en/models/sonnet-5-5/whats-new-sonnet-5-5
    """
    if not str(body.get("model", "")).startswith("claude-sonnet-5-5"):
        return
    if (body.get("thinking") or {}).get("type") == "disabled":
        yield "thinking.type: `disabled` is not supported by this model; use `between_tools`"
    if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        yield "tool_choice: forced tool use is not supported by this model"


def _tool_faults(body: JsonObject) -> Iterator[str]:
    tools = body.get("tools") or []
    for spot, tool in enumerate(tools):
        if "name" not in tool or "input_schema" not in tool:
            yield f"tools.{spot}.custom.input_schema: Field required"
        elif not _NAME.fullmatch(tool["name"]):
            yield f"tools.{spot}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        elif tool["input_schema"].get("type") != "object":
            yield f"tools.{spot}.custom.input_schema.type: Input should be 'object'"
    choice = body.get("tool_choice")
    kinds = ("auto", "any", "none", "tool")
    if choice is not None and choice["type"] not in kinds:
        yield f"tool_choice: Input should be one of {', '.join(kinds)}"
    elif choice and not tools:
        yield "tool_choice may only be specified while providing tools"
    elif choice and choice["type"] == "tool" and choice.get("name") not in [tool["name"] for tool in tools]:
        yield f"Tool '{choice.get('name')}' not found in provided tools"


def _message_faults(spot: int, message: Any) -> Iterator[str]:
    if message["role"] not in ("user", "assistant"):
        yield f"messages.{spot}.role: Input should be 'user' or 'assistant'"
        return
    if not message.get("content"):
        yield f"messages.{spot}: {message['role']} messages must have non-empty content"
        return
    for place, block in enumerate(_blocks(message)):
        yield from _block_faults(f"messages.{spot}.content.{place}", block)


def _block_faults(where: str, block: Any) -> Iterator[str]:
    kind = block["type"]
    if kind == "text" and not str(block.get("text", "")).strip():
        yield "messages: text content blocks must be non-empty"
    elif kind == "tool_use" and not _ID.fullmatch(str(block.get("id"))):
        yield f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    elif kind == "tool_use" and not isinstance(block.get("input"), dict):
        yield f"{where}.tool_use.input: Input should be a valid dictionary"
    elif kind == "image":
        yield from _image_faults(where, block.get("source") or {})
    elif kind not in ("text", "tool_use", "tool_result", "thinking", "redacted_thinking", "document"):
        yield f"{where}: Input tag {kind!r} found using 'type' does not match any of the expected tags"


def _image_faults(where: str, source: JsonObject) -> Iterator[str]:
    if source.get("type") == "base64" and source.get("media_type") not in _MEDIA:
        yield f"{where}.image.source.base64.media_type: Input should be {', '.join(map(repr, _MEDIA))}"
    elif source.get("type") not in ("base64", "url", "file"):
        yield f"{where}.image.source: Input should be base64, url or file"


def _order_faults(messages: list[JsonObject], *, tools: bool) -> Iterator[str]:
    """Anthropic's messages for faults in the order of tool uses, tool results and messages.

    Each tool use must have a result in the next message, and results come before other content. The request must
    define tools if its messages use them. The last message must be the user's.
    """
    waiting: set[str] = set()
    for spot, message in enumerate(messages):
        blocks = _blocks(message)
        kinds = [block["type"] for block in blocks]
        results = {str(block.get("tool_use_id")) for block in blocks if block["type"] == "tool_result"}
        if results - waiting:
            yield (
                f"messages.{spot}.content.0: unexpected `tool_use_id` found in `tool_result` blocks:"
                f" {min(results - waiting)}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if waiting - results or (
            results and kinds[: kinds.count("tool_result")] != ["tool_result"] * kinds.count("tool_result")
        ):
            yield (
                f"messages.{spot - 1}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {', '.join(sorted(waiting))}. Each `tool_use` block must have a corresponding `tool_result` block"
                " in the next message."
            )
        waiting = {str(block["id"]) for block in blocks if block["type"] == "tool_use"}
        if (results or waiting) and not tools:
            yield "Requests which include `tool_use` or `tool_result` blocks must define tools"
    if messages[-1]["role"] != "user":
        yield "This model does not support assistant message prefill. The conversation must end with a user message."


def _blocks(message: JsonObject) -> list[Any]:
    content = message.get("content")
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def read_prompt(model: SimulatedModel, body: JsonObject) -> Prompt:
    """The prompt for the simulated model, from the body of a Messages request that passed the checks."""
    choice = body.get("tool_choice") or {"type": "auto"}
    names = {"auto": "auto", "none": "none", "any": "required"}
    system = body.get("system")
    system_text, _ = _text_and_images(system)
    turns = [turn for message in body["messages"] for turn in _turns(message)]
    return Prompt(
        turns=(PromptTurn("system", system_text), *turns) if system_text else tuple(turns),
        tools=tuple(
            offer(tool["name"], tool.get("description"), tool["input_schema"]) for tool in body.get("tools") or ()
        ),
        choice=names.get(choice["type"], str(choice.get("name"))),
        named=choice["type"] == "tool",
        parallel=not choice.get("disable_parallel_tool_use"),
        max_tokens=body.get("max_tokens"),
        thinks=thinks(model, body),
        answer_schema=_answer_schema(body.get("output_config") or {}),
    )


def _answer_schema(config: JsonObject) -> JsonObject | None:
    """The JSON Schema that the answer's text must satisfy, from `output_config.format`; None if the text is free."""
    schema = (config.get("format") or {}).get("schema")
    return schema if is_schema(schema) else None


def _turns(message: JsonObject) -> Iterator[PromptTurn]:
    """Turns of one message: one turn for each tool result, then one for text, images and calls if there are any."""
    blocks = _blocks(message)
    for block in blocks:
        if block["type"] == "tool_result":
            text, images = _text_and_images(block.get("content"))
            yield PromptTurn("tool", text, call_id=str(block.get("tool_use_id")), images=images)
    text, images = _text_and_images([block for block in blocks if block["type"] in ("text", "image")])
    calls = tuple(
        Call(str(block["id"]), str(block.get("name")), json.dumps(block["input"], ensure_ascii=False))
        for block in blocks
        if block["type"] == "tool_use"
    )
    if text or images or calls:
        yield PromptTurn(message["role"], text, calls, images=images)


def _text_and_images(content: Any) -> tuple[str, tuple[str, ...]]:
    """Text and image links of a message's content, which can be a string, a list of blocks or absent."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else "", ()
    text = "\n".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
    sources = [block.get("source") or {} for block in content if block.get("type") == "image"]
    return text, tuple(_link(source) for source in sources)


def _link(source: JsonObject) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return str(source.get("url", ""))
