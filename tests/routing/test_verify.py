"""Leaked calls that could not be rescued: the answers for which the same endpoint is asked again."""

from __future__ import annotations

import pytest

from routing.types import Answer, ChatRequest, RawToolCall, Usage
from routing.verify import check, expectations_of

TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CUT = '{"city": "Par'


def k2(arguments: str, name: str = "f", *, ended: bool = True) -> str:
    """A call in Kimi K2's native tokens."""
    end = "<|tool_call_end|><|tool_calls_section_end|>" if ended else ""
    begin = "<|tool_calls_section_begin|><|tool_call_begin|>"
    return f"{begin}functions.{name}:0<|tool_call_argument_begin|>{arguments}{end}"


def structured(arguments: str, name: str = "f") -> tuple[RawToolCall, ...]:
    return (RawToolCall("a", name, arguments),)


LEAKS: dict[str, tuple[str, Answer]] = {
    "its arguments cut": ("arguments_not_json", Answer(text=k2(CUT, ended=False), finish_reason="stop")),
    "its arguments wrong": ("arguments_break_schema", Answer(text=k2('{"city": 3}'), finish_reason="stop")),
    "of a tool that only the host has": ("unknown_tool", Answer(text=k2("{}", "web_search"), finish_reason="stop")),
    "no more than a marker": ("leaked_call", Answer(text="<|tool_calls_section_begin|>", finish_reason="stop")),
    "as JSON, cut": ("leaked_call", Answer(text='{"name": "f", "arguments": ' + CUT, finish_reason="stop")),
    "in the reasoning, cut": (
        "arguments_not_json",
        Answer(reasoning="hm " + k2(CUT, ended=False), finish_reason="stop"),
    ),
    "one of two": ("dropped_call", Answer(text=k2('{"city": "A"}') + k2('{"city": 3}'), finish_reason="stop")),
    "beside a sound one": (
        "dropped_call",
        Answer(text=k2(CUT, ended=False), tool_calls=structured('{"city": "A"}'), finish_reason="tool_calls"),
    ),
}
OTHERS: dict[str, tuple[str, Answer]] = {
    "structured, cut": ("arguments_not_json", Answer(tool_calls=structured(CUT), finish_reason="tool_calls")),
    "structured, unknown": ("unknown_tool", Answer(tool_calls=structured("{}", "g"), finish_reason="tool_calls")),
    "nothing at all": ("empty_answer", Answer(finish_reason="stop")),
    "only announced": ("empty_answer", Answer(reasoning="I will call f.", finish_reason="stop")),
    "promised by the finish reason": ("finish_without_calls", Answer(text="ok", finish_reason="tool_calls")),
    "cut by max_tokens": ("arguments_not_json", Answer(text=k2(CUT, ended=False), finish_reason="length")),
}


@pytest.mark.parametrize(("reason", "answer"), LEAKS.values(), ids=LEAKS)
def test_a_call_in_the_text_is_a_leak_whatever_else_is_wrong_with_it(reason: str, answer: Answer) -> None:
    """The host did not parse the call; a repeated request may succeed."""
    checked = check(answer, [TOOL])
    assert (checked.outcome, checked.reason, checked.leaked) == ("failed", reason, True)


@pytest.mark.parametrize(("reason", "answer"), OTHERS.values(), ids=OTHERS)
def test_a_wrong_call_that_did_not_leak_is_not(reason: str, answer: Answer) -> None:
    """The model made the call wrong, made none, or would be cut again: the next endpoint is tried."""
    checked = check(answer, [TOOL])
    assert (checked.outcome, checked.reason, checked.leaked) == ("failed", reason, False)


def test_a_rescued_leak_needs_no_retry() -> None:
    """A rescued answer is delivered."""
    checked = check(Answer(text=k2('{"city": "Paris"}'), finish_reason="stop"), [TOOL])
    assert (checked.outcome, checked.leaked) == ("rescued", False)


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"city": "Paris"}', "ok"), ("[1]", "ok"), ("Paris", "not_json"), ('```json\n{"a": 1}\n```', "not_json")],
)
def test_a_text_must_be_json_if_the_request_asked_for_it(kind: str, text: str, reason: str) -> None:
    """A host that ignores `response_format` has not answered the request; a call needs no JSON text."""
    expected = expectations_of(ChatRequest([{"role": "user", "content": "Where?"}], response_format={"type": kind}))
    answer = Answer(text=text, finish_reason="stop", usage=Usage(9, 9))
    assert check(answer, [], expected).reason == reason
    assert check(answer, []).reason == "ok"
