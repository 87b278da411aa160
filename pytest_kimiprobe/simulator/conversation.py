"""Types for prompts and answers, the same for all protocols, and functions that count and limit their tokens.

The protocols, the simulated model and the personas pass these types to each other.
"""

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
    """A tool that a request offers to the model. `schema` is the JSON Schema of the tool's arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that a model made. `arguments` is the text that is sent, normally a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """One message of a prompt.

    `calls` are the tool calls of an assistant turn. `call_id` is the id of the call that a tool turn answers. `images`
    are data URLs or links.
    """

    role: Role
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """Input of the simulated model, the same for all protocols.

    `choice` is `auto`, `none` or `required`; if `named` is true, it is the name of the tool that must be called.
    `parallel` allows several calls in one answer. `thinks` says whether the model writes reasoning before the answer,
    and `effort` how much: `low`, `medium`, `high` or `max`, empty if the model has no efforts. The text of an answer
    without calls is JSON that satisfies `answer_schema`; None if the text is free.
    """

    turns: tuple[PromptTurn, ...]
    tools: tuple[OfferedTool, ...] = ()
    choice: str = "auto"
    named: bool = False
    parallel: bool = True
    max_tokens: int | None = None
    thinks: bool = False
    effort: str = ""
    answer_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer before it is written in a provider's format.

    `finish` is the finish reason, with OpenAI's values: `stop`, `tool_calls` or `length`.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"


def parsed(text: str | bytes) -> Any:
    """Parse a JSON text. Returns None if the text is not valid JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_PIECE = re.compile(r"\s*(?:[^\W_]{1,6}|<\||\|>|[^\s])", re.UNICODE)


def pieces(text: str) -> list[str]:
    """Split a text into pieces that are about as long as tokens. Joined, the pieces give the same text."""
    found = _PIECE.findall(text)
    rest = text[sum(map(len, found)) :]
    return [*found, rest] if rest else found


def token_count(text: str) -> int:
    """Number of tokens that the simulated providers bill for a text."""
    return len(pieces(text))


def completion_tokens(draft: Draft) -> int:
    """Number of tokens of a whole answer: reasoning, text and tool calls."""
    calls = sum(token_count(call.name) + token_count(call.arguments) + 3 for call in draft.calls)
    return token_count(draft.reasoning) + token_count(draft.text) + calls


def shorten(draft: Draft, max_tokens: int | None) -> Draft:
    """The answer, cut if it has more than `max_tokens` tokens. None means no limit.

    A cut answer keeps its first tokens, counted through the reasoning and then the text. It has no tool calls, and
    its finish reason is `length`.
    """
    if max_tokens is None or completion_tokens(draft) <= max_tokens:
        return draft
    reasoning = pieces(draft.reasoning)[:max_tokens]
    text = pieces(draft.text)[: max_tokens - len(reasoning)]
    return Draft(text="".join(text), reasoning="".join(reasoning), finish="length")
