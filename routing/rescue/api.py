"""`rescue` for a whole answer, `RescueStream` for one that arrives: the same scanner, fed once or many times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..parsing.strict_json import StrictJsonError, loads
from ..schema import ToolSet
from ..types import Tool, ToolCall
from .call_validation import Desk, call_key, offered, structured
from .context.quotations import Foreign
from .context.sentence import lead, reads_written
from .context.user_request import asks_about_calls, wants_json
from .dialects.json_calls import written_calls
from .result import MAX_INPUT, Dropped, Outcome, Rescue
from .scanner import Scanner

_END_TAG = re.compile(r"</([\w.\-]{1,64})>\Z")
_RUN_TAGS = frozenset({"exec", "execute", "execute_command", "tool", "tool_code", "use_tool"})
_CALL_TAGS = frozenset({"tool_call", "tool_calls", "function", "function_calls", "invoke", "parameter"})
_LEFT_OVER = re.compile(r"</(?:antml:)?(?:parameter|invoke|function|tool_call|function_call)s?>")
_TAGS = frozenset({"hermes", "xml_invoke", "function_tag"})
_NATIVE = frozenset({"k2", "k3"})


def rescue(  # noqa: PLR0917 - the order in which an answer's parts are named everywhere
    content: str | None,
    tools: Sequence[Tool] | ToolSet,
    reasoning: str | None = None,
    raw_tool_calls: Iterable[Any] | None = None,
    finish_reason: str | None = None,
    last_user: str | None = None,
    foreign: Sequence[str] = (),
) -> Rescue:
    """What a complete answer holds: calls that may be executed, text that may be delivered, or neither.

    `content` and `reasoning` are the assistant's own text of this turn, `raw_tool_calls` its structured calls (OpenAI
    shapes or `RawToolCall`), `last_user` the user's last message, `foreign` everything that the user and tools wrote in
    the conversation: what stands there is a quotation, not a call. Never raises for whatever a model wrote.
    Raises ToolSchemaError only where `tools` is not JSON.
    """
    stream = RescueStream(tools, last_user, foreign)
    stream.feed(content or "")
    return stream.finish(finish_reason, reasoning=reasoning, raw_tool_calls=raw_tool_calls)


class RescueStream:
    """The same for an answer whose text arrives in pieces: fed in any chunks, it ends as `rescue` does."""

    def __init__(
        self, tools: Sequence[Tool] | ToolSet, last_user: str | None = None, foreign: Sequence[str] = ()
    ) -> None:
        self._tools = ToolSet.of(tools)
        self._last_user = last_user
        self._foreign = Foreign(foreign, last_user)
        self._reader = _Reader(Scanner(self._tools, last_user=last_user, foreign=self._foreign))

    def feed(self, chunk: str) -> str:
        """Take a piece of the text; gives what of the text so far may be delivered now and was not before."""
        return self._reader.feed(chunk)

    def finish(
        self,
        finish_reason: str | None = None,
        *,
        reasoning: str | None = None,
        raw_tool_calls: Iterable[Any] | None = None,
    ) -> Rescue:
        """The text is complete. `text` of the result starts with everything that `feed` gave."""
        scanner = _complete(_trusted(self._reader.close()), finish_reason)
        desk = Desk(self._tools)
        given = structured(raw_tool_calls, cut=finish_reason == "length")
        for written in given:
            desk.take(written)
        structured_calls = tuple(desk.calls)
        calls, dialects = self._joined(structured_calls, scanner)
        text = "".join(scanner.out)
        dropped = [*desk.dropped, *scanner.desk.dropped]
        notes = [*desk.notes, *scanner.desk.notes]
        if not calls and not text.strip() and not given:
            thought = _complete(self._from_thoughts(reasoning, scanner.thoughts), finish_reason)
            calls, dialects = tuple(thought.desk.calls), [*dialects, *thought.dialects]
            dropped += thought.desk.dropped
            notes += [*thought.desk.notes, "from_reasoning"] if calls else []
        if self._reader.overflow:
            dropped.append(Dropped("", "body_too_large", f"more than {MAX_INPUT} bytes of text"))
        if not calls and not dropped:
            dropped += self._missing(text, finish_reason)
        outcome: Outcome = "rescued" if calls else "suspect" if dropped else "clean_text"
        dialect = "structured" if structured_calls else dialects[0] if dialects else "structured" if given else ""
        return Rescue(outcome, calls, text, tuple(dropped), dialect, tuple(dict.fromkeys(notes)))

    def _joined(
        self, structured_calls: tuple[ToolCall, ...], scanner: Scanner
    ) -> tuple[tuple[ToolCall, ...], list[str]]:
        """Structured calls and those of the text, a call that stands in both once.

        Beside structured calls only Kimi's own markers count as further calls: anything else is talk about calls.
        """
        calls = list(structured_calls)
        found = scanner.desk.calls
        unmatched = Counter(map(call_key, structured_calls)) if found else Counter[str]()
        taken = {call.id for call in calls}
        native = set(scanner.dialects) <= _NATIVE
        for call in found:
            key = call_key(call) if unmatched else ""
            if unmatched[key] > 0:
                unmatched[key] -= 1
            elif structured_calls and not native:
                scanner.desk.drop(call.name, "leaked_call", "written beside other, structured calls")
            else:
                calls.append(_with_free_id(call, taken))
                taken.add(calls[-1].id)
        return tuple(calls), scanner.dialects

    def _from_thoughts(self, reasoning: str | None, thoughts: list[str]) -> Scanner:
        """A call that the model began inside its thought: Kimi's own markers, and nothing after them."""
        text = reasoning if reasoning and reasoning.strip() else "".join(thoughts[-1:])
        reader = _Reader(Scanner(self._tools, last_user=self._last_user, foreign=self._foreign, thought=True))
        reader.feed(text)
        scanner = _trusted(reader.close())
        after = bytes(scanner.source.data[scanner.last_call_end :]).strip() if scanner.desk.calls else b""
        if after not in {b"", b"</think>"} or not set(scanner.dialects) <= _NATIVE:
            for call in scanner.desk.calls:
                scanner.desk.drop(call.name, "leaked_call", "the thought goes on after the call")
            scanner.desk.calls.clear()
        return scanner

    def _missing(self, text: str, finish_reason: str | None) -> list[Dropped]:
        """What is suspect about an answer without any call."""
        if finish_reason == "tool_calls":
            return [Dropped("", "finish_without_calls", "finish reason tool_calls, but no call anywhere")]
        if not text.strip():
            return [Dropped("", "empty_answer", "neither text nor tool call")]
        name = self._at_the_end(text.strip())
        return [Dropped(name, "leaked_call", "the text ends in what looks like a call")] if name else []

    def _at_the_end(self, text: str) -> str:
        """The tool that is meant by what looks like a call at the end of a text; empty where it is an answer.

        A call in the middle of a line, arguments without a name, a tag nobody asked for: never executed, but no answer.
        """
        if asks_about_calls(self._last_user):
            return ""
        return self._json_at_the_end(text) or self._tag_at_the_end(text)

    def _tag_at_the_end(self, text: str) -> str:
        """The same for `<exec>...</exec>`, a tag with a tool's name, or an end tag that is left over."""
        found = _END_TAG.search(text, max(0, len(text) - 80))
        if found is None or not self._tools.names:
            return ""
        opened = text.rfind(f"<{found[1]}>")
        line = text.rfind("\n", 0, max(opened, 0)) + 1
        if opened >= 0 and (text[line:opened].strip() or found[1] not in {*_RUN_TAGS, *self._tools.names}):
            return ""
        left_over = f"<{found[1]}" not in text and found[1] in _CALL_TAGS
        said = lead(text[:opened] if opened >= 0 else "")
        return found[1] if (left_over or opened >= 0) and reads_written(said) == "call" else ""

    def _json_at_the_end(self, text: str) -> str:
        brace = text.find("{")
        if brace < 0 or not text.endswith("}"):
            return ""
        try:
            value = loads(text[brace:])
        except StrictJsonError:
            return ""
        said = lead(text[:brace])
        if reads_written(said) != "call":
            return ""
        written = [offered(self._tools, call.name or "") for call in written_calls(value, self._tools)]
        if any(written):
            return next(name for name in written if name)
        fits = [name for name in self._tools.names if self._takes(name, value)]
        return fits[0] if len(fits) == 1 and (not said or fits[0] in said) and not wants_json(self._last_user) else ""

    def _takes(self, name: str, value: Any) -> bool:
        required = set(self._tools.required(name))
        return (
            bool(required) and isinstance(value, dict) and required <= set(value) <= set(self._tools.properties(name))
        )


def _trusted(scanner: Scanner) -> Scanner:
    """Revoke the calls of a dialect whose marks stand in a wrong order anywhere, or are left over in the text.

    K3 and tags have values without escapes: what ends one may be its content, and what follows a part of it. The
    real end marks then turn up where none belong.
    """
    tangled = set(scanner.tangled)
    if _TAGS & set(scanner.origins.values()) and _LEFT_OVER.search("".join(scanner.out)):
        tangled |= _TAGS
    for call in [call for call in scanner.desk.calls if scanner.origins[call.id] in tangled]:
        scanner.desk.calls.remove(call)
        scanner.desk.drop(call.name, "leaked_call", "marks of its dialect stand in a wrong order")
    return scanner


def _complete(scanner: Scanner, finish_reason: str | None) -> Scanner:
    """Refuse the last call of an answer that ended at its limit, unless the call's own end was there."""
    last = scanner.desk.calls[-1:]
    if finish_reason == "length" and last and last[0].id == scanner.unended:
        scanner.desk.calls.pop()
        scanner.desk.drop(last[0].name, "length", "the answer ended before the call did")
    return scanner


def _with_free_id(call: ToolCall, taken: set[str]) -> ToolCall:
    if call.id not in taken:
        return call
    index = next(index for index in range(len(taken) + 1) if f"functions.{call.name}:{index}" not in taken)
    return ToolCall(f"functions.{call.name}:{index}", call.name, call.arguments, call.raw)


class _Reader:
    """Drives a scanner: feeds it, and takes out what may be delivered."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.overflow = False
        self._run = scanner.run()
        self._given = 0

    def feed(self, chunk: str) -> str:
        if self.overflow or not chunk:
            return ""
        self.overflow = not self.scanner.source.append(chunk, MAX_INPUT)
        next(self._run, None)
        return self._taken()

    def close(self) -> Scanner:
        """The scanner after the end of the text."""
        self.scanner.source.closed = True
        next(self._run, None)
        return self.scanner

    def _taken(self) -> str:
        new = self.scanner.out[self._given :]
        self._given = len(self.scanner.out)
        return "".join(new)
