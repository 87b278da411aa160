"""The judge is judged: what other verifiers get wrong, and what a case's expectations mean."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kimiprobe import cases
from pytest_kimiprobe.cases import Case, Expectation, ExpectedCall
from pytest_kimiprobe.judge import Judgement, judge, judge_any, matches
from routing.errors import AccountError, BadAnswer, ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange
from routing.types import Answer, RawToolCall

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "get_time"}},
]
PARIS = ExpectedCall("get_weather", {"city": {"$contains": "paris"}})
TIME = ExpectedCall("get_time")


def case(*calls: ExpectedCall, **more: Any) -> Case:
    fields = {name: more.pop(name) for name in ("emulate_tools",) if name in more}
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    return Case("c", asked, Expectation(calls=calls, **more), TOOLS, **fields)


def call(
    arguments: Any = '{"city": "Paris"}', name: str | None = "get_weather", call_id: str | None = "a"
) -> RawToolCall:
    return RawToolCall(call_id, name, arguments)


def said(*calls: RawToolCall, text: str = "", finish: str | None = None, **more: Any) -> Exchange:
    finish = finish or ("tool_calls" if calls else "stop")
    return Exchange("e", {}, 200, answer=Answer(text=text, tool_calls=calls, finish_reason=finish, **more))


def verdict(done: Exchange, of: Case | None = None) -> tuple[str, str]:
    found = judge(of or case(PARIS), done)
    return found.verdict, found.reason


NATIVE = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>"
    '{"city": "Paris"}<|tool_call_end|><|tool_calls_section_end|>'
)


class TestWhatOthersGetWrong:
    """Each row of the table of K2VV's and BFCL's defects, judged as it should be."""

    @pytest.mark.parametrize(
        ("done", "expected"),
        [
            (said(call()), ("pass", "ok")),
            (said(call(call_id="call_xyz")), ("pass", "ok")),
            (said(call(call_id=None)), ("rescued", "rescued_structure")),
            (said(call('{"city": NaN}')), ("fail", "arguments_not_json")),
            (said(call('{"city": "Rome", "city": "Paris"}')), ("fail", "arguments_not_json")),
            (said(call({"city": "Paris"})), ("rescued", "rescued_structure")),
            (said(call(), finish="stop"), ("rescued", "finish_reason_mismatch")),
            (said(text=NATIVE), ("rescued", "rescued_text")),
            (said(text="", reasoning=NATIVE), ("rescued", "rescued_reasoning")),
            (said(call(), text=NATIVE), ("rescued", "markers_stripped")),
            (said(call('{"city": "Par')), ("fail", "arguments_not_json")),
            (said(call('["Paris"]')), ("fail", "arguments_not_object")),
            (said(call('{"days": 3}')), ("fail", "arguments_break_schema")),
            (said(call('{"city": "Paris", "extra": 1}')), ("fail", "arguments_break_schema")),
            (said(call(name="delete_all")), ("fail", "unknown_tool")),
            (said(call(name="functions.get_weather")), ("rescued", "rescued_structure")),
            (said(text=" \n"), ("fail", "empty_answer")),
            (said(finish="tool_calls"), ("fail", "finish_without_calls")),
            (said(finish="length"), ("fail", "length")),
            (said(text="It is sunny."), ("fail", "missing_call")),
            (said(call(), call(call_id="b")), ("fail", "extra_call")),
            (said(call('{"city": "Rome"}')), ("fail", "wrong_arguments")),
            (said(call("{}", "get_time")), ("fail", "wrong_tool")),
            (said(text="no", finish="content_filter"), ("fail", "content_filter")),
        ],
    )
    def test_each_is_classified(self, done: Exchange, expected: tuple[str, str]) -> None:
        """By verdict and reason."""
        assert verdict(done) == expected

    @pytest.mark.parametrize("arguments", ["{}", ""])
    def test_a_tool_without_arguments_may_be_called_without(self, arguments: str) -> None:
        """K2VV counts that as the provider's error; an empty string is mended."""
        found = verdict(said(call(arguments, "get_time")), case(TIME))
        assert found == (("pass", "ok") if arguments else ("rescued", "rescued_structure"))

    def test_two_calls_with_one_id_are_told_apart(self) -> None:
        """Their results could not be."""
        found = verdict(said(call(), call("{}", "get_time")), case(PARIS, TIME))
        assert found[0] in {"rescued", "fail"}
        assert found != ("pass", "ok")

    def test_minus_one_is_not_one(self) -> None:
        """BFCL deletes the sign."""
        assert not matches("-1", "1")
        assert not matches("a/b.py", "ab.py")
        assert not matches(1, True)
        assert matches(1, 1.0)

    def test_a_dead_port_gives_no_quality_verdict(self) -> None:
        """An exception is never a rejection."""
        done = Exchange("e", {}, error=ProviderFailure("connect_refused", phase="connect"))
        found = judge(case(), done)
        assert (found.verdict, found.error_class) == ("error", "provider")

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ProviderFailure("rate_limited"), ("error", "provider")),
            (AccountError("no_credit"), ("error", "account")),
            (RequestRejected("bad_request"), ("error", "request")),
            (RequestRejected("other_protocol"), ("unsupported", "selection")),
            (BadAnswer("tool_use_failed"), ("fail", "answer")),
            (BadAnswer("tool_use_failed", failed_generation="maybe"), ("fail", "answer")),
        ],
    )
    def test_errors_keep_whose_doing_they_are(self, error: ExchangeError, expected: tuple[str, str]) -> None:
        """Only wrong answers are fails."""
        found = judge_any(Exchange("e", {}, error=error), TOOLS)
        assert (found.verdict, found.error_class) == expected

    def test_what_groq_refused_is_rescued_where_it_is_a_valid_call(self) -> None:
        """`failed_generation` holds what the model meant."""
        generation = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
        done = Exchange("e", {}, error=BadAnswer("tool_use_failed", failed_generation=generation))
        assert verdict(done) == ("rescued", "rescued_text")


class TestExpectations:
    def test_calls_may_come_in_any_order_unless_it_is_given(self) -> None:
        """Parallel calls have no order."""
        both = said(call("{}", "get_time", "b"), call())
        assert verdict(both, case(PARIS, TIME)) == ("pass", "ok")
        assert verdict(both, case(PARIS, TIME, ordered=True))[0] == "fail"

    def test_overlapping_expectations_are_matched_as_a_whole(self) -> None:
        """The first that fits must not take what only another can use."""
        anywhere = ExpectedCall("get_weather", {"city": {"$any": True}})
        rome = call('{"city": "Rome"}', call_id="b")
        assert verdict(said(call(), rome), case(anywhere, PARIS)) == ("pass", "ok")

    def test_no_call_may_be_expected(self) -> None:
        """A call then is unexpected, a text is right."""
        assert verdict(said(call()), case()) == ("fail", "unexpected_call")
        assert verdict(said(text="4"), case()) == ("pass", "ok")

    def test_other_calls_may_be_allowed(self) -> None:
        """Where a case says so."""
        assert verdict(said(call(), call("{}", "get_time", "b")), case(PARIS, other_calls=True)) == ("pass", "ok")

    def test_arguments_that_were_not_asked_for_may_be_forbidden(self) -> None:
        """They satisfy the schema all the same."""
        strict = ExpectedCall("get_weather", {"city": "Paris"}, other_arguments=False)
        assert verdict(said(call('{"city": "Paris", "days": 1}')), case(strict)) == ("fail", "wrong_arguments")

    def test_absent_means_absent(self) -> None:
        """An optional argument that must not be invented."""
        lean = ExpectedCall("get_weather", {"days": {"$absent": True}})
        assert verdict(said(call()), case(lean)) == ("pass", "ok")
        assert verdict(said(call('{"city": "Paris", "days": 1}')), case(lean)) == ("fail", "wrong_arguments")

    def test_the_text_may_be_asked_for(self) -> None:
        """Beside calls or alone."""
        assert verdict(said(text="It is 4."), case(text={"$matches": r"\b4\b"})) == ("pass", "ok")
        assert verdict(said(text="No."), case(text={"$contains": "4"})) == ("fail", "wrong_text")

    def test_an_emulated_case_is_right_only_by_rescue(self) -> None:
        """A structured call without offered tools is another protocol than the one asked for."""
        written = said(text='{"name": "get_weather", "arguments": {"city": "Paris"}}')
        assert verdict(written, case(PARIS, emulate_tools=True)) == ("rescued", "rescued_text")
        assert verdict(said(call()), case(PARIS, emulate_tools=True)) == ("fail", "not_rescued_form")

    def test_one_of_compares_as_json(self) -> None:
        """Numbers by value, text exactly."""
        assert matches({"$one_of": [1, "a"]}, 1.0)
        assert not matches({"$one_of": [1, "a"]}, "A")


def test_counts_are_kept_strictly_and_by_k2vvs_formula() -> None:
    """A NaN is JSON to K2VV; a leaked call beside a valid one is valid to it."""
    found = judge(case(PARIS), said(call('{"city": "Paris", "days": NaN}')))
    assert found.checked is not None
    assert (found.checked.calls, found.checked.valid_calls) == (1, 0)
    stopped = judge(case(PARIS), said(call(), finish="stop")).checked
    assert stopped is not None
    assert (stopped.valid_calls, stopped.k2vv_valid) == (1, None)


def test_the_packaged_cases_are_the_three_that_were_asked_for_first() -> None:
    """Each says what it tests, why, and where the failure was seen."""
    found = cases.load(cases.FOLDER / "core.yaml")
    assert [one.name for one in found][:3] == ["weather", "several-tools", "json-in-text"]
    assert all(one.tests and one.why and one.seen for one in found)


def test_a_judgement_that_passes_has_no_error_class() -> None:
    """Nobody did anything wrong."""
    assert Judgement("rescued", "rescued_text").error_class is None
