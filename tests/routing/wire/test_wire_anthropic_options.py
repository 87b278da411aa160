"""Fields of a request to Anthropic beside its turns: images, tools, choices, limits."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from anthropic_shapes import OLDER, PNG, WEATHER, build, call, result, said, sent, text, user

from routing.errors import EndpointUnavailable, RequestRejected
from routing.types import JsonObject
from routing.wire import anthropic_answer as anthropic


class TestImages:
    def block(self, url: Any) -> JsonObject:
        (turn,) = sent([user([{"type": "image_url", "image_url": {"url": url, "detail": "high"}}])])
        found: JsonObject = turn["content"][0]
        return found

    @pytest.mark.parametrize(
        "url",
        [
            f"data:image/png;base64,{PNG}",
            f"data:image/jpg;base64,{PNG}",
            f"DATA:image/png;charset=x;base64,{PNG[:4]}\n{PNG[4:]}",
            f"data:;base64,{PNG.rstrip('=')}",
            "data:image/png,%89PNG%0D%0A%1A%0Arest",
        ],
    )
    def test_data_urls_become_base64_of_what_they_really_are(self, url: str) -> None:
        """Line breaks, percent escapes, missing padding and wrong labels are corrected."""
        assert self.block(url) == {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        }

    def test_image_jpg_is_image_jpeg(self) -> None:
        """image/jpg is a common name that Anthropic does not know."""
        data = base64.b64encode(b"no magic bytes").decode()
        assert self.block(f"data:image/jpg;base64,{data}")["source"]["media_type"] == "image/jpeg"

    def test_https_urls_are_handed_on(self) -> None:
        """Anthropic fetches them; we never do."""
        url = "https://example.org/a.png?x=1"
        assert self.block(url)["source"] == {"type": "url", "url": url}

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://example.org/a.png", "https"),
            ("file:///etc/passwd", "https"),
            ("https://", "https"),
            ("https://[x/a.png", "https"),
            ("a.png", "https"),
            ("data:image/png;base64", "without data"),
            ("data:image/svg+xml;base64,PHN2Zz4=", "svg"),
            ("data:image/png;base64,@@@@", "not base64"),
            ("data:image/png;base64,", "without data"),
        ],
    )
    def test_an_unsupported_image_is_refused_with_the_reason(self, url: str, words: str) -> None:
        """The error is raised before anything is sent."""
        with pytest.raises(RequestRejected, match=words) as caught:
            self.block(url)
        assert caught.value.reason == "image_refused"

    def test_order_of_text_and_images_stays(self) -> None:
        """A bare string as image is read too."""
        parts = [text("a"), {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"}, text("b")]
        (turn,) = sent([user(parts)])
        assert [block["type"] for block in turn["content"]] == ["text", "image", "text"]

    def test_images_without_vision_are_left_to_another_endpoint(self) -> None:
        """The error class is selection: the request is not wrong."""
        with pytest.raises(EndpointUnavailable, match="no_capability"):
            build([user([{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}])])


class TestOptions:
    @pytest.mark.parametrize(
        ("choice", "parallel", "expected"),
        [
            (None, None, None),
            ("auto", True, {"type": "auto"}),
            ("none", False, {"type": "none"}),
            ("required", None, {"type": "any"}),
            ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
            (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
            ({"type": "function", "function": {"name": "get_weather"}}, None, {"type": "tool", "name": "get_weather"}),
        ],
    )
    def test_tool_choice_and_parallel_calls_are_translated(
        self, choice: Any, parallel: bool | None, expected: Any
    ) -> None:
        """OpenAI's values become Anthropic's."""
        body = build([user()], OLDER, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel).body
        assert body is not None
        assert body.get("tool_choice") == expected

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
    def test_the_newest_model_cannot_be_forced(self, choice: Any) -> None:
        """Claude Sonnet 5.5 answers a forced call with HTTP 400: another endpoint is asked."""
        with pytest.raises(EndpointUnavailable, match="no_capability"):
            build([user()], tools=[WEATHER], tool_choice=choice)

    def test_without_tools_there_is_no_choice(self) -> None:
        """Anthropic would refuse it."""
        body = build([user()], tool_choice="auto", parallel_tool_calls=False).body
        assert body is not None
        assert not {"tool_choice", "tools"} & body.keys()

    def test_a_history_with_calls_names_its_tools_again(self) -> None:
        """Without tools Anthropic refuses such a history; calling them is forbidden."""
        built = build([user(), said(call("a")), result("a"), user("thanks")])
        assert built.body is not None
        assert built.body["tools"] == [{"name": "get_weather", "input_schema": {"type": "object"}}]
        assert built.body["tool_choice"] == {"type": "none"}
        assert "tools_of_the_history: named, not offered" in built.notes

    def test_max_tokens_is_always_there(self) -> None:
        """Anthropic requires it; thinking counts towards it."""
        with_default, asked = build([user()]).body, build([user()], max_tokens=77).body
        assert with_default is not None
        assert asked is not None
        assert (with_default["max_tokens"], asked["max_tokens"]) == (8192, 77)

    def test_stop_sequences_of_only_whitespace_are_left_out(self) -> None:
        """Anthropic refuses them."""
        built = build([user()], stop=["\n", "END"])
        assert built.body is not None
        assert built.body["stop_sequences"] == ["END"]
        assert "stop left out: a sequence of only whitespace is not taken" in built.notes

    def test_older_models_take_a_temperature_up_to_1(self) -> None:
        """OpenAI's range goes up to 2."""
        built = build([user()], OLDER, temperature=1.4)
        assert built.body is not None
        assert built.body["temperature"] == 1.0
        assert built.notes == ("temperature lowered to 1",)

    def test_thinking_can_be_turned_off_or_up(self) -> None:
        """It is on by default."""
        off, high = build([user()], OLDER, reasoning_effort="none").body, build([user()], reasoning_effort="high").body
        assert off is not None
        assert high is not None
        assert off["thinking"] == {"type": "disabled"}
        assert high["output_config"] == {"effort": "high"}

    def test_the_newest_model_cannot_do_without_thinking(self) -> None:
        """Claude Sonnet 5.5 answers `disabled` with HTTP 400; `between_tools` is its least thinking."""
        off = build([user()], reasoning_effort="none").body
        assert off is not None
        assert off["thinking"] == {"type": "between_tools"}

    @pytest.mark.parametrize(
        ("schema", "expected"),
        [
            (None, {"type": "object", "properties": {}}),
            ({"$schema": "x", "type": "object"}, {"type": "object"}),
            ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
            (
                {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {}}}}},
                {
                    "type": "object",
                    "properties": {"a": {}},
                    "$defs": {"A": {"type": "object", "properties": {"a": {}}}},
                },
            ),
            (
                {"anyOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["a"]}]},
                {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
            ),
        ],
    )
    def test_the_root_of_a_schema_is_an_object(self, schema: Any, expected: JsonObject) -> None:
        """Anthropic refuses combinations and references there; the answer is verified against the caller's schema."""
        function = {"name": "f", **({} if schema is None else {"parameters": schema})}
        body = build([user()], tools=[{"type": "function", "function": function}]).body
        assert body is not None
        assert body["tools"][0]["input_schema"] == expected

    @pytest.mark.parametrize(
        "pointer", ["#/anyOf/\u00b2", "#/anyOf/" + "9" * 5000, "#/anyOf/7", "#/none", "http://x/y", 3]
    )
    def test_a_root_that_points_nowhere_is_still_an_object(self, pointer: Any) -> None:
        """No `$ref` of a caller can crash a request."""
        parameters = {"$ref": pointer, "anyOf": [{"type": "object", "properties": {"a": {}}}]}
        body = build([user()], tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}]).body
        assert body is not None
        sent = body["tools"][0]["input_schema"]
        assert (sent["type"], sent["properties"]) == ("object", {"a": {}})
        assert "$ref" not in sent

    def test_the_version_is_pinned(self) -> None:
        """A newer version may answer in other formats."""
        assert build([user()]).headers == {"anthropic-version": "2023-06-01"}
        assert anthropic.authorization("k") == {"x-api-key": "k"}
