"""What the dialects hand over, and what rescue gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..types import ToolCall

Outcome: TypeAlias = Literal["rescued", "clean_text", "suspect"]

MAX_CALLS = 128
MAX_INPUT = 1 << 20
"""Bytes of UTF-8 that are read; an answer beyond them is suspect."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A call that is not delivered. `name` as written (cut, printable), `reason` a code of `routing.reasons`."""

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rescue:
    """What an answer holds.

    `rescued`: `tool_calls` may be executed. `clean_text`: `text` may be delivered. `suspect`: neither; try again or
    elsewhere. `dropped` tells of every call that was refused, also beside rescued ones. `dialect` names the form in
    which the first call stood (empty where there was none), `notes` what was mended.
    """

    outcome: Outcome
    tool_calls: tuple[ToolCall, ...]
    text: str
    dropped: tuple[Dropped, ...]
    dialect: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as somebody wrote it, unjudged.

    `name` None: the form carries none that can be trusted, only the arguments can tell (`id` is a bare counter).
    `arguments` is the text, or the JSON value that stood there. `ended`: the call's own end marker was there, so
    brackets that are still open outside strings may be closed. `words`: every argument was written as bare text, so
    a value may be read as JSON where the schema wants no string. `cut`: nothing shows that the call is complete, so
    arguments that are missing are not taken for none.
    """

    name: str | None
    arguments: Any
    id: str | None = None
    ended: bool = False
    words: bool = False
    cut: bool = False


@dataclass(slots=True)
class Piece:
    """A stretch of the message that is (or looks like) one or more calls. `end` is where the text goes on.

    `refused` holds name, reason and detail of calls that are broken in themselves, `flaw` says why the whole is.
    `tangled`: its marks stand in an order that the dialect does not know, so that no call of the dialect in this
    message can be trusted: a value may hold marks, and what looks like a call may be a value. `mark_end` is the end of its first marker. `plain`: no call after all. `void`: markers around nothing. `cut`: the message ended inside.
    """

    dialect: str
    start: int
    end: int
    calls: list[WrittenCall] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    flaw: str = ""
    tangled: bool = False
    mark_end: int = 0
    plain: bool = False
    void: bool = False
    cut: bool = False
