"""Prompts and answers independent of any protocol, as protocols, simulated model and personas exchange them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as the caller describes it; `schema` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of an answer. `arguments` is JSON text, as it is sent."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """One message. `calls` belong to an assistant turn, `call_id` to a tool turn, `images` holds data URLs or links."""

    role: Role
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """Input of the simulated model, independent of the protocol.

    `choice` is `auto`, `none` or `required`; if `named`, it is the name of the tool that must be called.
    """

    turns: tuple[PromptTurn, ...]
    tools: tuple[OfferedTool, ...] = ()
    choice: str = "auto"
    named: bool = False
    parallel: bool = True
    max_tokens: int | None = None
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer before it is rendered. `finish` has OpenAI's values: stop, tool_calls, length."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"


def parsed(text: str | bytes) -> Any:
    """The JSON value of a text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_PIECE = re.compile(r"\s*(?:[^\W_]{1,6}|<\||\|>|[^\s])", re.UNICODE)


def pieces(text: str) -> list[str]:
    """Split a text into token-like pieces that join to the same text."""
    found = _PIECE.findall(text)
    rest = text[sum(map(len, found)) :]
    return [*found, rest] if rest else found


def token_count(text: str) -> int:
    """Number of tokens that the simulated providers bill for a text."""
    return len(pieces(text))


def completion_tokens(draft: Draft) -> int:
    """Tokens of a whole answer: reasoning, text and calls."""
    calls = sum(token_count(call.name) + token_count(call.arguments) + 3 for call in draft.calls)
    return token_count(draft.reasoning) + token_count(draft.text) + calls


def shorten(draft: Draft, max_tokens: int | None) -> Draft:
    """The answer cut at `max_tokens`: first reasoning, then text; calls are dropped if the whole does not fit."""
    if max_tokens is None or completion_tokens(draft) <= max_tokens:
        return draft
    reasoning = pieces(draft.reasoning)[:max_tokens]
    text = pieces(draft.text)[: max_tokens - len(reasoning)]
    return Draft(text="".join(text), reasoning="".join(reasoning), finish="length")
