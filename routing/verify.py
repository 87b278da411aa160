"""Is this answer deliverable? What holds for any answer, whatever was asked; probes and production share it.

An answer passes as it came (`ok`), passes after mending (`rescued`), or may not be delivered (`failed`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .parsing.strict_json import StrictJsonError, loads
from .reasons import REASONS
from .rescue import Rescue, rescue
from .schema import ToolSet
from .types import Answer, ChatRequest, Message, RawToolCall, Tool, ToolCall, ToolChoice

Outcome = Literal["ok", "rescued", "failed"]
_BROKEN = frozenset({"unknown_tool", "arguments_not_json", "arguments_not_object", "arguments_break_schema"})
"""What else than `leaked_call` may be said of a call that leaked: cut, of another tool, or wrong in itself."""
_FOREIGN = frozenset({"user", "tool", "function"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What may be delivered of an answer, and why.

    `calls` counts the structured calls as received, `valid_calls` those that are right without mending; `k2vv_valid`
    is the K2 Vendor Verifier's judgement of the same answer (its formula: every call names an offered tool, parses
    and satisfies the schema), None unless the finish reason is `tool_calls`. `leaked`: a call stood in text where its
    host should have parsed it, and could not be rescued, for whatever reason.
    """

    outcome: Outcome
    reason: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    detail: str = ""
    dropped: tuple[str, ...] = ()
    calls: int = 0
    valid_calls: int = 0
    k2vv_valid: bool | None = None
    leaked: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the request an answer is held against, beside the tools.

    `foreign` are the texts that users and tools wrote in this conversation: a call that stands in one of them is no call
    of the model's own. `last_user` is the newest of the user's.
    """

    last_user: str | None = None
    foreign: Sequence[str] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None


ANYTHING = Asked()
"""Nothing is known of the request but its tools."""


def asked_of(request: ChatRequest) -> Asked:
    """What of a request its answer is held against: a call that stands in a user's or tool's text is not the model's."""
    foreign = [text for message in request.messages if message.get("role") in _FOREIGN for text in _texts(message)]
    users = [text for message in request.messages if message.get("role") == "user" for text in _texts(message)]
    tools = bool(request.tools)
    return Asked(
        last_user=users[-1] if users else None,
        foreign=foreign,
        tool_choice=request.tool_choice if tools else None,
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
    )


def _texts(message: Message) -> list[str]:
    """All text of a message, also where its content is a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list | tuple) else ()
    return [part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str)]


def check(answer: Answer, tools: Sequence[Tool], asked: Asked = ANYTHING) -> Checked:
    """Judge one complete answer against the tools that were offered.

    Raises ToolSchemaError where a tool of the caller's has no valid schema.
    """
    toolset = ToolSet.of(tools)
    sound = [_sound(call, toolset) for call in answer.tool_calls]
    calls = tuple(call for call in sound if isinstance(call, ToolCall))
    # Where nothing may be called, nothing is looked for in the text but stray markers.
    callable_tools = () if asked.tool_choice == "none" and not answer.tool_calls else tools
    checked = _as_asked(_decide(answer, callable_tools, sound, calls, asked), asked)
    return _counted(checked, answer, toolset, len(calls))


def _as_asked(checked: Checked, asked: Asked) -> Checked:
    """Fails what is right in itself but was not asked for: a call against `tool_choice`, several against one."""
    choice, calls = asked.tool_choice, checked.tool_calls
    if checked.outcome == "failed" and not calls:  # what is left beside a dropped call may still be delivered
        return checked
    if choice == "none" and calls:
        return _refused("unexpected_call", checked, "tool_choice was none")
    if choice == "required" and not calls:
        return _refused("missing_call", checked, "tool_choice was required")
    if isinstance(choice, Mapping):
        wanted = (choice.get("function") or {}).get("name")
        if not calls or any(call.name != wanted for call in calls):
            return _refused("wrong_tool" if calls else "missing_call", checked, "tool_choice named another call")
    if asked.parallel_tool_calls is False and len(calls) > 1:
        return _refused("extra_call", checked, "parallel_tool_calls was false")
    return checked


def _refused(reason: str, checked: Checked, detail: str) -> Checked:
    return Checked("failed", reason, checked.text, (), detail)


def check_generation(generation: str, tools: Sequence[Tool], asked: Asked = ANYTHING) -> Checked:
    """Judge the text that a provider refused as its model's tool call (Groq's `failed_generation`)."""
    rescued = rescue(generation, tools, last_user=asked.last_user, foreign=asked.foreign)
    if rescued.outcome == "rescued" and not rescued.dropped:
        found = Checked("rescued", "rescued_text", rescued.text, rescued.tool_calls, "from failed_generation")
        return _as_asked(found, asked)
    return Checked("failed", "tool_use_failed", "")


def _decide(
    answer: Answer,
    tools: Sequence[Tool],
    sound: Sequence[ToolCall | _Flaw],
    calls: tuple[ToolCall, ...],
    asked: Asked,
) -> Checked:
    if answer.finish_reason == "content_filter":
        return _failed("content_filter", answer)
    flaw = next((flaw for flaw in sound if isinstance(flaw, _Flaw)), None) or _same_ids(calls)
    if flaw is None and not _suspicious(answer, tools):
        return _as_it_came(answer, calls)
    rescued = rescue(
        answer.text,
        tools,
        reasoning=answer.reasoning or None,
        raw_tool_calls=answer.tool_calls or None,
        finish_reason=answer.finish_reason,
        last_user=asked.last_user,
        foreign=asked.foreign,
    )
    return _mended(answer, rescued, flaw)


def _as_it_came(answer: Answer, calls: tuple[ToolCall, ...]) -> Checked:
    if not calls and not answer.text.strip():
        if answer.finish_reason == "length":
            return _failed("length", answer)
        return _failed("finish_without_calls" if answer.finish_reason == "tool_calls" else "empty_answer", answer)
    if not calls and answer.finish_reason == "tool_calls":
        return _failed("finish_without_calls", answer)
    if answer.finish_reason == "length" and any(not call.arguments for call in calls):
        return _failed("length", answer)  # `{}` may be what was left of more
    if calls and answer.finish_reason not in {"tool_calls", None}:
        return Checked("rescued", "finish_reason_mismatch", answer.text, calls, f"finish reason {answer.finish_reason}")
    return Checked("ok", "ok", answer.text, calls)


def _mended(answer: Answer, rescued: Rescue, flaw: _Flaw | None) -> Checked:
    dropped = tuple(f"{drop.name}: {drop.reason}" for drop in rescued.dropped)
    leaked = _leaked(answer, rescued, flaw)
    if rescued.outcome == "suspect":
        first = rescued.dropped[0] if rescued.dropped else None
        reason = first.reason if first else flaw.reason if flaw else _bare_reason(answer)
        detail = first.detail if first else flaw.detail if flaw else ""
        if reason == "empty_answer" and answer.finish_reason == "length":
            reason = "length"  # thoughts took all the tokens that there were
        return Checked("failed", reason, rescued.text, (), detail, dropped, leaked=leaked)
    if rescued.outcome == "clean_text":
        if rescued.text.strip() == answer.text.strip():
            return Checked("ok", "ok", answer.text)
        return Checked("rescued", "markers_stripped", rescued.text)
    if dropped:
        return Checked("failed", "dropped_call", rescued.text, rescued.tool_calls, dropped[0], dropped, leaked=leaked)
    if flaw is not None:
        return Checked("rescued", "rescued_structure", rescued.text, rescued.tool_calls, flaw.detail or flaw.reason)
    return Checked("rescued", _rescue_reason(answer, rescued), rescued.text, rescued.tool_calls, rescued.dialect or "")


def _leaked(answer: Answer, rescued: Rescue, flaw: _Flaw | None) -> bool:
    """Whether a call that is not delivered stood in the text or the reasoning, not in a structured call."""
    if answer.finish_reason == "length":
        return False  # cut by max_tokens, as it would be again
    in_text = bool(rescued.dialect) and flaw is None
    return any(drop.reason == "leaked_call" or (in_text and drop.reason in _BROKEN) for drop in rescued.dropped)


def _rescue_reason(answer: Answer, rescued: Rescue) -> str:
    if answer.tool_calls and len(rescued.tool_calls) == len(answer.tool_calls):
        return "markers_stripped"  # the structured calls were sound; only their echo in the text went
    return "rescued_text" if answer.text.strip() != rescued.text.strip() else "rescued_reasoning"


def _bare_reason(answer: Answer) -> str:
    if not answer.text.strip() and not answer.tool_calls:
        return "finish_without_calls" if answer.finish_reason == "tool_calls" else "empty_answer"
    return "leaked_call"


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Why a structured call is not right as it came."""

    reason: str
    detail: str = ""


def _sound(call: RawToolCall, toolset: ToolSet) -> ToolCall | _Flaw:
    """The call if nothing about it needs mending."""
    if call.name is None or call.name not in toolset.names:
        return _Flaw("unknown_tool")
    if not isinstance(call.arguments, str):
        return _Flaw("arguments_not_object", "arguments as a JSON value instead of a string")
    try:
        arguments = loads(call.arguments)
    except StrictJsonError as error:
        return _Flaw("arguments_not_json", str(error))
    if not isinstance(arguments, dict):
        return _Flaw("arguments_not_object", "arguments are not an object")
    if error_text := toolset.errors(call.name, arguments):
        return _Flaw("arguments_break_schema", error_text)
    if not call.id:
        return _Flaw("missing_call_id", "call without an id")
    return ToolCall(call.id, call.name, arguments, call.arguments)


def _same_ids(calls: tuple[ToolCall, ...]) -> _Flaw | None:
    return (
        _Flaw("duplicate_call_id", "two calls share an id") if len({call.id for call in calls}) < len(calls) else None
    )


def _suspicious(answer: Answer, tools: Sequence[Tool]) -> bool:
    """Whether rescue must look at the text: it is the only judge of what a text hides, this only saves time."""
    if any(mark in answer.text for mark in ("<|", "|>")):
        return True
    if not tools or answer.tool_calls:
        return False
    if not answer.text.strip():
        return bool(answer.reasoning)
    return any(mark in answer.text for mark in "{<(")


def _failed(reason: str, answer: Answer) -> Checked:
    return Checked("failed", reason, answer.text, detail=REASONS[reason].meaning)


def _counted(checked: Checked, answer: Answer, toolset: ToolSet, valid: int) -> Checked:
    k2vv = None
    if answer.finish_reason == "tool_calls":
        calls = answer.tool_calls
        strictly = valid == len(calls)  # K2VV's rule takes whatever ours takes
        k2vv = bool(calls) and (strictly or all(_k2vv_valid(call, toolset) for call in calls))
    return Checked(
        checked.outcome,
        checked.reason,
        checked.text,
        checked.tool_calls,
        checked.detail,
        checked.dropped,
        len(answer.tool_calls),
        valid,
        k2vv,
        checked.leaked,
    )


def _k2vv_valid(call: RawToolCall, toolset: ToolSet) -> bool:
    """The K2 Vendor Verifier's rule: offered name, arguments that `json.loads` takes, schema. Lenient where it is."""
    if call.name is None or call.name not in toolset.names:
        return False
    try:
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except (ValueError, RecursionError):
        return False
    return toolset.errors(call.name, arguments) is None
