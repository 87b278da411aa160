"""Tool calls and their results: brought together, each with an id that the next endpoint takes and no other has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..types import JsonObject

NO_RESULT = "No result of this call was recorded."
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTER = re.compile(r"(.*:)(\d{1,9})")


@dataclass(slots=True, eq=False)
class Turn:
    """A message in normal form; for an assistant's with tool calls, the results of each, in the calls' order."""

    message: JsonObject
    results: list[JsonObject | None] = field(default_factory=list)

    @property
    def calls(self) -> list[JsonObject]:
        found: list[JsonObject] = self.message.get("tool_calls") or []
        return found


def paired(messages: Iterable[JsonObject], notes: dict[str, None]) -> list[Turn]:
    """The conversation with every tool result beside its call.

    A result belongs to the newest call of its id that has none yet, so ids that come again in later turns, or twice in
    one, stay apart. One that belongs to no call becomes text of the user's, where it stood.
    """
    turns: list[Turn] = []
    moved = 0
    for message in messages:
        if message["role"] != "tool":
            turns.append(Turn(message, [None] * len(message.get("tool_calls") or ())))
            continue
        place = _place(turns, message)
        if place is None:
            turns.append(Turn(_as_text(message)))
            notes["tool_result_without_call: told as text"] = None
            continue
        turn, index = place
        turn.results[index] = message
        moved += turn is not turns[-1]
    if moved:
        notes["tool_results_moved: next to their calls"] = None
    return turns


def _place(turns: Sequence[Turn], result: JsonObject) -> tuple[Turn, int] | None:
    for matches in (_same_id, _same_name):
        for turn in reversed(turns):
            for index, call in enumerate(turn.calls):
                if turn.results[index] is None and matches(call, result):
                    return turn, index
            if matches is _same_name and turn.calls:
                break  # a result without id can only belong to the newest calls
    return None


def _same_id(call: JsonObject, result: JsonObject) -> bool:
    return bool(result["tool_call_id"]) and call["id"] == result["tool_call_id"]


def _same_name(call: JsonObject, result: JsonObject) -> bool:
    """For results without id: the named function's, or, unnamed, the next one."""
    return not result["tool_call_id"] and result.get("name", call["function"]["name"]) == call["function"]["name"]


def _as_text(result: JsonObject) -> JsonObject:
    of = result.get("name") or result["tool_call_id"] or "an unknown call"
    told = f"[Result of an earlier tool call ({of})]"
    content = result["content"]
    if isinstance(content, str):
        return {"role": "user", "content": f"{told}\n{content}"}
    return {"role": "user", "content": [{"type": "text", "text": told}, *content]}


@dataclass(frozen=True, slots=True)
class Numbered:
    """Messages whose calls and results carry the ids that are sent; `made_up` are the ids of results that were not there."""

    messages: list[JsonObject]
    made_up: frozenset[str]
    taken: frozenset[str]
    """Ids that a new call may not have: the caller's and those that are sent."""
    calls: int


NewId = Callable[[str, str, int, set[str]], str]
"""(the caller's id, tool name, number of the call in the conversation, ids in use) -> the id that is sent."""


def numbered(turns: Iterable[Turn], new_id: NewId, notes: dict[str, None]) -> Numbered:
    """Rename all calls, and their results with them; make up the results that are missing."""
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
        notes["tool_results_missing: told as such"] = None
    return Numbered(messages, frozenset(made_up), frozenset(used | theirs), count)


def _without_calls(message: JsonObject) -> JsonObject:
    return {key: value for key, value in message.items() if key != "tool_calls"}


def kimi_id(_theirs: str, name: str, number: int, _used: set[str]) -> str:
    """The id that Kimi models were trained on: others in the history make them leak their markers."""
    return f"functions.{name}:{number}"


def own_id(theirs: str, name: str, number: int, used: set[str]) -> str:
    """The caller's id, unless it is missing or already used for another call."""
    if theirs and theirs not in used:
        return theirs
    return next(made for count in _up_from(number) if (made := f"functions.{name}:{count}") not in used)


def legal_id(theirs: str, _name: str, number: int, used: set[str]) -> str:
    """The caller's id in the characters that Anthropic takes, made unique."""
    if _LEGAL_ID.fullmatch(theirs) and theirs not in used:
        return theirs
    base = re.sub(r"[^A-Za-z0-9_-]", "_", theirs)[:40] or f"call_{number}"
    if base not in used:
        return base
    return next(made for count in _up_from(2) if (made := f"{base}_{count}") not in used)


def fresh_id(given: str, number: int, taken: frozenset[str]) -> str:
    """An id that no other call of the conversation has: `given` where it is free."""
    if given not in taken:
        return given
    counter = _COUNTER.fullmatch(given)
    stem, start = (counter[1], number) if counter else (f"{given}-", 2)
    return next(made for count in _up_from(start) if (made := f"{stem}{count}") not in taken)


def _up_from(number: int) -> Iterator[int]:
    while True:
        yield number
        number += 1
