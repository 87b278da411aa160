"""The judge is judged: what other verifiers get wrong, and what a case's expectations mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_kimiprobe.cases import model as cases
from pytest_kimiprobe.cases.end_state import EndState
from pytest_kimiprobe.cases.matchers import matches
from pytest_kimiprobe.cases.model import Case, Expectation, ExpectedCall
from pytest_kimiprobe.judging.judge import Judgement, judge, judge_any
from routing.errors import AccountError, BadAnswer, ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange
from routing.types import Answer, RawToolCall, Usage
from routing.wire import openai_answer as openai

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

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ('{"city": "Paris<|tool_call_end|>"}', ("fail", "leaked_marker")),
            ('{"city": "Paris", "days": Infinity}', ("fail", "arguments_not_json")),
            ('{"city": "Paris", "days": "3"}', ("fail", "arguments_break_schema")),
            ('{"city": null}', ("fail", "arguments_break_schema")),
        ],
    )
    def test_what_lenient_readers_let_through_is_wrong(self, arguments: str, expected: tuple[str, str]) -> None:
        """Markers inside a value, numbers that are none, texts for numbers."""
        assert verdict(said(call(arguments))) == expected

    def test_a_marker_that_the_user_wrote_is_no_leak(self) -> None:
        """Who asks for a file about Kimi's tokens gets it."""
        asked = [{"role": "user", "content": "The city is called Paris<|tool_call_end|>, how is the weather?"}]
        found = judge(
            Case("c", asked, Expectation(calls=(PARIS,)), TOOLS), said(call('{"city": "Paris<|tool_call_end|>"}'))
        )
        assert found.verdict == "pass"

    def test_thoughts_may_quote_a_marker_of_the_users(self) -> None:
        """Models think about what was asked; only a marker that nobody wrote is the host's."""
        asked = [{"role": "user", "content": "Is the city called Paris<|tool_call_end|>?"}]
        case_of_it = Case("c", asked, Expectation(calls=(PARIS,)), TOOLS)
        assert verdict(said(call(), reasoning="Called Paris<|tool_call_end|>."), case_of_it) == ("pass", "ok")
        assert verdict(said(call(), reasoning="<|tool_call_begin|>"), case_of_it) == ("rescued", "markers_stripped")

    def test_a_leak_in_the_thoughts_beside_a_valid_call_is_seen(self) -> None:
        """K2VV calls it valid; nothing is lost, but the host's parser leaks."""
        assert verdict(said(call(), reasoning=NATIVE)) == ("rescued", "markers_stripped")

    def test_the_same_call_twice_is_one_too_many(self) -> None:
        """promptfoo compares sets of names, DeepEval charges nothing for extra calls."""
        assert verdict(said(call(), call(call_id="b"))) == ("fail", "extra_call")

    def test_a_stream_that_ends_early_is_not_complete(self) -> None:
        """K2VV records it as `stop`, KVV defaults to it; ours has nothing to judge."""
        stream = openai.Stream()
        stream.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "It is"}}]}\n\n')
        assert not stream.finish().complete
        done = Exchange("e", {}, 200, error=ProviderFailure("stream_cut", phase="body"))
        assert verdict(done) == ("error", "stream_cut")

    def test_deltas_without_index_stay_two_calls(self) -> None:
        """K2VV's reader merges them into one: `{}{}`."""
        stream = openai.Stream()
        for number, city in enumerate(("Paris", "Rome")):
            function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
            delta = {"tool_calls": [{"id": f"call_{number}", "type": "function", "function": function}]}
            stream.feed(f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode())
        stream.feed(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\n')
        stream.feed(b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}\n\ndata: [DONE]\n\n')
        answer = stream.finish()
        rome = ExpectedCall("get_weather", {"city": "Rome"})
        assert verdict(Exchange("e", {}, 200, answer=answer), case(PARIS, rome)) == ("pass", "ok")
        strict = case(PARIS, rome, well_formed=True, usage="present")
        assert verdict(Exchange("e", {}, 200, answer=answer), strict) == ("rescued", "protocol_deviation")

    def test_a_plain_body_is_no_stream(self) -> None:
        """KVV passes a server that ignores `stream`."""
        done = said(call(), notes=("stream_ignored",))
        assert verdict(done, case(PARIS, well_formed=True)) == ("rescued", "protocol_deviation")

    def test_an_unanswered_request_is_no_refusal(self) -> None:
        """KVV counts any exception as a rejection: 14 of its tests pass against a dead port."""
        for failure in (ProviderFailure("connect_refused"), ProviderFailure("timeout"), ProviderFailure("dns")):
            found = judge(case(), Exchange("e", {}, error=failure))
            assert (found.verdict, found.checked) == ("error", None)

    @pytest.mark.parametrize("value", ["1", "-1", "1.5", "15", "a/b.py", "ab.py"])
    def test_texts_are_compared_as_they_are(self, value: str) -> None:
        """BFCL deletes blanks and ` ,./-_*^` before it compares."""
        others = {"1", "-1", "1.5", "15", "a/b.py", "ab.py"} - {value}
        assert matches(value, value)
        assert not any(matches(value, other) for other in others)

    @pytest.mark.parametrize(
        ("text", "calls"),
        [
            (NATIVE.removesuffix("<|tool_call_end|><|tool_calls_section_end|>"), (PARIS,)),
            (NATIVE + NATIVE.replace("Paris", "Rome").replace(":0", ":1"), (PARIS, ExpectedCall("get_weather"))),
        ],
    )
    def test_a_section_without_end_and_a_second_one_lose_no_call(
        self, text: str, calls: tuple[ExpectedCall, ...]
    ) -> None:
        """K2VV's own parser finds none in the first and one in the second."""
        assert verdict(said(text=text), case(*calls)) == ("rescued", "rescued_text")

    @pytest.mark.parametrize("name", ["get-weather-now", "weather.now"])
    def test_names_with_hyphens_and_dots_are_whole(self, name: str) -> None:
        """K2VV's parser loses the first and cuts the second to what stands before the dot."""
        tool = {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
        asked = [{"role": "user", "content": "What is the weather in Paris?"}]
        of = Case("c", asked, Expectation(calls=(ExpectedCall(name, {"city": "Paris"}),)), [tool])
        assert verdict(said(text=NATIVE.replace("get_weather", name)), of) == ("rescued", "rescued_text")
        assert verdict(said(call(name=name)), of) == ("pass", "ok")

    def test_usage_in_the_last_chunk_is_read(self) -> None:
        """K2VV skips the place where OpenAI's protocol has it, a chunk without choices."""
        stream = openai.Stream()
        stream.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}]}\n\n')
        stream.feed(b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}\n\ndata: [DONE]\n\n')
        done = Exchange("e", {}, 200, answer=stream.finish())
        assert verdict(done, case(usage="present")) == ("pass", "ok")

    @pytest.mark.parametrize(
        ("choice", "done", "expected"),
        [
            ({"type": "function", "function": {"name": "get_time"}}, said(call()), ("fail", "wrong_tool")),
            ({"type": "function", "function": {"name": "get_time"}}, said(text="Noon."), ("fail", "missing_call")),
            ("required", said(text="Noon."), ("fail", "missing_call")),
            ("none", said(call()), ("fail", "unexpected_call")),
        ],
    )
    def test_a_choice_that_is_silently_ignored_is_wrong(
        self, choice: Any, done: Exchange, expected: tuple[str, str]
    ) -> None:
        """KVV skips the named one for that very reason."""
        asked = [{"role": "user", "content": "What time is it?"}]
        assert verdict(done, Case("c", asked, Expectation(), TOOLS, tool_choice=choice)) == expected

    def test_nested_types_are_checked_at_every_depth(self) -> None:
        """BFCL checks one level."""
        deep: dict[str, Any] = {"type": "string"}
        for _ in range(4):
            deep = {"type": "object", "properties": {"in": deep}, "required": ["in"]}
        tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
        of = Case("c", [], Expectation(calls=(ExpectedCall("f"),)), [tool])
        assert verdict(said(call('{"in": {"in": {"in": {"in": "x"}}}}', "f")), of) == ("pass", "ok")
        wrong = said(call('{"in": {"in": {"in": {"in": 1}}}}', "f"))
        assert verdict(wrong, of) == ("fail", "arguments_break_schema")

    def test_a_call_that_cannot_be_read_is_no_abstention(self) -> None:
        """BFCL's irrelevance is "nothing could be decoded": a broken call counts as none there."""
        broken = said(text=NATIVE.replace('"Paris"}', '"Par'))
        assert verdict(broken, case())[0] == "fail"

    def test_yaml_is_no_json(self) -> None:
        """inspect_ai falls back to YAML, and hides malformed arguments."""
        assert verdict(said(call("city: Paris"))) == ("fail", "arguments_not_json")

    def test_usage_that_is_never_told_is_missing(self) -> None:
        """A K2VV summary had 0 throughout."""
        assert verdict(said(call()), case(PARIS, usage="present")) == ("fail", "missing_usage")
        assert verdict(said(call(), usage=Usage(0, 0)), case(PARIS, usage="present")) == ("fail", "missing_usage")
        assert verdict(said(call(), usage=Usage(9, 4)), case(PARIS, usage="present")) == ("pass", "ok")


class TestExpectations:
    def test_the_state_that_calls_lead_to_may_be_asked_for(self) -> None:
        """Whatever calls are made."""
        effects = {"get_weather": {"put": ["city", "days"]}}
        of = case(PARIS, end_state=EndState({}, {"Paris": 3}, effects))
        assert verdict(said(call('{"city": "Paris", "days": 3}')), of) == ("pass", "ok")
        assert verdict(said(call('{"city": "Paris", "days": 4}')), of) == ("fail", "wrong_end_state")

    def test_an_answer_may_have_to_be_cut(self) -> None:
        """With finish reason length; one of which only thoughts fitted is right too."""
        of = case(finish_reason=("length",), usage="within_limit")
        within, beyond = Usage(9, 2048), Usage(9, 2049)
        assert verdict(said(text="one two", finish="length", usage=within), of) == ("pass", "ok")
        assert verdict(said(reasoning="Hm", finish="length", usage=within), of) == ("pass", "ok")
        assert verdict(said(text="one two", finish="length", usage=beyond), of) == ("fail", "over_limit")
        assert verdict(said(text="one two", finish="stop", usage=within), of) == ("fail", "wrong_finish_reason")
        assert verdict(said(finish="length"), case()) == ("fail", "length")

    def test_arguments_may_have_to_come_as_the_schema_lists_them(self) -> None:
        """JSON has no order, so nothing is lost; but the model saw another schema than the one sent."""
        of = case(ExpectedCall("get_weather", as_in_schema=True))
        assert verdict(said(call('{"city": "Paris", "days": 1}')), of) == ("pass", "ok")
        assert verdict(said(call('{"days": 1, "city": "Paris"}')), of) == ("rescued", "reordered_arguments")
        assert verdict(said(call('{"days": 1, "city": "Paris"}')), case(ExpectedCall("get_weather"))) == ("pass", "ok")

    def test_a_tool_may_be_forbidden(self) -> None:
        """Whatever else is called."""
        strict = case(never=("get_time",), other_calls=True)
        assert verdict(said(call(), call("{}", "get_time", "b")), strict) == ("fail", "forbidden_call")
        assert verdict(said(call()), strict) == ("pass", "ok")

    def test_one_of_several_answers_may_be_right(self) -> None:
        """A call, or words."""
        either = case(other_calls=True, any_of=(Expectation(calls=(PARIS,)), Expectation(calls=(), text="No.")))
        assert verdict(said(call()), either) == ("pass", "ok")
        assert verdict(said(text="No."), either) == ("pass", "ok")
        assert verdict(said(text="Yes."), either)[0] == "fail"

    def test_ids_may_have_to_be_the_models_own(self) -> None:
        """`functions.NAME:N`, of the tool that is called."""
        native = case(PARIS, ids=("native",))
        assert verdict(said(call(call_id="functions.get_weather:3")), native) == ("pass", "ok")
        for other in ("call_1", "functions.get_time:0", "functions.get_weather:", "get_weather:0"):
            assert verdict(said(call(call_id=other)), native) == ("fail", "wrong_call_id")

    def test_an_id_of_the_history_must_be_renamed(self) -> None:
        """K3 begins to count anew each turn; nothing is lost, but it is seen."""
        made = {"id": "get_weather:0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        asked: list[dict[str, Any]] = [
            {"role": "assistant", "tool_calls": [made]},
            {"role": "user", "content": "And Paris?"},
        ]
        fresh = Case("c", asked, Expectation(calls=(PARIS,), ids=("fresh",)), TOOLS)
        assert verdict(said(call(call_id="get_weather:0")), fresh) == ("rescued", "reused_call_id")
        assert verdict(said(call(call_id="get_weather:1")), fresh) == ("pass", "ok")

    def test_the_finish_reason_may_be_asked_for(self) -> None:
        """Not of what was rescued: that is told already."""
        strict = case(PARIS, finish_reason=("tool_calls",))
        assert verdict(said(call()), strict) == ("pass", "ok")
        assert verdict(said(text=NATIVE), strict) == ("rescued", "rescued_text")
        assert verdict(said(text="Hi.", finish="length"), case(finish_reason=("stop",))) == (
            "fail",
            "wrong_finish_reason",
        )

    @pytest.mark.parametrize(
        ("wanted", "thought", "right"), [("present", "Hm.", 1), ("present", " ", 0), ("absent", "Hm.", 0)]
    )
    def test_thoughts_may_be_asked_for(self, wanted: str, thought: str, right: int) -> None:
        """Or their absence."""
        found = verdict(said(call(), reasoning=thought), case(PARIS, reasoning=wanted))
        assert found == (("pass", "ok") if right else ("fail", "wrong_reasoning"))

    def test_an_opinion_takes_the_place_of_the_expectation(self) -> None:
        """It is not asked of what may not be delivered."""
        assert judge(case(), said(call()), lambda _, __: "").verdict == "pass"
        assert judge(case(PARIS), said(call()), lambda _, __: "no").reason == "wrong_answer"
        assert judge(case(), said(call()), lambda _, __: None).reason == "unexpected_call"
        assert judge(case(), said(text=""), lambda _, __: "").reason == "empty_answer"

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
