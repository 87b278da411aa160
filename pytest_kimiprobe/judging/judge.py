"""The judge: an exchange and what its case expects → verdict and reason. Pure.

This module checks what a case expects. Checks for any answer are in `routing.verify`, which production uses as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from routing.exchange import WRONG_UPSTREAM, Exchange
from routing.parsing.kimi_ids import is_kimi_id
from routing.parsing.strict_json import StrictJsonError, loads
from routing.reasons import reason_of
from routing.rescue.markers import NATIVE_TEXT
from routing.schema import ToolSet
from routing.types import Answer, ErrorClass, Tool, ToolCall, Usage
from routing.verify import ANYTHING, Checked, RequestExpectations, check, check_generation, expectations_of

from ..cases.matchers import matches, paired, shown
from ..cases.model import Case, Expectation, ExpectedCall
from ..verdicts import Verdict


@dataclass(frozen=True, slots=True)
class SeenAnswer:
    """A deliverable answer, as test functions and plugins see it.

    `rescued`: whether text or calls had to be repaired. `reason` is the reason code, which then says how.
    """

    text: str
    tool_calls: tuple[ToolCall, ...]
    rescued: bool
    reason: str
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None

    @classmethod
    def of(cls, checked: Checked, answer: Answer | None) -> SeenAnswer:
        """Build from the checked answer. `answer` is None if a provider rejected the call that its model generated."""
        came = answer or Answer()
        return cls(
            text=checked.text,
            tool_calls=checked.tool_calls,
            rescued=checked.outcome == "rescued",
            reason=checked.reason,
            reasoning=came.reasoning,
            finish_reason=came.finish_reason,
            usage=came.usage,
        )


Opinion: TypeAlias = Callable[[Case, SeenAnswer], str | None]
"""Function that judges an answer: returns why it is wrong, "" if it is right, or None to leave it to the case."""
_UNSUPPORTED = frozenset({"no_capability", "other_protocol"})
_DEVIATIONS = frozenset({"tool_call_without_index", "arguments_not_a_string", "stream_ignored", "usage_malformed"})
"""Notes of a wire about deviations of the answer from the protocol. Other notes are about changes to the request."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict and reason code, with the checked answer that was judged (None if there was nothing to judge)."""

    verdict: Verdict
    reason: str
    detail: str = ""
    checked: Checked | None = None

    @property
    def error_class(self) -> ErrorClass | None:
        """Error class of the reason; None if the answer is right.

        A request that a content filter refused has no answer, so class `answer` becomes `request`.
        """
        if self.verdict in {"pass", "rescued"}:
            return None
        found = reason_of(self.reason).error_class
        return "request" if self.verdict == "error" and found == "answer" else found


def judge(case: Case, done: Exchange, opinion: Opinion | None = None) -> Judgement:
    """Judge one probe. If `opinion` returns anything but None, that replaces the check of the case's expectation."""
    if case.expect.refused:
        return _refusal(done)
    asked = replace(expectations_of(case.request("plain")), emulated=case.emulate_tools)
    judgement = _accept_expected_truncation(case, judge_any(done, case.tools, asked))
    checked = judgement.checked
    if judgement.verdict not in {"pass", "rescued"} or checked is None:
        return judgement
    if opinion is not None and (objection := opinion(case, SeenAnswer.of(checked, done.answer))) is not None:
        return Judgement("fail", "wrong_answer", objection, checked) if objection else judgement
    answer = done.answer or Answer(text=checked.text)
    if wrong := _leaked(case, checked) or _mismatch(case, case.expect, checked, answer):
        return Judgement("fail", wrong[0], wrong[1], checked)
    if case.emulate_tools and checked.tool_calls and judgement.verdict != "rescued":
        return Judgement("fail", "not_rescued_form", "a structured call without offered tools", checked)
    if judgement.verdict == "pass" and (deviation := _tolerated(case, checked, answer)):
        return Judgement("rescued", deviation[0], deviation[1], checked)
    return judgement


def judge_any(done: Exchange, tools: Sequence[Tool], asked: RequestExpectations = ANYTHING) -> Judgement:
    """Judge an exchange without a case, only by the offered tools and what the request demands of its answer."""
    for problem in ToolSet.of(tools).problems:
        return Judgement("error", "bad_request", str(problem))
    if done.answer is not None and WRONG_UPSTREAM in done.answer.notes:
        return _nothing_to_judge(done)
    if done.answer is not None:
        checked = check(done.answer, tools, asked)
    elif done.error is not None and done.error.failed_generation is not None:
        checked = check_generation(done.error.failed_generation, tools, asked)
        if checked.outcome == "failed":
            return Judgement("fail", done.error.reason, done.error.detail, checked)
    else:
        return _nothing_to_judge(done)
    verdicts: dict[str, Verdict] = {"ok": "pass", "rescued": "rescued", "failed": "fail"}
    return Judgement(verdicts[checked.outcome], checked.reason, checked.detail, checked)


def _refusal(done: Exchange) -> Judgement:
    """Judge the answer to an intentionally wrong request: it must be refused with 400 or 422 and a message.

    There is nothing to judge if no answer came, or if the request was refused for another reason.
    """
    error = done.error
    if done.answer is not None and WRONG_UPSTREAM in done.answer.notes:
        return _nothing_to_judge(done)
    if done.answer is not None or error is None or error.error_class == "answer":
        return Judgement("fail", "not_refused", "the request was wrong and was answered")
    if error.error_class != "request" or done.status not in {400, 422}:
        return _nothing_to_judge(done)
    try:
        body = loads(done.body.decode())
    except (UnicodeDecodeError, StrictJsonError):
        return Judgement("fail", "wrong_error_shape", "the refusal is not JSON")
    error_object = body.get("error") if isinstance(body, dict) else None
    message = error_object.get("message") if isinstance(error_object, dict) else None
    if not isinstance(message, str) or not message.strip():
        return Judgement("fail", "wrong_error_shape", "the refusal does not say why in error.message")
    return Judgement("pass", "ok")


def _accept_expected_truncation(case: Case, judgement: Judgement) -> Judgement:
    """If the case expects truncation, an answer truncated during reasoning also passes."""
    if judgement.reason != "length" or judgement.checked is None or "length" not in case.expect.finish_reason:
        return judgement
    return Judgement("pass", "ok", checked=replace(judgement.checked, outcome="ok", reason="ok"))


def _nothing_to_judge(done: Exchange) -> Judgement:
    error = done.error
    if done.answer is not None:
        return Judgement("error", WRONG_UPSTREAM, f"answered by {done.answer.upstream}")
    if error is None:
        return Judgement("error", "malformed_body")
    if error.error_class == "answer":
        return Judgement("fail", error.reason, error.detail)
    return Judgement("unsupported" if error.reason in _UNSUPPORTED else "error", error.reason, error.detail)


def _mismatch(case: Case, expect: Expectation, checked: Checked, answer: Answer) -> tuple[str, str] | None:
    """Reason code and detail of the first condition that the answer does not meet; None if it meets all."""
    calls = checked.tool_calls
    if forbidden := next((call.name for call in calls if call.name in expect.never), None):
        return "forbidden_call", f"called {forbidden}"
    if expect.calls is not None and (wrong := _wrong_calls(expect, calls)):
        return wrong
    if expect.text is not None and not matches(expect.text, checked.text):
        return "wrong_text", f"expected {shown(expect.text)}"
    if expect.end_state is not None and (missed := expect.end_state.wrong(calls)):
        return "wrong_end_state", missed
    if wrong := _wrong_metadata(case, expect, checked, answer):
        return wrong
    others = [_mismatch(case, one, checked, answer) for one in expect.any_of]
    return others[0] if others and all(others) else None


def _wrong_metadata(case: Case, expect: Expectation, checked: Checked, answer: Answer) -> tuple[str, str] | None:
    """Check reasoning, finish reason (unless rescued), usage and call ids.

    Returns reason code and detail of the first wrong one, or None.
    """
    if expect.reasoning and bool(answer.reasoning.strip()) != (expect.reasoning == "present"):
        return "wrong_reasoning", f"reasoning must be {expect.reasoning}"
    unchanged = checked.outcome == "ok"
    if unchanged and expect.finish_reason and answer.finish_reason not in expect.finish_reason:
        return "wrong_finish_reason", f"{answer.finish_reason} instead of {' or '.join(expect.finish_reason)}"
    usage = answer.usage
    if expect.usage and (usage is None or min(usage.prompt_tokens, usage.completion_tokens) < 1):
        return "missing_usage", "no tokens reported" if usage is None else "no tokens counted"
    if expect.usage == "within_limit" and usage is not None and usage.completion_tokens > case.max_tokens:
        return "over_limit", f"{usage.completion_tokens} tokens where at most {case.max_tokens} were asked for"
    if expect.prompt_tokens is not None:
        if usage is None:
            return "missing_usage", "no tokens reported"
        if not matches(expect.prompt_tokens, usage.prompt_tokens):
            return "wrong_prompt_tokens", f"{usage.prompt_tokens} reported, expected {shown(expect.prompt_tokens)}"
    if "native" in expect.ids:
        wrong = next((call for call in checked.tool_calls if not is_kimi_id(call.id, call.name)), None)
        return ("wrong_call_id", f"of {wrong.name}: not functions.NAME:N") if wrong else None
    return None


def _leaked(case: Case, checked: Checked) -> tuple[str, str] | None:
    """Reason code and detail if the arguments of a call contain protocol tokens that the request did not contain.

    Such tokens show that a parser cut or mixed up a value.
    """
    for call in checked.tool_calls:
        if found := _new_marker(case, _all_texts(call.arguments)):
            return "leaked_marker", f"{found} in the arguments of {call.name}"
    return None


def _new_marker(case: Case, text: str) -> str:
    """The first protocol token in a text; empty if there is none, or if the request's messages contain it too."""
    found = NATIVE_TEXT.search(text)
    return found[0] if found and found[0] not in _all_texts(list(case.messages)) else ""


def _all_texts(value: Any) -> str:
    """All strings and keys inside a JSON value, joined by line breaks. Works without recursion."""
    parts, todo = [], [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
        elif isinstance(item, Mapping):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            todo += item
    return "\n".join(parts)


def _tolerated(case: Case, checked: Checked, answer: Answer) -> tuple[str, str] | None:
    """Reason code and detail of a deviation that makes a right answer `rescued`; None if there is no deviation."""
    if found := _new_marker(case, answer.reasoning):
        return "markers_stripped", f"{found} in the reasoning"
    noted = sorted(_DEVIATIONS & set(answer.notes))
    if case.expect.well_formed and noted:
        return "protocol_deviation", ", ".join(noted)
    if moved := next((want.name for want in case.expect.calls or () if _out_of_order(case, want, checked)), ""):
        return "reordered_arguments", f"of {moved}"
    used = {call["id"] for message in case.messages for call in message.get("tool_calls") or ()}
    if "fresh" in case.expect.ids and (again := {call.id for call in checked.tool_calls} & used):
        return "reused_call_id", f"{len(again)} of the history's"
    return None


def _out_of_order(case: Case, want: ExpectedCall, checked: Checked) -> bool:
    """Whether `want` requires the schema's order of arguments, and a call of its tool has another order."""
    if not want.as_in_schema:
        return False
    tool = next(tool["function"] for tool in case.tools if tool["function"]["name"] == want.name)
    listed = list((tool.get("parameters") or {}).get("properties", {}))
    known = [
        [name for name in call.arguments if name in listed] for call in checked.tool_calls if call.name == want.name
    ]
    return any(names != sorted(names, key=listed.index) for names in known)


def _wrong_calls(expect: Expectation, calls: Sequence[ToolCall]) -> tuple[str, str] | None:
    expected = expect.calls or ()
    if not expected and calls and not expect.other_calls:
        return "unexpected_call", f"called {calls[0].name}"
    if expect.ordered:
        taken = _in_order(expected, calls)
    else:  # as many pairs as possible
        taken = paired(len(expected), len(calls), lambda want, call: _wrong_call(expected[want], calls[call]) is None)
    for position, want in enumerate(expected):
        if position not in taken:
            return _why_missing(want, calls, position)
    left = [call for place, call in enumerate(calls) if place not in taken.values()]
    if left and not expect.other_calls:
        return "extra_call", f"also called {left[0].name}"
    return None


def _in_order(expected: Sequence[ExpectedCall], calls: Sequence[ToolCall]) -> dict[int, int]:
    """Assign calls to expected calls, both in their order: index of the expected call → index of the call."""
    taken: dict[int, int] = {}
    for place, call in enumerate(calls):
        if len(taken) < len(expected) and not _wrong_call(expected[len(taken)], call):
            taken[len(taken)] = place
    return taken


def _why_missing(want: ExpectedCall, calls: Sequence[ToolCall], position: int) -> tuple[str, str]:
    same_name = [call for call in calls if call.name == want.name]
    if same_name:
        return "wrong_arguments", f"{want.name}: {_wrong_call(want, same_name[0]) or 'out of order'}"
    if len(calls) > position:
        return "wrong_tool", f"called {calls[position].name} instead of {want.name}"
    return "missing_call", f"{want.name} was not called"


def _wrong_call(want: ExpectedCall, call: ToolCall) -> str | None:
    """Why a call does not satisfy the expectation; None if it does."""
    if call.name != want.name:
        return f"it is {call.name}"
    for name, matcher in want.arguments.items():
        absent = isinstance(matcher, Mapping) and "$absent" in matcher
        if (name in call.arguments) == absent:
            return f"argument {name} is {'there' if absent else 'missing'}"
        if not absent and not matches(matcher, call.arguments[name]):
            return f"argument {name} is not {shown(matcher)}"
    extra = next((name for name in call.arguments if name not in want.arguments), None)
    return f"argument {extra} was not asked for" if extra is not None and not want.other_arguments else None
