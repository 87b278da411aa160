"""Pairs tool calls with their results and gives each pair a unique id that the next endpoint accepts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..parsing.kimi_ids import free_kimi_id, kimi_id
from ..types import Answer, JsonObject, RawToolCall

NO_RESULT = "No result of this call was recorded."
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTER = re.compile(r"(.*:)(\d{1,9})")


@dataclass(slots=True, eq=False)
class PairedMessage:
    """A message in normal form; for an assistant message with tool calls also the result of each call, in order."""

    message: JsonObject
    results: list[JsonObject | None] = field(default_factory=list)

    @property
    def calls(self) -> list[JsonObject]:
        found: list[JsonObject] = self.message.get("tool_calls") or []
        return found


def paired(messages: Iterable[JsonObject], notes: dict[str, None]) -> list[PairedMessage]:
    """The conversation with every tool result attached to its call.

    A result belongs to the newest call with its id that has no result yet. So ids that repeat in later turns, or within
    one turn, are kept apart. A result without a call becomes a user message at the same position.
    """
    turns: list[PairedMessage] = []
    moved = 0
    for message in messages:
        if message["role"] != "tool":
            turns.append(PairedMessage(message, [None] * len(message.get("tool_calls") or ())))
            continue
        place = _place(turns, message)
        if place is None:
            turns.append(PairedMessage(_as_text(message)))
            notes["tool_result_without_call: written as text"] = None
            continue
        turn, index = place
        turn.results[index] = message
        moved += turn is not turns[-1]
    if moved:
        notes["tool_results_moved: next to their calls"] = None
    return turns


def _place(turns: Sequence[PairedMessage], result: JsonObject) -> tuple[PairedMessage, int] | None:
    for matches in (_same_id, _same_name):
        for turn in reversed(turns):
            for index, call in enumerate(turn.calls):
                if turn.results[index] is None and matches(call, result):
                    return turn, index
            if matches is _same_name and turn.calls:
                break  # only the newest calls can own a result without id
    return None


def _same_id(call: JsonObject, result: JsonObject) -> bool:
    return bool(result["tool_call_id"]) and call["id"] == result["tool_call_id"]


def _same_name(call: JsonObject, result: JsonObject) -> bool:
    """Whether a result without id belongs to this call: it has the call's name, or no name."""
    return not result["tool_call_id"] and result.get("name", call["function"]["name"]) == call["function"]["name"]


def _as_text(result: JsonObject) -> JsonObject:
    of = result.get("name") or result["tool_call_id"] or "an unknown call"
    told = f"[Result of an earlier tool call ({of})]"
    content = result["content"]
    if isinstance(content, str):
        return {"role": "user", "content": f"{told}\n{content}"}
    return {"role": "user", "content": [{"type": "text", "text": told}, *content]}


@dataclass(frozen=True, slots=True)
class PreparedHistory:
    """A history in the form that one endpoint accepts.

    `taken` are ids that a new call must not have: the caller's and those that are sent. `calls` counts the calls.
    `notes` list what was changed. `made_up` are the ids of tool results that were missing and were filled in. `restore`
    gives the answer tool names and call ids that fit the caller's own history.
    """

    messages: tuple[JsonObject, ...]
    notes: tuple[str, ...] = ()
    made_up: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()
    calls: int = 0
    aliases: Mapping[str, str] = field(default_factory=dict)
    """The caller's tool names -> the names that are sent, for those that differ."""

    def restore(self, answer: Answer) -> Answer:
        """The answer with the caller's tool names, and with call ids that no earlier call of the conversation has.

        Kimi K3 counts from 0 in every turn, so the same id may come again with other arguments.
        """
        theirs = {sent: name for name, sent in self.aliases.items()}
        calls = tuple(
            RawToolCall(
                call.id and fresh_id(call.id, self.calls, self.taken),
                call.name if call.name is None else theirs.get(call.name, call.name),
                call.arguments,
            )
            for call in answer.tool_calls
        )
        return answer if calls == answer.tool_calls else replace(answer, tool_calls=calls)


NewId = Callable[[str, str, int, set[str]], str]
"""(the caller's id, tool name, number of the call in the conversation, ids in use) -> the id that is sent."""


def numbered(turns: Iterable[PairedMessage], new_id: NewId, notes: dict[str, None]) -> PreparedHistory:
    """Give all calls and their results new ids; fill in the results that are missing."""
    messages: list[JsonObject] = []
    used: set[str] = set()
    theirs: set[str] = set()
    made_up: set[str] = set()
    count = 0
    for turn in turns:
        calls, results = [], []
        for call, result in zip(turn.calls, turn.results, strict=True):
            call_id = new_id(call["id"], call["function"]["name"], count, used)
            count += 1
            used.add(call_id)
            theirs.add(call["id"])
            calls.append({**call, "id": call_id})
            content = NO_RESULT if result is None else result["content"]
            results.append({"role": "tool", "tool_call_id": call_id, "content": content})
            if result is None:
                made_up.add(call_id)
        messages.append({**turn.message, "tool_calls": calls} if calls else _without_calls(turn.message))
        messages += results
    if made_up:
        notes["tool_results_missing: reported as missing"] = None
    return PreparedHistory(tuple(messages), (), frozenset(made_up), frozenset(used | theirs), count)


def _without_calls(message: JsonObject) -> JsonObject:
    return {key: value for key, value in message.items() if key != "tool_calls"}


def native_id(_theirs: str, name: str, number: int, _used: set[str]) -> str:
    """The model's own form of id (kimi_ids.py)."""
    return kimi_id(name, number)


def own_id(theirs: str, name: str, number: int, used: set[str]) -> str:
    """The caller's id, unless it is missing or already used for another call."""
    if theirs and theirs not in used:
        return theirs
    return free_kimi_id(name, number, used)


def legal_id(theirs: str, _name: str, number: int, used: set[str]) -> str:
    """The caller's id in characters that Anthropic accepts, made unique."""
    if _LEGAL_ID.fullmatch(theirs) and theirs not in used:
        return theirs
    base = re.sub(r"[^A-Za-z0-9_-]", "_", theirs)[:40] or f"call_{number}"
    if base not in used:
        return base
    return next(made for number in itertools.count(2) if (made := f"{base}_{number}") not in used)


def fresh_id(given: str, number: int, taken: frozenset[str]) -> str:
    """An id that no other call of the conversation has: `given` if it is free."""
    if given not in taken:
        return given
    counter = _COUNTER.fullmatch(given)
    stem, start = (counter[1], number) if counter else (f"{given}-", 2)
    return next(made for number in itertools.count(start) if (made := f"{stem}{number}") not in taken)
