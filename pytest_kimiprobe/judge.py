"""The judge: an exchange and what its case expects → verdict and reason. Pure.

It knows only expectations; what holds for any answer is `routing.verify`, which production uses as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.exchange import Exchange
from routing.reasons import error_class_of
from routing.schema import ToolSet
from routing.types import ErrorClass, Tool, ToolCall
from routing.verify import ANYTHING, Asked, Checked, check, check_generation

from .cases import Case, Expectation, ExpectedCall
from .verdicts import Verdict

_SEARCHED = 20_000
"""Characters that an expression is held against: a case's own pattern must not run for ever on a hostile text."""
_UNSUPPORTED = frozenset({"no_capability", "other_protocol"})


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict and reason, with the checked answer it rests on (None where there was nothing to judge)."""

    verdict: Verdict
    reason: str
    detail: str = ""
    checked: Checked | None = None

    @property
    def error_class(self) -> ErrorClass | None:
        """Whose doing it is; None where all is right."""
        return None if self.verdict in {"pass", "rescued"} else error_class_of(self.reason)


def judge(case: Case, done: Exchange) -> Judgement:
    """The word on one probe."""
    judgement = judge_any(done, case.tools, Asked(last_user=_last_user(case)))
    if judgement.verdict not in {"pass", "rescued"} or judgement.checked is None:
        return judgement
    if wrong := _mismatch(case.expect, judgement.checked):
        return Judgement("fail", wrong[0], wrong[1], judgement.checked)
    if case.emulate_tools and judgement.checked.tool_calls and judgement.verdict != "rescued":
        return Judgement("fail", "not_rescued_form", "a structured call without offered tools", judgement.checked)
    return judgement


def judge_any(done: Exchange, tools: Sequence[Tool], asked: Asked = ANYTHING) -> Judgement:
    """The word on an exchange of which only the offered tools are known."""
    for problem in ToolSet.of(tools).problems:
        return Judgement("error", "bad_request", str(problem))
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


def _nothing_to_judge(done: Exchange) -> Judgement:
    error = done.error
    if error is None:
        return Judgement("error", "malformed_body")
    if error.error_class == "answer":
        return Judgement("fail", error.reason, error.detail)
    return Judgement("unsupported" if error.reason in _UNSUPPORTED else "error", error.reason, error.detail)


def _mismatch(expect: Expectation, checked: Checked) -> tuple[str, str] | None:
    """Reason code and detail of the first thing that is not as expected."""
    if expect.calls is not None and (wrong := _wrong_calls(expect, checked.tool_calls)):
        return wrong
    if expect.text is not None and not matches(expect.text, checked.text):
        return "wrong_text", f"expected {expect.text!r}"
    return None


def _wrong_calls(expect: Expectation, calls: Sequence[ToolCall]) -> tuple[str, str] | None:
    expected = expect.calls or ()
    if not expected and calls and not expect.other_calls:
        return "unexpected_call", f"called {calls[0].name}"
    taken = _matched(expected, calls, ordered=expect.ordered)
    for position, want in enumerate(expected):
        if position not in taken:
            return _why_missing(want, calls, position)
    left = [call for place, call in enumerate(calls) if place not in taken.values()]
    if left and not expect.other_calls:
        return "extra_call", f"also called {left[0].name}"
    return None


def _matched(expected: Sequence[ExpectedCall], calls: Sequence[ToolCall], *, ordered: bool) -> dict[int, int]:
    """Which expectation takes which call, as many as can be: a matching by augmenting paths."""
    if ordered:
        return _in_order(expected, calls)
    owner: dict[int, int] = {}

    def place(want: int, tried: set[int]) -> bool:
        for call in range(len(calls)):
            if call in tried or _wrong_call(expected[want], calls[call]):
                continue
            tried.add(call)
            if call not in owner or place(owner[call], tried):
                owner[call] = want
                return True
        return False

    for want in range(len(expected)):
        place(want, set())
    return {want: call for call, want in owner.items()}


def _in_order(expected: Sequence[ExpectedCall], calls: Sequence[ToolCall]) -> dict[int, int]:
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
    """Why a call is not the one wanted; None where it is."""
    if call.name != want.name:
        return f"it is {call.name}"
    for name, matcher in want.arguments.items():
        absent = isinstance(matcher, Mapping) and "$absent" in matcher
        if (name in call.arguments) == absent:
            return f"argument {name} is {'there' if absent else 'missing'}"
        if not absent and not matches(matcher, call.arguments[name]):
            return f"argument {name} is not {_shown(matcher)}"
    extra = next((name for name in call.arguments if name not in want.arguments), None)
    return f"argument {extra} was not asked for" if extra is not None and not want.other_arguments else None


def matches(matcher: Any, value: Any) -> bool:
    """Whether a value is what a matcher of a case asks for (docs/cases.md)."""
    if isinstance(matcher, Mapping) and len(matcher) == 1:
        ((kind, operand),) = matcher.items()
        if kind == "$any":
            return True
        if kind == "$one_of":
            return any(_equal(option, value) for option in operand)
        if kind == "$contains":
            return isinstance(value, str) and operand.casefold() in value.casefold()
        if kind == "$matches":
            return isinstance(value, str) and re.search(operand, value[:_SEARCHED], re.IGNORECASE) is not None
    return _equal(matcher, value)


def _equal(expected: Any, value: Any) -> bool:
    """JSON equality: `1` and `1.0` are one number, `true` is not `1`, the text "-1" is not "1"."""
    if isinstance(expected, bool) or isinstance(value, bool):
        return expected is value
    if isinstance(expected, int | float) and isinstance(value, int | float):
        return expected == value
    if isinstance(expected, Mapping) and isinstance(value, Mapping):
        return expected.keys() == value.keys() and all(_equal(expected[key], value[key]) for key in expected)
    if isinstance(expected, list) and isinstance(value, list):
        return len(expected) == len(value) and all(map(_equal, expected, value))
    return type(expected) is type(value) and bool(expected == value)


def _shown(matcher: Any) -> str:
    return repr(matcher) if not isinstance(matcher, Mapping) else " ".join(f"{k} {v!r}" for k, v in matcher.items())


def _last_user(case: Case) -> str | None:
    texts = [message.get("content") for message in case.messages if message.get("role") == "user"]
    return texts[-1] if texts and isinstance(texts[-1], str) else None
