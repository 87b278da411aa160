"""`rescue` for a whole answer, `RescueStream` for one that arrives in pieces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ..schema import ToolSet
from ..types import RescueMode, Tool, ToolCall
from .call_validation import CallValidator, call_key, structured
from .decision import Judge, Judged
from .held_text import HeldText
from .origin import RequestTexts
from .result import MAX_INPUT, Dropped, Outcome, Rescue

_THOUGHT_END = re.compile(r"\s*</think>\s*\Z")


def rescue(  # noqa: PLR0917 - the order in which an answer's parts are named everywhere
    content: str | None,
    tools: Sequence[Tool] | ToolSet,
    reasoning: str | None = None,
    raw_tool_calls: Iterable[Any] | None = None,
    finish_reason: str | None = None,
    last_user: str | None = None,
    request_texts: Iterable[str] = (),
    *,
    mode: RescueMode = "all",
    emulated: bool = False,
) -> Rescue:
    """What a complete answer holds: calls that may be executed, text that may be delivered, or neither.

    `content` and `reasoning` are the assistant's own text of this turn, `raw_tool_calls` its structured calls (OpenAI
    shapes or `RawToolCall`). `last_user` is the user's last message, `request_texts` every text of the request that a
    call could be copied from. `mode` limits the forms that are rescued. `emulated`: the prompt asked for calls in the
    text. Never raises for anything that a model wrote. Raises ToolSchemaError only if `tools` is not JSON.
    """
    stream = RescueStream(tools, last_user, request_texts, mode=mode, emulated=emulated)
    stream.feed(content or "")
    return stream.finish(finish_reason, reasoning=reasoning, raw_tool_calls=raw_tool_calls)


class RescueStream:
    """The same for an answer whose text arrives in pieces: fed in any chunks, it ends as `rescue` does on the whole.

    The answer is judged when it is complete. Until then text flows up to the first mark of a call or a thought.
    """

    def __init__(
        self,
        tools: Sequence[Tool] | ToolSet,
        last_user: str | None = None,
        request_texts: Iterable[str] = (),
        *,
        mode: RescueMode = "all",
        emulated: bool = False,
    ) -> None:
        self._tools = ToolSet.of(tools)
        self._judge = Judge(self._tools, RequestTexts(request_texts, last_user), mode, emulated)
        self._held = HeldText(self._tools, emulated=emulated)
        self._pieces: list[str] = []
        self._room = MAX_INPUT
        self._overflow = False

    def feed(self, chunk: str) -> str:
        """Take a piece of the text; returns the part of the text so far that may be delivered now.

        Text that a later end tag without its begin tag shows to be a thought has been delivered by then; the final
        text is without it.
        """
        size = len(chunk) if chunk.isascii() else len(chunk.encode("utf-8", "surrogatepass"))
        if size > self._room:
            chunk = chunk.encode("utf-8", "replace")[: self._room].decode("utf-8", "ignore")
            self._overflow = True
        self._room = max(0, self._room - size)
        self._pieces.append(chunk)
        return self._held.feed(chunk)

    def finish(
        self,
        finish_reason: str | None = None,
        *,
        reasoning: str | None = None,
        raw_tool_calls: Iterable[Any] | None = None,
    ) -> Rescue:
        """The result for the whole answer. `text` starts with everything that `feed` gave, but for a thought."""
        at_limit = finish_reason == "length"
        given = CallValidator(self._tools)
        raw = structured(raw_tool_calls, cut=at_limit)
        for written in raw:
            given.take(written)
        found = _ended(self._judge.judge("".join(self._pieces)), at_limit=at_limit)
        calls = _joined(given.calls, found)
        results = [given, found.validator]
        dialects, notes = found.dialects, [*given.notes, *found.validator.notes]
        if not calls and not found.text.strip() and not raw:
            thought = self._judge.judge(_THOUGHT_END.sub("", (reasoning or "")[:MAX_INPUT]), thought=True)
            calls = _ended(thought, at_limit=at_limit).validator.calls
            results.append(thought.validator)
            dialects = [*dialects, *thought.dialects]
            notes += [*thought.validator.notes, "from_reasoning"] if calls else []
        dropped = [drop for result in results for drop in result.dropped]
        if self._overflow:
            dropped.append(Dropped("", "body_too_large", f"more than {MAX_INPUT} bytes of text"))
        if not calls and not dropped:
            dropped += _missing(found, finish_reason)
        outcome: Outcome = "rescued" if calls else "suspect" if dropped else "clean_text"
        dialect = "structured" if given.calls else dialects[0] if dialects else "structured" if raw else ""
        return Rescue(outcome, tuple(calls), found.text, tuple(dropped), dialect, tuple(dict.fromkeys(notes)))


def _ended(found: Judged, *, at_limit: bool) -> Judged:
    """Refuse the last call of an answer that ended at its limit, unless the call's own end was there."""
    calls = found.validator.calls
    if at_limit and calls and calls[-1].id == found.unended:
        found.validator.drop(calls.pop().name, "length", "the answer ended before the call did")
    return found


def _joined(given: list[ToolCall], found: Judged) -> list[ToolCall]:
    """Structured calls and those of the text, a call that is in both once.

    Beside structured calls only Kimi's own forms count as further calls: anything else is talk about calls.
    """
    calls = list(given)
    unmatched = Counter(map(call_key, given)) if found.validator.calls else Counter[str]()
    taken = {call.id for call in calls}
    for call in found.validator.calls:
        key = call_key(call) if unmatched else ""
        if unmatched[key] > 0:
            unmatched[key] -= 1
        elif given and found.foreign:
            found.validator.drop(call.name, "leaked_call", "written beside other, structured calls")
        else:
            calls.append(_with_free_id(call, taken))
            taken.add(calls[-1].id)
    return calls


def _with_free_id(call: ToolCall, taken: set[str]) -> ToolCall:
    if call.id not in taken:
        return call
    index = next(index for index in range(len(taken) + 1) if f"functions.{call.name}:{index}" not in taken)
    return ToolCall(f"functions.{call.name}:{index}", call.name, call.arguments, call.raw)


def _missing(found: Judged, finish_reason: str | None) -> list[Dropped]:
    """What is suspect about an answer without any call."""
    if finish_reason == "tool_calls":
        return [Dropped("", "finish_without_calls", "finish reason tool_calls, but no call anywhere")]
    if not found.text.strip():
        return [Dropped("", "empty_answer", "neither text nor tool call")]
    if found.looks_like:
        return [Dropped(found.looks_like, "leaked_call", "the text ends in what looks like a call")]
    return []
