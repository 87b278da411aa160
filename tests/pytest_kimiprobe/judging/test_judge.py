"""The judge: defects of other verifiers are judged correctly, and each expectation of a case is checked."""

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
    """Each row of the table of defects of K2VV and BFCL is judged correctly."""

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
    def test_each_defect_has_its_verdict_and_reason(self, done: Exchange, expected: tuple[str, str]) -> None:
        """Each defect has the expected verdict and reason."""
        assert verdict(done) == expected

    @pytest.mark.parametrize("arguments", ["{}", ""])
    def test_a_tool_without_arguments_may_be_called_without(self, arguments: str) -> None:
        """K2VV counts that as an error of the provider; here empty arguments are repaired."""
        found = verdict(said(call(arguments, "get_time")), case(TIME))
        assert found == (("pass", "ok") if arguments else ("rescued", "rescued_structure"))

    def test_two_calls_with_one_id_do_not_pass(self) -> None:
        """Their results could not be assigned to the calls."""
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
        """A failed connection is an error, never a rejection by the provider."""
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
    def test_errors_keep_their_error_class(self, error: ExchangeError, expected: tuple[str, str]) -> None:
        """Only wrong answers are fails; each error keeps its error class."""
        found = judge_any(Exchange("e", {}, error=error), TOOLS)
        assert (found.verdict, found.error_class) == expected

    def test_what_groq_refused_is_rescued_where_it_is_a_valid_call(self) -> None:
        """`failed_generation` contains the model's call."""
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
    def test_arguments_that_only_lenient_parsers_accept_are_wrong(
        self, arguments: str, expected: tuple[str, str]
    ) -> None:
        """Markers inside a value, invalid numbers, and texts instead of numbers fail."""
        assert verdict(said(call(arguments))) == expected

    def test_a_marker_that_the_user_wrote_is_no_leak(self) -> None:
        """A user may ask for a file about Kimi's tokens."""
        asked = [{"role": "user", "content": "The city is called Paris<|tool_call_end|>, how is the weather?"}]
        found = judge(
            Case("c", asked, Expectation(calls=(PARIS,)), TOOLS), said(call('{"city": "Paris<|tool_call_end|>"}'))
        )
        assert found.verdict == "pass"

    def test_thoughts_may_quote_a_marker_of_the_users(self) -> None:
        """Reasoning may repeat the request; only a marker that the request lacks is a leak."""
        asked = [{"role": "user", "content": "Is the city called Paris<|tool_call_end|>?"}]
        case_of_it = Case("c", asked, Expectation(calls=(PARIS,)), TOOLS)
        assert verdict(said(call(), reasoning="Called Paris<|tool_call_end|>."), case_of_it) == ("pass", "ok")
        assert verdict(said(call(), reasoning="<|tool_call_begin|>"), case_of_it) == ("rescued", "markers_stripped")

    def test_a_leak_in_the_thoughts_beside_a_valid_call_is_seen(self) -> None:
        """K2VV calls it valid. The call is complete, but the host's parser leaks."""
        assert verdict(said(call(), reasoning=NATIVE)) == ("rescued", "markers_stripped")

    def test_the_same_call_twice_is_one_too_many(self) -> None:
        """promptfoo compares sets of names, and DeepEval ignores extra calls."""
        assert verdict(said(call(), call(call_id="b"))) == ("fail", "extra_call")

    def test_a_stream_that_ends_early_is_not_complete(self) -> None:
        """K2VV records it as `stop`, and KVV uses that as default; here there is nothing to judge."""
        stream = openai.stream()
        stream.feed(b'data: {"choices": [{"index": 0, "delta": {"content": "It is"}}]}\n\n')
        assert not stream.finish().complete
        done = Exchange("e", {}, 200, error=ProviderFailure("stream_cut", phase="body"))
        assert verdict(done) == ("error", "stream_cut")

    def test_deltas_without_index_stay_two_calls(self) -> None:
        """K2VV's parser merges them into one: `{}{}`."""
        stream = openai.stream()
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
        """KVV accepts a server that ignores `stream`."""
        done = said(call(), notes=("stream_ignored",))
        assert verdict(done, case(PARIS, well_formed=True)) == ("rescued", "protocol_deviation")

    def test_an_unanswered_request_is_no_refusal(self) -> None:
        """KVV counts any exception as a rejection, so 14 of its tests pass against a dead port."""
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
        """K2VV's parser finds no call in the first and one in the second."""
        assert verdict(said(text=text), case(*calls)) == ("rescued", "rescued_text")

    @pytest.mark.parametrize("name", ["get-weather-now", "weather.now"])
    def test_names_with_hyphens_and_dots_are_whole(self, name: str) -> None:
        """K2VV's parser loses the first, and cuts the second at the dot."""
        tool = {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
        asked = [{"role": "user", "content": "What is the weather in Paris?"}]
        of = Case("c", asked, Expectation(calls=(ExpectedCall(name, {"city": "Paris"}),)), [tool])
        assert verdict(said(text=NATIVE.replace("get_weather", name)), of) == ("rescued", "rescued_text")
        assert verdict(said(call(name=name)), of) == ("pass", "ok")

    def test_usage_in_the_last_chunk_is_read(self) -> None:
        """K2VV ignores chunks without choices, which carry the usage in OpenAI's protocol."""
        stream = openai.stream()
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
        """KVV skips the named choice because providers ignore it."""
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
        """BFCL counts a broken call as a decision not to call."""
        broken = said(text=NATIVE.replace('"Paris"}', '"Par'))
        assert verdict(broken, case())[0] == "fail"

    def test_yaml_is_no_json(self) -> None:
        """inspect_ai also accepts YAML, which hides malformed arguments."""
        assert verdict(said(call("city: Paris"))) == ("fail", "arguments_not_json")

    def test_usage_that_is_never_reported_is_missing(self) -> None:
        """A published K2VV summary had 0 tokens throughout."""
        assert verdict(said(call()), case(PARIS, usage="present")) == ("fail", "missing_usage")
        assert verdict(said(call(), usage=Usage(0, 0)), case(PARIS, usage="present")) == ("fail", "missing_usage")
        assert verdict(said(call(), usage=Usage(9, 4)), case(PARIS, usage="present")) == ("pass", "ok")


class TestExpectations:
    def test_prompt_tokens_may_be_asked_for(self) -> None:
        """A host that reports more of them than the prompt has is wrong, and so is one that reports none."""
        asked = case(PARIS, prompt_tokens={"$at_most": 9})
        assert verdict(said(call(), usage=Usage(9, 4)), asked) == ("pass", "ok")
        assert verdict(said(call(), usage=Usage(10, 4)), asked) == ("fail", "wrong_prompt_tokens")
        assert verdict(said(call()), asked) == ("fail", "missing_usage")

    def test_the_state_that_calls_lead_to_may_be_asked_for(self) -> None:
        """The end state decides, whichever calls are made."""
        effects = {"get_weather": {"put": ["city", "days"]}}
        of = case(PARIS, end_state=EndState({}, {"Paris": 3}, effects))
        assert verdict(said(call('{"city": "Paris", "days": 3}')), of) == ("pass", "ok")
        assert verdict(said(call('{"city": "Paris", "days": 4}')), of) == ("fail", "wrong_end_state")

    def test_a_case_may_expect_truncation(self) -> None:
        """Finish reason `length` is required; an answer truncated during reasoning also passes."""
        of = case(finish_reason=("length",), usage="within_limit")
        within, beyond = Usage(9, 2048), Usage(9, 2049)
        assert verdict(said(text="one two", finish="length", usage=within), of) == ("pass", "ok")
        assert verdict(said(reasoning="Hm", finish="length", usage=within), of) == ("pass", "ok")
        assert verdict(said(text="one two", finish="length", usage=beyond), of) == ("fail", "over_limit")
        assert verdict(said(text="one two", finish="stop", usage=within), of) == ("fail", "wrong_finish_reason")
        assert verdict(said(finish="length"), case()) == ("fail", "length")

    def test_arguments_may_have_to_come_as_the_schema_lists_them(self) -> None:
        """JSON objects have no order, so the answer is rescued, but the model saw another schema than the one sent."""
        of = case(ExpectedCall("get_weather", as_in_schema=True))
        assert verdict(said(call('{"city": "Paris", "days": 1}')), of) == ("pass", "ok")
        assert verdict(said(call('{"days": 1, "city": "Paris"}')), of) == ("rescued", "reordered_arguments")
        assert verdict(said(call('{"days": 1, "city": "Paris"}')), case(ExpectedCall("get_weather"))) == ("pass", "ok")

    def test_a_tool_may_be_forbidden(self) -> None:
        """A call of it fails, whatever else is called."""
        strict = case(never=("get_time",), other_calls=True)
        assert verdict(said(call(), call("{}", "get_time", "b")), strict) == ("fail", "forbidden_call")
        assert verdict(said(call()), strict) == ("pass", "ok")

    def test_one_of_several_answers_may_be_right(self) -> None:
        """For example either a call or a text."""
        either = case(other_calls=True, any_of=(Expectation(calls=(PARIS,)), Expectation(calls=(), text="No.")))
        assert verdict(said(call()), either) == ("pass", "ok")
        assert verdict(said(text="No."), either) == ("pass", "ok")
        assert verdict(said(text="Yes."), either)[0] == "fail"

    def test_ids_may_have_to_be_the_models_own(self) -> None:
        """An id must be `functions.NAME:N` with the name of the called tool."""
        native = case(PARIS, ids=("native",))
        assert verdict(said(call(call_id="functions.get_weather:3")), native) == ("pass", "ok")
        for other in ("call_1", "functions.get_time:0", "functions.get_weather:", "get_weather:0"):
            assert verdict(said(call(call_id=other)), native) == ("fail", "wrong_call_id")

    def test_an_id_of_the_history_must_be_renamed(self) -> None:
        """K3 restarts its ids in each turn; the answer is rescued and the reuse is shown."""
        made = {"id": "get_weather:0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        asked: list[dict[str, Any]] = [
            {"role": "assistant", "tool_calls": [made]},
            {"role": "user", "content": "And Paris?"},
        ]
        fresh = Case("c", asked, Expectation(calls=(PARIS,), ids=("fresh",)), TOOLS)
        assert verdict(said(call(call_id="get_weather:0")), fresh) == ("rescued", "reused_call_id")
        assert verdict(said(call(call_id="get_weather:1")), fresh) == ("pass", "ok")

    def test_the_finish_reason_may_be_asked_for(self) -> None:
        """It is not checked for a rescued answer, whose reason already says what was wrong."""
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
    def test_reasoning_may_be_required_or_forbidden(self, wanted: str, thought: str, right: int) -> None:
        """A case can require reasoning, or its absence."""
        found = verdict(said(call(), reasoning=thought), case(PARIS, reasoning=wanted))
        assert found == (("pass", "ok") if right else ("fail", "wrong_reasoning"))

    def test_an_opinion_takes_the_place_of_the_expectation(self) -> None:
        """It is not asked about an answer that may not be delivered."""
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
        """The first matching expectation must not use a call that only another one can use."""
        anywhere = ExpectedCall("get_weather", {"city": {"$any": True}})
        rome = call('{"city": "Rome"}', call_id="b")
        assert verdict(said(call(), rome), case(anywhere, PARIS)) == ("pass", "ok")

    def test_no_call_may_be_expected(self) -> None:
        """Then a call is unexpected, and a text is right."""
        assert verdict(said(call()), case()) == ("fail", "unexpected_call")
        assert verdict(said(text="4"), case()) == ("pass", "ok")

    def test_other_calls_may_be_allowed(self) -> None:
        """Extra calls pass only if the case allows them."""
        assert verdict(said(call(), call("{}", "get_time", "b")), case(PARIS, other_calls=True)) == ("pass", "ok")

    def test_arguments_that_were_not_asked_for_may_be_forbidden(self) -> None:
        """Extra arguments fail even if they satisfy the schema."""
        strict = ExpectedCall("get_weather", {"city": "Paris"}, other_arguments=False)
        assert verdict(said(call('{"city": "Paris", "days": 1}')), case(strict)) == ("fail", "wrong_arguments")

    def test_an_argument_may_have_to_be_absent(self) -> None:
        """An optional argument with `$absent` must not be given."""
        lean = ExpectedCall("get_weather", {"days": {"$absent": True}})
        assert verdict(said(call()), case(lean)) == ("pass", "ok")
        assert verdict(said(call('{"city": "Paris", "days": 1}')), case(lean)) == ("fail", "wrong_arguments")

    def test_the_text_may_be_asked_for(self) -> None:
        """The text is checked with calls or without."""
        assert verdict(said(text="It is 4."), case(text={"$matches": r"\b4\b"})) == ("pass", "ok")
        assert verdict(said(text="No."), case(text={"$contains": "4"})) == ("fail", "wrong_text")

    def test_an_emulated_case_is_right_only_by_rescue(self) -> None:
        """A structured call without offered tools is another protocol than requested."""
        written = said(text='{"name": "get_weather", "arguments": {"city": "Paris"}}')
        assert verdict(written, case(PARIS, emulate_tools=True)) == ("rescued", "rescued_text")
        assert verdict(said(call()), case(PARIS, emulate_tools=True)) == ("fail", "not_rescued_form")

    def test_one_of_compares_as_json(self) -> None:
        """Numbers are compared by value, texts exactly."""
        assert matches({"$one_of": [1, "a"]}, 1.0)
        assert not matches({"$one_of": [1, "a"]}, "A")


def test_counts_are_kept_strictly_and_by_k2vvs_formula() -> None:
    """K2VV accepts NaN as JSON, and a leaked call beside a valid one."""
    found = judge(case(PARIS), said(call('{"city": "Paris", "days": NaN}')))
    assert found.checked is not None
    assert (found.checked.calls, found.checked.valid_calls) == (1, 0)
    stopped = judge(case(PARIS), said(call(), finish="stop")).checked
    assert stopped is not None
    assert (stopped.valid_calls, stopped.k2vv_valid) == (1, None)


def test_the_packaged_cases_are_the_three_that_were_asked_for_first() -> None:
    """Each states what it tests, why, and where the failure was observed."""
    found = cases.load(cases.FOLDER / "core.yaml")
    assert [one.name for one in found][:3] == ["weather", "several-tools", "json-in-text"]
    assert all(one.tests and one.why and one.seen for one in found)


def test_a_judgement_that_passes_has_no_error_class() -> None:
    """A right answer has no cause of failure."""
    assert Judgement("rescued", "rescued_text").error_class is None
