"""Pairs tool calls with their results and gives each pair a unique id that the next endpoint accepts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..parsing.kimi_ids import free_kimi_id, kimi_id
from ..types import Answer, JsonObject, Message, RawToolCall

NO_RESULT = "No result of this call was recorded."
_REPEATS = 3
"""After this many equal calls with equal results, the same call is a repetition."""
_LEGAL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNTER = re.compile(r"(.*:)(\d{1,9})")


@dataclass(slots=True, eq=False)
class PairedMessage:
    """A message in normal form, with the results of its tool calls.

    `results` has one entry for each call, in the same order; an entry is None if the result is missing.
    """

    message: JsonObject
    results: list[JsonObject | None] = field(default_factory=list)

    @property
    def calls(self) -> list[JsonObject]:
        found: list[JsonObject] = self.message.get("tool_calls") or []
        return found


def paired(messages: Iterable[JsonObject], notes: dict[str, None]) -> list[PairedMessage]:
    """The messages, with every tool result attached to the message of its call.

    A result belongs to the newest call that has the same id and no result yet. So calls with the same id, in one turn
    or several, keep separate results. A result without an id belongs to the newest message with calls: to its first
    open call that has the result's tool name, if the result has one. A result without a call becomes a user message at
    the same position.
    """
    turns: list[PairedMessage] = []
    waiting = _OpenCalls()
    moved = 0
    for message in messages:
        if message["role"] != "tool":
            turns.append(PairedMessage(message, [None] * len(message.get("tool_calls") or ())))
            waiting.add(turns[-1])
            continue
        place = waiting.take(message)
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


class _OpenCalls:
    """Calls that have no result yet, by id. Those of the newest message with calls can also be found by tool name."""

    def __init__(self) -> None:
        self._by_id: dict[str, list[tuple[PairedMessage, int]]] = {}
        self._newest: dict[str | None, list[tuple[PairedMessage, int]]] = {}

    def add(self, turn: PairedMessage) -> None:
        """Add the calls of a message."""
        if turn.calls:
            self._newest = {}
        for index, call in reversed(list(enumerate(turn.calls))):
            self._by_id.setdefault(call["id"], []).append((turn, index))
            for name in (call["function"]["name"], None):
                self._newest.setdefault(name, []).append((turn, index))

    def take(self, result: JsonObject) -> tuple[PairedMessage, int] | None:
        """The message and the index of the call that a result belongs to; None if there is none."""
        call_id = result["tool_call_id"]
        places = self._by_id.get(call_id) if call_id else self._newest.get(result.get("name"))
        while places:
            turn, index = places.pop()
            if turn.results[index] is None:
                return turn, index
        return None


def _as_text(result: JsonObject) -> JsonObject:
    of = result.get("name") or result["tool_call_id"] or "an unknown call"
    told = f"[Result of an earlier tool call ({of})]"
    content = result["content"]
    if isinstance(content, str):
        return {"role": "user", "content": f"{told}\n{content}"}
    return {"role": "user", "content": [{"type": "text", "text": told}, *content]}


@dataclass(frozen=True, slots=True)
class PreparedHistory:
    """A message history in the form that one endpoint accepts.

    `notes` list what was changed. `made_up` holds the ids of calls whose result was missing and was filled in. `taken`
    holds the ids that a new call must not have: those in the caller's history and those that are sent. `calls` is the
    number of tool calls in the history.
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

        Kimi K3 numbers its calls from 0 in every turn, so the id of an earlier call may come again for a new call.
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


def canonical(value: Any) -> str:
    """JSON text that is equal for equal values; a text that is JSON counts as its value."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
        return json.dumps(value, sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        return str(value) if isinstance(value, str) else repr(type(value))


def repeated_calls(messages: Sequence[Message]) -> frozenset[tuple[str, str]]:
    """Name and canonical arguments of each call that has three equal results in the last three turns of a history.

    Empty unless the history ends with those turns: assistant messages with calls, and the results of the calls.
    """
    found: dict[tuple[str, str], list[Any]] = {}
    results: dict[str, Any] = {}
    turns = 0
    for message in reversed(messages):
        if message.get("role") == "tool":
            results[str(message.get("tool_call_id"))] = message.get("content")
            continue
        calls = message.get("tool_calls")
        if not results or not calls or turns == _REPEATS:
            break
        for call in calls:
            function = call.get("function") or {}
            if (call_id := str(call.get("id"))) in results:
                key = str(function.get("name")), canonical(function.get("arguments"))
                found.setdefault(key, []).append(results[call_id])
        results, turns = {}, turns + 1
    return frozenset(
        call
        for call, told in found.items()
        if max(map(told.count, told[: len(told) - _REPEATS + 1]), default=0) >= _REPEATS
    )


NewId = Callable[[str, str, int, set[str]], str]
"""A function that chooses the id of a call that is sent to the endpoint.
Its arguments: the caller's id, the tool's name, the number of the call in the conversation (from 0), ids in use.
"""


def numbered(turns: Iterable[PairedMessage], new_id: NewId, notes: dict[str, None]) -> PreparedHistory:
    """Give every call and its result an id that `new_id` chooses, and fill in missing results."""
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
    """A call id in the form that Kimi models write, whatever the caller's id is (see routing/parsing/kimi_ids.py)."""
    return kimi_id(name, number)


def own_id(theirs: str, name: str, number: int, used: set[str]) -> str:
    """The caller's id for a call. If it is missing or used for another call, an unused id in Kimi's form."""
    if theirs and theirs not in used:
        return theirs
    return free_kimi_id(name, number, used)


def legal_id(theirs: str, _name: str, number: int, used: set[str]) -> str:
    """The caller's id for a call, with characters that Anthropic refuses replaced, and made unique among `used`."""
    if _LEGAL_ID.fullmatch(theirs) and theirs not in used:
        return theirs
    base = re.sub(r"[^A-Za-z0-9_-]", "_", theirs)[:40] or f"call_{number}"
    if base not in used:
        return base
    return next(made for count in itertools.count(number + 1) if (made := f"{base}_{count}") not in used)


def fresh_id(given: str, number: int, taken: frozenset[str]) -> str:
    """An id that is not in `taken`: `given` if possible, else `given` with another number at its end.

    If `given` ends in a colon and a number, as Kimi's ids do, `number` is the first that is tried.
    """
    if given not in taken:
        return given
    counter = _COUNTER.fullmatch(given)
    stem, start = (counter[1], number) if counter else (f"{given}-", 2)
    return next(made for number in itertools.count(start) if (made := f"{stem}{number}") not in taken)
