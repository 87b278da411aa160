"""Message histories made valid for the next endpoint."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from made_requests import messages

from routing import catalog
from routing.errors import EndpointUnavailable, RequestRejected
from routing.history import PreparedHistory, prepare
from routing.types import Answer, JsonObject, RawToolCall

CATALOG = catalog.load(environment={})
MOONSHOT = "moonshot/kimi-k2.6"
NOVITA = "openrouter/moonshotai/kimi-k2.6+novita/fp8"
OPENROUTER = "openrouter/moonshotai/kimi-k2.6"
GROQ = "groq/moonshotai/kimi-k2-instruct"
TOGETHER = "together/moonshotai/Kimi-K3"
CLAUDE = "anthropic/claude-sonnet-5-5"
CLAUDE_THERE = "openrouter/anthropic/claude-sonnet-5.5"


def prepared(history: list[Any], endpoint: str = NOVITA, **options: Any) -> PreparedHistory:
    found = CATALOG.endpoint(endpoint)
    return prepare(history, found, CATALOG.provider_of(found), **options)


def user(content: Any = "hi") -> JsonObject:
    return {"role": "user", "content": content}


def said(*ids: Any, name: str = "f", **more: Any) -> JsonObject:
    calls = [{"id": one, "type": "function", "function": {"name": name, "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, **({"tool_calls": calls} if calls else {}), **more}


def result(call_id: Any, content: Any = "r", **more: Any) -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


def ids(done: PreparedHistory) -> list[str]:
    return [call["id"] for message in done.messages for call in message.get("tool_calls", ())]


def pairs(done: PreparedHistory) -> list[tuple[str, str]]:
    return [(message["tool_call_id"], message["content"]) for message in done.messages if message["role"] == "tool"]


class TestIds:
    HISTORY = (
        user(),
        said("call_a", "call_b"),
        result("call_b", "2"),
        result("call_a", "1"),
        said("x:0"),
        result("x:0"),
    )

    def test_hosts_of_kimi_get_the_ids_that_it_was_trained_on(self) -> None:
        """Ids count over the whole conversation; other ids make Kimi leak its markers from the third call on."""
        done = prepared(list(self.HISTORY))
        assert ids(done) == ["functions.f:0", "functions.f:1", "functions.f:2"]
        assert pairs(done) == [("functions.f:0", "1"), ("functions.f:1", "2"), ("functions.f:2", "r")]

    def test_moonshot_keeps_them(self) -> None:
        """Moonshot renames ids itself; only repeated or missing ids are replaced."""
        assert ids(prepared(list(self.HISTORY), MOONSHOT)) == ["call_a", "call_b", "x:0"]
        again = [user(), said("f:0"), result("f:0"), said("f:0", ""), result("f:0"), result("")]
        assert ids(prepared(again, MOONSHOT)) == ["f:0", "functions.f:1", "functions.f:2"]

    @pytest.mark.parametrize("endpoint", [CLAUDE, CLAUDE_THERE])
    def test_claude_gets_legal_ids(self, endpoint: str) -> None:
        """Kimi's ids hold a dot and a colon, which Claude refuses, also behind OpenRouter."""
        assert ids(prepared([user(), said("functions.f:0", "ok-1"), result("ok-1")], endpoint)) == [
            "functions_f_0",
            "ok-1",
        ]

    def test_ids_do_not_change_as_the_conversation_grows(self) -> None:
        """A prompt cache is lost from the first character that changes."""
        whole = list(self.HISTORY)
        for endpoint in (NOVITA, MOONSHOT, CLAUDE):
            full = ids(prepared(whole, endpoint))
            for end in (2, 4, 6):
                part = ids(prepared(whole[:end], endpoint))
                assert part == full[: len(part)]

    def test_an_id_that_the_conversation_has_is_not_given_again(self) -> None:
        """Kimi K3 begins at 0 in every turn, so without new ids results would be ambiguous."""
        done = prepared([user(), said("f:0"), result("f:0"), user()])
        calls = (RawToolCall("f:0", "f", "{}"), RawToolCall("functions.f:0", "f", "{}"), RawToolCall("new", "f", "{}"))
        restored = [call.id for call in done.restore(Answer(tool_calls=calls)).tool_calls]
        assert restored == ["f:1", "functions.f:1", "new"]
        assert done.restore(Answer(tool_calls=(RawToolCall(None, None, ""),))).tool_calls[0].id is None

    def test_repeated_opaque_ids_get_new_ids(self) -> None:
        """Repeated ids of any form get new ids."""
        done = prepared([user(), said("abc"), result("abc")])
        (call,) = done.restore(Answer(tool_calls=(RawToolCall("abc", "f", "{}"),))).tool_calls
        assert call.id == "abc-2"


class TestResults:
    def test_results_follow_their_calls(self) -> None:
        """Results follow their calls, wherever they were in the history."""
        done = prepared([user(), said("a", "b"), result("a"), user("wait"), result("b", "late")])
        assert [message["role"] for message in done.messages] == ["user", "assistant", "tool", "tool", "user"]
        assert done.notes == ("tool_results_moved: next to their calls",)

    def test_a_missing_result_is_filled_in_and_noted(self) -> None:
        """Every host refuses a call without a result."""
        done = prepared([user(), said("a")])
        assert pairs(done) == [("functions.f:0", "No result of this call was recorded.")]
        assert done.made_up == {"functions.f:0"}
        assert done.notes == ("tool_results_missing: reported as missing",)

    def test_a_result_without_a_call_becomes_user_text(self) -> None:
        """A second result of the same call becomes user text too."""
        done = prepared([user(), said("a"), result("a", "1"), result("a", "2"), result("zzz", "3", name="g")])
        told = [message["content"] for message in done.messages if message["role"] == "user"]
        assert told[1:] == ["[Result of an earlier tool call (a)]\n2", "[Result of an earlier tool call (g)]\n3"]

    def test_results_without_id_belong_to_the_newest_calls(self) -> None:
        """They match by name if they have one, else in order."""
        calls = [*said("a", name="f")["tool_calls"], *said("b", name="g")["tool_calls"]]
        history = [user(), said("z"), result("z"), {**said(), "tool_calls": calls}]
        done = prepared([*history, result(None, "of g", name="g"), result(None, "of f")])
        assert pairs(done)[1:] == [("functions.f:1", "of f"), ("functions.g:2", "of g")]

    def test_the_older_form_of_calls_is_read(self) -> None:
        """`function_call` and role `function`."""
        history = [
            user(),
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ]
        done = prepared(history)
        assert pairs(done) == [("functions.f:0", "r")]
        assert done.notes == ()

    def test_results_are_text_and_their_images_follow(self) -> None:
        """OpenAI's protocol has no images in results."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        done = prepared([user(), said("a"), result("a", [{"type": "text", "text": "see"}, image]), said(content="ok")])
        assert pairs(done) == [("functions.f:0", "see")]
        assert done.messages[3] == user([{"type": "text", "text": "[Images of tool result functions.f:0]"}, image])
        assert done.messages[4]["role"] == "assistant"

    @pytest.mark.parametrize(
        ("content", "shown"), [(None, ""), ([], ""), ({"a": 1}, '{"a": 1}'), (7, "7"), (["x", "y"], "x\ny")]
    )
    def test_results_are_never_without_content(self, content: Any, shown: str) -> None:
        """Groq and others refuse a missing one."""
        assert pairs(prepared([user(), said("a"), result("a", content)])) == [("functions.f:0", shown)]


EMPTY: tuple[dict[str, Any], ...] = (
    {"content": None},
    {"content": ""},
    {"content": []},
    {"content": [{"type": "text", "text": ""}]},
    {"content": [{"type": "thinking", "thinking": "hm"}]},
    {"content": None, "reasoning_content": "hm"},
    {"content": "", "tool_calls": []},
)


class TestEmptyMessages:
    @pytest.mark.parametrize("endpoint", [MOONSHOT, NOVITA, GROQ, TOGETHER, CLAUDE, CLAUDE_THERE])
    @pytest.mark.parametrize("empty", EMPTY, ids=str)
    def test_an_assistant_message_without_text_and_calls_is_left_out(self, empty: Any, endpoint: str) -> None:
        """Moonshot refuses it with HTTP 400; it remains from an interrupted answer, or from one that only thought."""
        history = [user("a"), {"role": "assistant", **empty}, user("b")]
        done = prepared(history, endpoint)
        assert [message["content"] for message in done.messages] == ["a", "b"]
        assert "empty_assistant_message: left out" in done.notes

    def test_an_empty_message_that_a_host_needs_stays(self) -> None:
        """With calls; or as the beginning of the answer, which Moonshot continues."""
        begun = {"role": "assistant", "content": "", "name": "Kai", "partial": True}
        done = prepared([user(), said("a"), result("a"), user(), begun], MOONSHOT)
        assert [message["role"] for message in done.messages] == ["user", "assistant", "tool", "user", "assistant"]

    @pytest.mark.parametrize("empty", ["", None, [], [{"type": "text", "text": ""}]])
    def test_an_empty_user_message_is_sent_with_a_text(self, empty: Any) -> None:
        """Moonshot refuses it too; without it the roles could be in another order."""
        done = prepared([user("a"), said(content="b"), user(empty)], MOONSHOT)
        assert done.messages[2] == user("(empty message)")
        assert done.notes == ("empty_user_message: sent with a text",)

    def test_no_part_of_a_message_has_empty_text(self) -> None:
        """Moonshot refuses such a part, and accepts empty text beside calls."""
        parts = [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]
        done = prepared([user(parts), said("a", content=parts[:1]), result("a", parts[:1])], NOVITA)
        assert [message["content"] for message in done.messages] == [parts[1:], "", ""]

    @pytest.mark.parametrize("endpoint", [MOONSHOT, GROQ])
    def test_a_history_without_any_content_is_one_empty_user_message(self, endpoint: str) -> None:
        """Hosts refuse a request without messages, with an error that says little."""
        assert prepared([{"role": "system", "content": ""}, said()], endpoint).messages == (user("(empty message)"),)


def many(count: int, kind: str) -> list[Any]:
    """A history with this many calls or results that are hard to pair."""
    numbers = range(count)
    return {
        "results of no call": [said(*map(str, numbers)), *(result(f"x{number}") for number in numbers)],
        "results without id": [said(*map(str, numbers)), *(result(None) for _ in numbers)],
        "results without id, by name": [said(*map(str, numbers)), *(result(None, name="f") for _ in numbers)],
        "one id": [message for _ in numbers for message in (said("same"), result("same"))],
        "one id in one turn": [said(*["same"] * count), *(result("same") for _ in numbers)],
        "missing results": [said(str(number)) for number in numbers],
        "names that become alike": [
            {**said(), "tool_calls": [{"id": str(at), "function": {"name": f"a{chr(0x4E00 + at)}"}} for at in numbers]}
        ],
    }[kind]


@pytest.mark.parametrize("endpoint", [NOVITA, MOONSHOT, CLAUDE])
@pytest.mark.parametrize(
    "kind",
    [
        "results of no call",
        "results without id",
        "results without id, by name",
        "one id",
        "one id in one turn",
        "missing results",
        "names that become alike",
    ],
)
def test_long_histories_are_paired_in_linear_time(kind: str, endpoint: str) -> None:
    """Four times as many messages take about four times as long: all requests of a router share one event loop."""

    def cost(count: int) -> float:
        history = [user(), *many(count, kind)]
        times = []
        for _ in range(3):
            began = time.process_time()
            prepared(history, endpoint)
            times.append(time.process_time() - began)
        return min(times)

    assert cost(4000) < 9 * cost(1000) + 0.02


class TestReasoning:
    def field(self, endpoint: str, message: JsonObject, **options: Any) -> JsonObject:
        done = prepared([user(), message, *([result("a")] if "tool_calls" in message else [])], endpoint, **options)
        return {key: value for key, value in done.messages[1].items() if key.startswith("reasoning")}

    @pytest.mark.parametrize(
        "given",
        [
            {"reasoning": "hm"},
            {"reasoning_content": "hm"},
            {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        ],
    )
    def test_it_is_carried_under_the_name_that_the_host_has(self, given: JsonObject) -> None:
        """Moonshot and Together name the field reasoning_content, OpenRouter names it reasoning."""
        assert self.field(MOONSHOT, said("a", **given)) == {"reasoning_content": "hm"}
        assert self.field(TOGETHER, said("a", **given)) == {"reasoning_content": "hm"}
        assert self.field(NOVITA, said("a", **given))["reasoning"] == "hm"

    @pytest.mark.parametrize("endpoint", [GROQ, CLAUDE])
    def test_it_is_removed_for_hosts_that_refuse_it(self, endpoint: str) -> None:
        """Groq refuses unknown fields; Anthropic refuses reasoning without its signature."""
        done = prepared([user(), said("a", reasoning="hm"), result("a")], endpoint)
        assert "hm" not in json.dumps(done.messages)
        assert done.notes == ("reasoning_removed: not taken here",)

    def test_it_is_filled_in_for_hosts_that_refuse_a_call_without_it(self) -> None:
        """This happens after a fallback from a model that does not think."""
        for endpoint, name in ((MOONSHOT, "reasoning_content"), (OPENROUTER, "reasoning")):
            assert self.field(endpoint, said("a")) == {name: " "}
            assert self.field(endpoint, said(content="no call")) == {}
        assert self.field(NOVITA, said("a")) == {}

    def test_without_thinking_none_is_needed(self) -> None:
        """K2.6 can be asked not to think."""
        assert self.field(MOONSHOT, said("a"), thinks=False) == {}
        assert self.field("moonshot/kimi-k2-0905-preview", said("a")) == {}

    def test_details_go_back_to_openrouter_only(self) -> None:
        """Only OpenRouter reads `reasoning_details`; details of an unknown type are left out."""
        details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}, {"type": "other"}, 3]
        assert self.field(OPENROUTER, said("a", reasoning_details=details))["reasoning_details"] == details[:1]
        assert "reasoning_details" not in self.field(MOONSHOT, said("a", reasoning_details=details))


class TestShapes:
    def test_text_parts_are_one_text_where_a_host_needs_that(self) -> None:
        """Moonshot's text models need this; with an image the parts are kept."""
        parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}, "c"]
        assert prepared([user(parts)], MOONSHOT).messages[0]["content"] == "a\nb\nc"
        assert len(prepared([user(parts)], NOVITA).messages[0]["content"]) == 3
        image = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
        kept = prepared([user([*parts, image])], MOONSHOT).messages[0]["content"]
        assert kept[-1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

    def test_moonshot_takes_images_as_data_only(self) -> None:
        """Moonshot fetches no URLs; another endpoint may."""
        with pytest.raises(EndpointUnavailable, match="data URLs"):
            prepared([user([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}])], MOONSHOT)
        prepared([user([{"type": "image_url", "image_url": {"url": "ms://file-id"}}])], MOONSHOT)

    def test_an_endpoint_without_vision_takes_no_image(self) -> None:
        """Images in older turns are refused too."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        with pytest.raises(EndpointUnavailable, match="no images"):
            prepared([user([image]), said(content="nice"), user("thanks")], GROQ)

    def test_developer_is_system_and_unknown_fields_go(self) -> None:
        """Strict hosts refuse unknown fields; null fields of dumped SDK objects are ignored."""
        message = {**said(content="a"), "audio": None, "annotations": [], "refusal": None}
        done = prepared([{"role": "developer", "content": "d"}, user(), message])
        assert done.messages[0] == {"role": "system", "content": "d"}
        assert done.messages[2] == {"role": "assistant", "content": "a"}
        assert done.notes == ("message_fields_removed: annotations",)

    def test_anthropics_image_parts_are_read(self) -> None:
        """Callers mix OpenAI's and Anthropic's formats."""
        source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
        (message,) = prepared([user([{"type": "image", "source": source}])]).messages
        assert message["content"][0]["image_url"]["url"] == "data:image/png;base64,AAAA"

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "critic", "content": "x"},
            {"content": "x"},
            "hi",
            user([{"type": "hologram"}]),
            user([7]),
            user([{"type": "image_url"}]),
            user({"a": {1, 2}}),
        ],
    )
    def test_what_no_protocol_has_is_the_callers_mistake(self, message: Any) -> None:
        """The error is raised before anything is sent."""
        with pytest.raises(RequestRejected):
            prepared([message])

    @pytest.mark.parametrize("endpoint", [CLAUDE, MOONSHOT])
    def test_numbers_beyond_a_double_are_kept_as_text(self, endpoint: str) -> None:
        """They cannot be written as JSON again, and a request that holds one could not be sent."""
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"n": 1e999}'}}
        done = prepared([user(), {"role": "assistant", "tool_calls": [call]}, result("a")], endpoint)
        arguments = done.messages[1]["tool_calls"][0]["function"]["arguments"]
        assert json.loads(arguments) == {"malformed_arguments": '{"n": 1e999}'}

    def test_calls_of_custom_tools_keep_name_and_input(self) -> None:
        """OpenAI's other kind of tool call, whose input is a text."""
        call = {"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
        done = prepared([user(), {"role": "assistant", "tool_calls": [call]}, result("a")])
        function = done.messages[1]["tool_calls"][0]["function"]
        assert (function["name"], json.loads(function["arguments"])) == ("shell", {"malformed_arguments": "ls"})

    def test_the_callers_messages_are_not_touched(self) -> None:
        """The same messages may be used for the next endpoint."""
        history = [user([{"type": "text", "text": "a"}]), said("a", reasoning="hm"), result("a", None)]
        before = json.dumps(history)
        for endpoint in (NOVITA, MOONSHOT, CLAUDE):
            prepared(history, endpoint)
        assert json.dumps(history) == before


@pytest.mark.parametrize("endpoint", [NOVITA, MOONSHOT, GROQ, TOGETHER, CLAUDE])
@given(history=messages(images=False))
def test_every_call_has_one_result_beside_it_and_a_unique_id(endpoint: str, history: list[Any]) -> None:
    """Generated histories of any kind give pairs of calls and results with unique ids."""
    done = prepared(history, endpoint)
    used = ids(done)
    assert len(set(used)) == len(used)
    waiting: list[str] = []
    for message in done.messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
            continue
        assert not waiting
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        for call in message.get("tool_calls", ()):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert not waiting


@given(history=messages(images=False))
def test_preparing_twice_changes_nothing_more(history: list[Any]) -> None:
    """Preparing twice changes nothing: a history that was sent may come back."""
    for endpoint in (NOVITA, MOONSHOT, GROQ, CLAUDE):
        once = prepared(history, endpoint).messages
        assert prepared(list(once), endpoint).messages == once


@given(history=messages(images=False))
def test_no_text_is_lost(history: list[Any]) -> None:
    """All text of every role is kept, in the order of the roles that have text."""
    done = json.dumps(prepared(history, CLAUDE).messages, ensure_ascii=False)
    for message in history:
        content = message.get("content")
        if isinstance(content, str):
            assert json.dumps(content, ensure_ascii=False)[1:-1] in done
