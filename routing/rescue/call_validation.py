"""From calls as written to calls that may be executed: the name was offered, the arguments satisfy its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..parsing.kimi_ids import PREFIX as _PREFIX
from ..parsing.strict_json import StrictJsonError, loads
from ..schema import ToolSet, printable
from ..types import RawToolCall, ToolCall
from .arguments import Refused, judge
from .result import MAX_CALLS, Dropped, WrittenCall

_INDEX = re.compile(r":\d{1,9}\Z")
_SANITISED = re.compile(r"functions_(.+)_\d{1,9}\Z")
"""An id that a gateway has made of letters, digits and `_`; models copy it from the history."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_\-]")
_ID = re.compile(r"[\x21-\x7e]{1,256}\Z")


def offered(tools: ToolSet, written: str) -> str | None:
    """The offered name that was meant: exactly, else without `functions.` and `:index`, also with `_` for both.

    No other likeness counts, not even white space around it: a name with control characters is refused.
    """
    name = written
    while True:
        if name in tools:
            return name
        bare = _INDEX.sub("", name)
        if bare in tools:
            return bare
        if sanitised := _SANITISED.match(name):
            fits = [known for known in tools.names if _UNSAFE.sub("_", known) == sanitised[1]]
            return fits[0] if len(fits) == 1 else None
        if not name.startswith(_PREFIX):
            return None
        name = name.removeprefix(_PREFIX)


class CallValidator:
    """Judges the calls of one answer, one by one and in order."""

    def __init__(self, tools: ToolSet) -> None:
        self.tools = tools
        self.calls: list[ToolCall] = []
        self.dropped: list[Dropped] = []
        self.notes: list[str] = []
        self._ids: set[str] = set()

    def take(self, written: WrittenCall, own: Callable[[ToolCall], bool] = lambda _: True) -> ToolCall | None:
        """Judge a call and keep the verdict. `own`: whether a valid call is the model's own, not a copy."""
        judged = self.judge(written)
        if isinstance(judged, ToolCall) and not own(judged):
            judged = Dropped(printable(judged.name, 80), "leaked_call", "the call occurs in the request")
        if isinstance(judged, Dropped):
            self.dropped += [judged] if len(self.dropped) < MAX_CALLS else []
            return None
        self.calls.append(judged)
        return judged

    def drop(self, name: str, reason: str, detail: str = "") -> None:
        """Note a call that is not delivered."""
        if len(self.dropped) < MAX_CALLS:
            self.dropped.append(Dropped(printable(name, 80), reason, printable(detail)))

    def note(self, note: str) -> None:
        """Note a repair once."""
        if note and note not in self.notes:
            self.notes.append(note)

    def judge(self, written: WrittenCall) -> ToolCall | Dropped:
        """The call with a unique id, or why it is refused."""
        if len(self.calls) >= MAX_CALLS or len(self.dropped) >= MAX_CALLS:
            return Dropped(printable(written.name or "", 80), "dropped_call", f"more than {MAX_CALLS} calls")
        name = offered(self.tools, written.name) if written.name is not None else self._inferred(written.arguments)
        if name is None:
            shown = printable(written.name if written.name is not None else (written.id or ""), 80)
            return Dropped(shown, "unknown_tool", "" if written.name is not None else "the name cannot be told")
        arguments = judge(
            self.tools, name, written.arguments, ended=written.ended, words=written.words, cut=written.cut
        )
        if isinstance(arguments, Refused):
            return Dropped(printable(name, 80), arguments.reason, printable(arguments.detail))
        self.note(arguments.note)
        if written.name != name:
            self.note("name_inferred" if written.name is None else "name_normalised")
        return ToolCall(self._unique(written.id, name), name, arguments.value, arguments.raw)

    def _inferred(self, given: Any) -> str | None:
        """The only tool offered, else the only one that knows every key and has its required keys."""
        if len(self.tools.names) == 1:
            return self.tools.names[0]
        try:
            value = loads(given) if isinstance(given, str) else given
        except StrictJsonError:
            return None
        fits = [name for name in self.tools.names if isinstance(value, dict) and self._knows(name, value)]
        return fits[0] if len(fits) == 1 else None

    def _knows(self, name: str, value: dict[str, Any]) -> bool:
        return set(self.tools.required(name)) <= set(value) <= set(self.tools.properties(name))

    def _unique(self, given: str | None, name: str) -> str:
        """The id given if it is one and free, else Kimi's own form `functions.NAME:INDEX`."""
        if given and _ID.match(given) and given not in self._ids:
            self._ids.add(given)
            return given
        self.note("duplicate_id" if given in self._ids else "id_invented")
        index = len(self.calls)
        while f"{_PREFIX}{name}:{index}" in self._ids:
            index += 1
        self._ids.add(f"{_PREFIX}{name}:{index}")
        return f"{_PREFIX}{name}:{index}"


def structured(raw_calls: Iterable[Any] | None, *, cut: bool = False) -> list[WrittenCall]:
    """The structured calls of an answer: OpenAI shapes or `RawToolCall`; what is neither has no usable name.

    `cut`: the answer ended at its limit, so that arguments that are missing may have been meant.
    """
    calls = [replace(_structured(raw), cut=cut) for raw in raw_calls or ()]
    if cut and calls and _is_empty(calls[-1].arguments):
        calls[-1] = replace(calls[-1], arguments=None)
    return calls


def _is_empty(arguments: Any) -> bool:
    return "".join(arguments.split()) == "{}" if isinstance(arguments, str) else arguments == {}


def _structured(raw: Any) -> WrittenCall:
    if isinstance(raw, RawToolCall):
        return WrittenCall(raw.name or "", raw.arguments, raw.id)
    if not isinstance(raw, Mapping):
        return WrittenCall("", None)
    function = raw.get("function")
    body = function if isinstance(function, Mapping) else raw
    name, given = body.get("name"), raw.get("id")
    return WrittenCall(
        name if isinstance(name, str) else "", body.get("arguments"), given if isinstance(given, str) else None
    )


def call_key(call: ToolCall) -> str:
    """One text for all calls that ask for the same: `1` and `true` are not the same argument."""
    return f"{call.name} {json.dumps(call.arguments, sort_keys=True)}"
