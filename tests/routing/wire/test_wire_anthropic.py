"""Anthropic's Messages from OpenAI's requests: nothing is lost, reordered or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_shapes import PNG, WEATHER, build, call, result, said, sent, text, user

from routing.errors import EndpointUnavailable
from routing.types import Answer, JsonObject, RawToolCall


class TestMessages:
    def test_leading_system_and_developer_messages_are_the_system_prompt(self) -> None:
        """They are joined in their order."""
        built = build([{"role": "system", "content": "a"}, {"role": "developer", "content": [text("b")]}, user()])
        assert built.body is not None
        assert built.body["system"] == "a\n\nb"
        assert built.body["messages"] == [user([text("hi")])]

    def test_a_system_message_in_the_conversation_keeps_its_position(self) -> None:
        """Other converters move it to the front, or put the next question before it."""
        told = {"role": "developer", "content": "be short"}
        marked = text("<system_message>\nbe short\n</system_message>")
        assert sent([user("q"), said(content="a"), told, user("q2")])[-1] == user([marked, text("q2")])
        assert sent([user("q"), told, user("q2")]) == [user([text("q"), marked, text("q2")])]
        assert sent([user("q"), said(content="a"), told])[-1] == user([marked])
        between = sent([user("q"), said(content="a"), told, said(content="b"), user("c")])
        assert [message["role"] for message in between] == ["user", "assistant", "user", "assistant", "user"]
        assert between[2] == user([marked])

    def test_tool_results_and_what_follows_are_one_turn_with_the_results_first(self) -> None:
        """Anthropic refuses any other order."""
        turns = sent(
            [user(), said(call("a"), call("b")), result("a", "1"), result("b", "2"), user("and?")], tools=[WEATHER]
        )
        assert [message["role"] for message in turns] == ["user", "assistant", "user"]
        assert turns[2]["content"] == [
            {"type": "tool_result", "tool_use_id": "a", "content": "1"},
            {"type": "tool_result", "tool_use_id": "b", "content": "2"},
            text("and?"),
        ]

    def test_a_system_message_before_the_results_comes_after_them(self) -> None:
        """Results must directly follow their calls; the message is not lost."""
        turns = sent([user(), said(call("a")), {"role": "system", "content": "s"}, result("a")], tools=[WEATHER])
        assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "text"]

    def test_text_comes_before_calls_and_arguments_are_objects(self) -> None:
        """This is the order in which the model wrote them."""
        turns = sent([user(), said(call("a"), content="Let me see."), result("a")], tools=[WEATHER])
        assert turns[1]["content"] == [
            text("Let me see."),
            {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Paris"}},
        ]

    @pytest.mark.parametrize(
        ("arguments", "given"),
        [
            ("", {}),
            (None, {}),
            ("{}", {}),
            ({"city": 1}, {"city": 1}),
            ("[1]", {"malformed_arguments": "[1]"}),
            ('{"city": "Pa', {"malformed_arguments": '{"city": "Pa'}),
            ('"{}"', {"malformed_arguments": '"{}"'}),
            ('{"a": NaN}', {"malformed_arguments": '{"a": NaN}'}),
            ([1], {"malformed_arguments": [1]}),
        ],
    )
    def test_arguments_that_are_not_an_object_never_crash_a_request(self, arguments: Any, given: JsonObject) -> None:
        """One bad call of an earlier turn must not end the conversation."""
        turns = sent([user(), said(call("a", arguments=arguments)), result("a")], tools=[WEATHER])
        assert turns[1]["content"][0]["input"] == given

    def test_a_missing_result_is_sent_as_an_error(self) -> None:
        """Anthropic refuses a call without result."""
        turns = sent([user(), said(call("a"), call("b")), result("b")], tools=[WEATHER])
        assert turns[2]["content"][0] == {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": "No result of this call was recorded.",
            "is_error": True,
        }

    def test_a_result_without_call_is_text(self) -> None:
        """Dropping it would lose what the user saw."""
        turns = sent([user(), result("zzz", "42")])
        assert turns == [user([text("hi"), text("[Result of an earlier tool call (zzz)]\n42")])]

    def test_results_may_hold_images_and_nothing(self) -> None:
        """Content is text and image blocks, or absent; Anthropic refuses empty text."""
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
        turns = sent(
            [user(), said(call("a"), call("b")), result("a", [text("see"), image]), result("b", "")], tools=[WEATHER]
        )
        first, second = turns[2]["content"]
        assert [block["type"] for block in first["content"]] == ["text", "image"]
        assert "content" not in second

    @pytest.mark.parametrize("content", ["", "  \n", None, [], [text("")]])
    def test_empty_content_leaves_no_empty_block(self, content: Any) -> None:
        """An empty user message becomes a placeholder text, an empty answer is left out."""
        assert sent([user(content)]) == [user([text("(empty message)")])]
        assert sent([user("a"), said(content=content), user("b")]) == [user([text("a"), text("b")])]

    def test_the_first_and_the_last_turn_are_the_users(self) -> None:
        """These models refuse a conversation that ends with the assistant."""
        turns = sent([said(content="Hello."), user("hi"), said(content="Well ")])
        assert [message["role"] for message in turns] == ["user", "assistant", "user", "assistant", "user"]
        assert turns[-1] == user([text("Continue.")])

    def test_reasoning_of_other_models_is_left_out(self) -> None:
        """Thinking blocks need a signature that only Anthropic can make."""
        built = build([user(), {**said(content="a"), "reasoning_content": "hm"}, user("b")])
        assert "hm" not in json.dumps(built.body)
        assert "reasoning_removed: not taken here" in built.notes

    def test_fields_that_it_does_not_have_are_noted(self) -> None:
        """No field is removed silently."""
        built = build([{**user(), "name": "bob", "cache_control": {"type": "ephemeral"}}], temperature=0.3, top_p=0.5)
        assert set(built.notes) == {
            "message_fields_removed: cache_control",
            "message_fields_removed: name",
            "temperature left out: fixed by the model",
            "top_p left out: fixed by the model",
        }

    def test_a_response_format_is_refused(self) -> None:
        """Without it the answer would mean something else."""
        with pytest.raises(EndpointUnavailable, match="it takes no response_format"):
            build([user()], response_format={"type": "json_object"})
        assert build([user()], response_format={"type": "text"}, seed=7).notes == ("seed left out: not known here",)


class TestIds:
    def test_ids_are_made_legal_without_two_becoming_one(self) -> None:
        """`a.b` and `a_b` would both become `a_b`."""
        turns = sent(
            [
                user(),
                said(call("a.b"), call("a_b"), call("a:b")),
                result("a:b", "3"),
                result("a.b", "1"),
                result("a_b", "2"),
            ],
            tools=[WEATHER],
        )
        used = [block["id"] for block in turns[1]["content"]]
        assert len(set(used)) == 3
        assert all(name.replace("_", "").isalnum() for name in used)
        assert {block["tool_use_id"]: block["content"] for block in turns[2]["content"]} == dict(
            zip(used, ["1", "2", "3"], strict=True)
        )

    def test_ids_that_come_again_keep_their_own_results(self) -> None:
        """Weak clients count from 0 in every turn."""
        first, second = said(call("functions.f:0", "f", '{"a": 1}')), said(call("functions.f:0", "f", '{"a": 2}'))
        turns = sent(
            [user(), first, result("functions.f:0", "one"), second, result("functions.f:0", "two")], tools=[WEATHER]
        )
        pairs = [
            (use["input"]["a"], answer["content"])
            for use, answer in (
                (turns[1]["content"][0], turns[2]["content"][0]),
                (turns[3]["content"][0], turns[4]["content"][0]),
            )
        ]
        assert pairs == [(1, "one"), (2, "two")]
        assert turns[1]["content"][0]["id"] != turns[3]["content"][0]["id"]

    def test_one_id_twice_in_one_answer_is_paired_in_order(self) -> None:
        """Each of the two calls has its result."""
        turns = sent([user(), said(call("0"), call("0")), result("0", "one"), result("0", "two")], tools=[WEATHER])
        assert [block["content"] for block in turns[2]["content"]] == ["one", "two"]
        assert len({block["id"] for block in turns[1]["content"]}) == 2

    def test_the_answers_ids_and_names_fit_the_callers_history(self) -> None:
        """Tool names come back as they were offered; an id that the history already has is replaced."""
        tool = {"type": "function", "function": {"name": "mcp.files/read"}}
        built = build([user(), said(call("functions.mcp.files/read:0", "mcp.files/read")), result("x")], tools=[tool])
        assert built.body is not None
        (alias,) = [tool["name"] for tool in built.body["tools"]]
        used = built.body["messages"][1]["content"][0]
        assert used["name"] == alias == "mcp_files_read"
        answer = Answer(tool_calls=(RawToolCall(used["id"], alias, "{}"), RawToolCall("toolu_1", alias, "{}")))
        restored = built.restore(answer).tool_calls
        assert [one.name for one in restored] == ["mcp.files/read"] * 2
        assert restored[1].id == "toolu_1"
        assert restored[0].id not in {used["id"], "functions.mcp.files/read:0"}

    def test_two_names_never_share_an_alias(self) -> None:
        """An alias is never the name of another offered tool either."""
        offered = [
            {"type": "function", "function": {"name": name}} for name in ("a.b", "a_b", "a/b", "x" * 90, "x" * 91)
        ]
        built = build([user()], tools=offered)
        assert built.body is not None
        names = [tool["name"] for tool in built.body["tools"]]
        assert len(set(names)) == 5
        assert names[1] == "a_b"
        back = built.restore(Answer(tool_calls=tuple(RawToolCall("i", name, "{}") for name in names)))
        assert [one.name for one in back.tool_calls] == ["a.b", "a_b", "a/b", "x" * 90, "x" * 91]
