"""Verifies whether an answer can be delivered. Probes and production share these rules, which apply to any request.

An answer is deliverable unchanged (`ok`), deliverable after a repair (`rescued`), or not deliverable (`failed`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from .history.calls import canonical, repeated_calls
from .history.prompt_tools import TOOLS_EMULATED
from .parsing.garbled_text import text_fault
from .parsing.message_text import copied_from, last_user_message, texts_of
from .parsing.strict_json import StrictJsonError, loads
from .reasons import KNOWN_FINISHES, REASONS
from .schema import ToolSet
from .types import Answer, ChatRequest, Message, RawToolCall, RescueMode, Tool, ToolCall, ToolChoice

if TYPE_CHECKING:
    from .rescue import Rescue

Outcome = Literal["ok", "rescued", "failed"]
_BROKEN = frozenset({"unknown_tool", "arguments_not_json", "arguments_not_object", "arguments_break_schema"})
"""Reason codes, beside `leaked_call`, that a call found in a text can have if it cannot be delivered."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of verifying an answer: outcome, reason code, and the text and calls that can be delivered.

    `calls` counts the structured calls as received, `valid_calls` those that are right without a repair. `k2vv_valid`
    is the K2 Vendor Verifier's judgement of the same answer: every call names an offered tool, parses and satisfies the
    schema. It is None unless the finish reason is `tool_calls`. `leaked`: a call was in the text, because the host did
    not parse it, and could not be rescued. `notes` tell what a caller may want to know about a right answer.
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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestExpectations:
    """The parts of a request that an answer is checked against, beside the tools.

    `messages` are read only if an answer makes that necessary, because a history can be long. `request_texts` are more
    texts from which the model could have copied a call. `refuse_repeated`: a call that repeats the last three turns
    fails. `rescue` limits the calls that are taken from the text. `emulated`: the prompt asked for calls in the text.
    """

    messages: Sequence[Message] = ()
    request_texts: Sequence[str] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    refuse_repeated: bool = False
    rescue: RescueMode = "all"
    emulated: bool = False
    json_text: bool = False
    """Whether the request's `response_format` asked for a text that is JSON."""

    def origins(self) -> dict[str, Any]:
        """Keyword arguments for `rescue`: the texts from which the model could have copied a call."""
        last = last_user_message(self.messages)
        texts = texts_of(self.messages[last].get("content")) if last >= 0 else []
        return {
            "last_user": "\n".join(texts) or None,
            "request_texts": chain(self.request_texts, copied_from(self.messages, last)),
        }


ANYTHING = RequestExpectations()
"""Expectations if only the tools of the request are known."""


def expectations_of(request: ChatRequest) -> RequestExpectations:
    """The parts of a request that its answer is checked against."""
    tools = bool(request.tools)
    return RequestExpectations(
        request.messages,
        tool_choice=request.tool_choice if tools else None,
        parallel_tool_calls=request.parallel_tool_calls if tools else None,
        json_text=(request.response_format or {}).get("type") in {"json_object", "json_schema"},
    )


def check(answer: Answer, tools: Sequence[Tool], expected: RequestExpectations = ANYTHING) -> Checked:
    """Judge one complete answer against the tools that were offered.

    Raises ToolSchemaError if a tool of the caller has no valid schema.
    """
    toolset = ToolSet.of(tools)
    strict = [_strictly_valid(call, toolset) for call in answer.tool_calls]
    calls = tuple(call for call in strict if isinstance(call, ToolCall))
    # If no call is allowed, rescue only looks for stray markers in the text.
    callable_tools = () if expected.tool_choice == "none" and not answer.tool_calls else tools
    checked = _against_request(_decide(answer, callable_tools, strict, calls, expected), expected)
    if checked.outcome != "failed":
        if checked.tool_calls:
            checked = _against_history(checked, expected)
        else:
            checked = _against_format(_against_text(checked, answer), expected)
    return _counted(checked, answer, toolset, len(calls))


def _against_request(checked: Checked, expected: RequestExpectations) -> Checked:
    """`checked`, or a failed result if the answer breaks the request's `tool_choice` or `parallel_tool_calls`."""
    choice, calls = expected.tool_choice, checked.tool_calls
    if checked.outcome == "failed" and not calls:  # the calls left beside a dropped one may still be delivered
        return checked
    if choice == "none" and calls:
        return _refused("unexpected_call", checked, "tool_choice was none")
    if choice == "required" and not calls:
        return _refused("missing_call", checked, "tool_choice was required")
    if isinstance(choice, Mapping):
        wanted = (choice.get("function") or {}).get("name")
        if not calls or any(call.name != wanted for call in calls):
            return _refused("wrong_tool" if calls else "missing_call", checked, "tool_choice named another call")
    if expected.parallel_tool_calls is False and len(calls) > 1:
        return _refused("extra_call", checked, "parallel_tool_calls was false")
    return checked


def _against_text(checked: Checked, answer: Answer) -> Checked:
    """`checked`, or a failed result if the text of the answer is damaged or was not written by the model."""
    reason, detail = text_fault(checked.text, answer.usage)
    return _refused(reason, checked, detail) if reason else checked


def _against_format(checked: Checked, expected: RequestExpectations) -> Checked:
    """`checked`, or a failed result if the request asked for JSON and the text of the answer is not JSON."""
    if checked.outcome == "failed" or not expected.json_text:
        return checked
    try:
        json.loads(checked.text)
    except (ValueError, RecursionError):
        return _refused("not_json", checked, "the text is not JSON")
    return checked


def _against_history(checked: Checked, expected: RequestExpectations) -> Checked:
    """`checked` with a note, or a failed result, if a call repeats what the last turns of the history did in vain."""
    repeated = repeated_calls(expected.messages)
    if not repeated or not any((one.name, canonical(one.arguments)) in repeated for one in checked.tool_calls):
        return checked
    if expected.refuse_repeated:
        return _refused("repeated_call", checked, "the same call had the same result three times")
    return replace(checked, notes=("repeated_call",))


def _refused(reason: str, checked: Checked, detail: str) -> Checked:
    return Checked("failed", reason, checked.text, (), detail)


def check_generation(generation: str, tools: Sequence[Tool], expected: RequestExpectations = ANYTHING) -> Checked:
    """Judge the text of a tool call that the provider refused (Groq's `failed_generation`)."""
    from .rescue import rescue

    rescued = rescue(generation, tools, **expected.origins(), mode=expected.rescue)
    if rescued.outcome == "rescued" and not rescued.dropped:
        found = Checked("rescued", "rescued_text", rescued.text, rescued.tool_calls, "from failed_generation")
        return _against_request(found, expected)
    return Checked("failed", "tool_use_failed", "")


def _decide(
    answer: Answer,
    tools: Sequence[Tool],
    strict: Sequence[ToolCall | _CallDefect],
    calls: tuple[ToolCall, ...],
    expected: RequestExpectations,
) -> Checked:
    if answer.finish_reason == "content_filter":
        return _failed("content_filter", answer)
    if _is_unknown(answer.finish_reason) and not answer.tool_calls:
        return replace(_failed("unknown_finish_reason", answer), detail=f"finish reason {answer.finish_reason}")
    defect = next((defect for defect in strict if isinstance(defect, _CallDefect)), None) or _same_ids(calls)
    if defect is None and not may_hold_calls(answer, tools):
        return _unchanged(answer, calls)
    from .rescue import rescue  # only some answers need it: most are right

    rescued = rescue(
        answer.text,
        tools,
        reasoning=answer.reasoning or None,
        raw_tool_calls=answer.tool_calls or None,
        finish_reason="length" if _is_unknown(answer.finish_reason) else answer.finish_reason,
        **expected.origins(),
        mode=expected.rescue,
        emulated=expected.emulated or any(note.startswith(TOOLS_EMULATED) for note in answer.notes),
    )
    return _after_rescue(answer, rescued, defect)


def _is_unknown(finish_reason: str | None) -> bool:
    """Whether there is a finish reason, and it is none of those for a complete answer, a cut answer or a refusal."""
    return finish_reason is not None and finish_reason not in KNOWN_FINISHES


def _unchanged(answer: Answer, calls: tuple[ToolCall, ...]) -> Checked:
    if not calls and not answer.text.strip():
        if answer.finish_reason == "length":
            return _failed("length", answer)
        return _failed("finish_without_calls" if answer.finish_reason == "tool_calls" else "empty_answer", answer)
    if not calls and answer.finish_reason == "tool_calls":
        return _failed("finish_without_calls", answer)
    if any(not call.arguments for call in calls):  # `{}` may be the rest of longer arguments
        if answer.finish_reason == "length":
            return _failed("length", answer)
        if _is_unknown(answer.finish_reason):
            return _failed("unknown_finish_reason", answer)
    if calls and answer.finish_reason not in {"tool_calls", None}:
        return Checked("rescued", "finish_reason_mismatch", answer.text, calls, f"finish reason {answer.finish_reason}")
    return Checked("ok", "ok", answer.text, calls)


def _after_rescue(answer: Answer, rescued: Rescue, defect: _CallDefect | None) -> Checked:
    dropped = tuple(f"{drop.name}: {drop.reason}" for drop in rescued.dropped)
    leaked = _leaked(answer, rescued, defect)
    if rescued.outcome == "suspect":
        first = rescued.dropped[0] if rescued.dropped else None
        reason = first.reason if first else defect.reason if defect else _bare_reason(answer)
        detail = first.detail if first else defect.detail if defect else ""
        if reason == "empty_answer" and answer.finish_reason == "length":
            reason = "length"  # reasoning used up all tokens
        return Checked("failed", reason, rescued.text, (), detail, dropped, leaked=leaked)
    if rescued.outcome == "clean_text":
        if rescued.text.strip() == answer.text.strip():
            return Checked("ok", "ok", answer.text)
        if "markers_stripped" not in rescued.notes:  # only a marked thought at the beginning was left out
            return Checked("ok", "ok", rescued.text)
        return Checked("rescued", "markers_stripped", rescued.text)
    if dropped:
        return Checked("failed", "dropped_call", rescued.text, rescued.tool_calls, dropped[0], dropped, leaked=leaked)
    if defect is not None:
        return Checked("rescued", "rescued_structure", rescued.text, rescued.tool_calls, defect.detail or defect.reason)
    return Checked("rescued", _rescue_reason(answer, rescued), rescued.text, rescued.tool_calls, rescued.dialect or "")


def _leaked(answer: Answer, rescued: Rescue, defect: _CallDefect | None) -> bool:
    """Whether a call that is not delivered was in the text or the reasoning instead of a structured call."""
    if answer.finish_reason == "length":
        return False  # cut by max_tokens; a retry would be cut too
    in_text = bool(rescued.dialect) and defect is None
    return any(drop.reason == "leaked_call" or (in_text and drop.reason in _BROKEN) for drop in rescued.dropped)


def _rescue_reason(answer: Answer, rescued: Rescue) -> str:
    if answer.tool_calls and len(rescued.tool_calls) == len(answer.tool_calls):
        return "markers_stripped"  # the structured calls were right; only their copy in the text was removed
    return "rescued_text" if answer.text.strip() != rescued.text.strip() else "rescued_reasoning"


def _bare_reason(answer: Answer) -> str:
    if not answer.text.strip() and not answer.tool_calls:
        return "finish_without_calls" if answer.finish_reason == "tool_calls" else "empty_answer"
    return "leaked_call"


@dataclass(frozen=True, slots=True)
class _CallDefect:
    """Why a structured call is not valid as received."""

    reason: str
    detail: str = ""


def _strictly_valid(call: RawToolCall, toolset: ToolSet) -> ToolCall | _CallDefect:
    """The call if it needs no repair, else its defect."""
    if call.name is None or call.name not in toolset:
        return _CallDefect("unknown_tool")
    if not isinstance(call.arguments, str):
        return _CallDefect("arguments_not_object", "arguments as a JSON value instead of a string")
    try:
        arguments = loads(call.arguments)
    except StrictJsonError as error:
        return _CallDefect("arguments_not_json", str(error))
    if not isinstance(arguments, dict):
        return _CallDefect("arguments_not_object", "arguments are not an object")
    if error_text := toolset.errors(call.name, arguments):
        return _CallDefect("arguments_break_schema", error_text)
    if not call.id:
        return _CallDefect("missing_call_id", "call without an id")
    return ToolCall(call.id, call.name, arguments, call.arguments)


def _same_ids(calls: tuple[ToolCall, ...]) -> _CallDefect | None:
    repeated = len({call.id for call in calls}) < len(calls)
    return _CallDefect("duplicate_call_id", "two calls share an id") if repeated else None


def may_hold_calls(answer: Answer, tools: Sequence[Tool]) -> bool:
    """Whether rescue must look at the text. A quick test that saves time; only rescue decides what a text holds."""
    if any(mark in answer.text for mark in ("<|", "|>", "think>", "think\u25b7")):
        return True
    if not tools or answer.tool_calls:
        return False
    if not answer.text.strip():
        return bool(answer.reasoning)
    return any(mark in answer.text for mark in ("{", "<", "(", "functions."))


def _failed(reason: str, answer: Answer) -> Checked:
    return Checked("failed", reason, answer.text, detail=REASONS[reason].meaning)


def _counted(checked: Checked, answer: Answer, toolset: ToolSet, valid: int) -> Checked:
    k2vv = None
    if answer.finish_reason == "tool_calls":
        calls = answer.tool_calls
        strictly = valid == len(calls)  # K2VV's rule accepts every call that is strictly valid
        k2vv = bool(calls) and (strictly or all(_k2vv_valid(call, toolset) for call in calls))
    return replace(checked, calls=len(answer.tool_calls), valid_calls=valid, k2vv_valid=k2vv)


def _k2vv_valid(call: RawToolCall, toolset: ToolSet) -> bool:
    """Whether a call is valid by the K2 Vendor Verifier's rule.

    Its name was offered, `json.loads` accepts its arguments (lenient on purpose), and they satisfy the tool's schema.
    """
    if call.name is None or call.name not in toolset:
        return False
    try:
        arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    except (ValueError, RecursionError):
        return False
    return toolset.errors(call.name, arguments) is None
