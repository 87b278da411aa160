"""What the dialects hand over, and what rescue returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..types import ToolCall

Outcome: TypeAlias = Literal["rescued", "clean_text", "suspect"]

MAX_CALLS = 128
MAX_INPUT = 1 << 20
"""Bytes of UTF-8 that are read; a longer answer is suspect."""


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
    elsewhere. `dropped` lists every call that was refused, also beside rescued ones. `dialect` names the form of the
    first call (empty if there was none), `notes` the repairs.
    """

    outcome: Outcome
    tool_calls: tuple[ToolCall, ...]
    text: str
    dropped: tuple[Dropped, ...]
    dialect: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as it is written in a text, unjudged.

    `name` None: the form has no name, only the arguments can tell (`id` is a bare counter). `arguments` is their text
    or JSON value. `ended`: the call's own end mark was there, so brackets that are still open outside strings may be
    closed. `words`: every argument was written as bare text, so a value may be read as JSON if the schema wants no
    string. `cut`: nothing shows that the call is complete, so missing arguments are not read as none.
    """

    name: str | None
    arguments: Any
    id: str | None = None
    ended: bool = False
    words: bool = False
    cut: bool = False


@dataclass(slots=True)
class Piece:
    """A part of a text that is (or looks like) one or more calls, from `start` to `end`.

    `refused` holds name, reason and detail of calls that are broken in themselves, `flaw` says why the whole is.
    `tangled`: the order of the marks is not the dialect's, so that no call of this dialect in the text can be trusted:
    what looks like a call may be a value. `void`: marks around nothing. `cut`: the text ended inside. `plain`: no call.
    """

    dialect: str
    start: int
    end: int
    calls: list[WrittenCall] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    flaw: str = ""
    tangled: bool = False
    plain: bool = False
    void: bool = False
    cut: bool = False

    @property
    def holds_calls(self) -> bool:
        """Whether it is a call, even a broken one, and not marks alone."""
        return bool(self.calls or self.refused)
