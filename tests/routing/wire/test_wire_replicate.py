"""Replicate: predictions are created, waited for, polled, streamed and cancelled; tools are described in the prompt."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator
from routing import catalog
from routing import exchange as exchange_module
from routing.errors import EndpointUnavailable, ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange, Target, exchange
from routing.transport import Transport
from routing.types import ChatRequest, JsonObject, Usage
from routing.verify import check
from routing.wire import WireRequest, replicate

CATALOG = catalog.load(environment={})
KIMI = CATALOG.endpoint("replicate/moonshotai/kimi-k2.5")
PROVIDER = CATALOG.provider_of(KIMI)
WEATHER: JsonObject = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
USER = {"role": "user", "content": "What is the weather in Paris?"}


def build(*messages: JsonObject, **options: Any) -> WireRequest:
    return replicate.build(ChatRequest(messages or (USER,), **options), KIMI, PROVIDER)


def asked(built: WireRequest) -> JsonObject:
    assert built.body is not None
    found: JsonObject = built.body["input"]
    return found


def page(status: str = "succeeded", **more: Any) -> JsonObject:
    base = PROVIDER.base_url
    urls = {"get": f"{base}/predictions/p1", "cancel": f"{base}/predictions/p1/cancel", "stream": f"{base}/stream/p1"}
    return {"id": "p1", "model": "moonshotai/kimi-k2.5", "status": status, "urls": urls, **more}


def followed(built: WireRequest, made: JsonObject, status: int = 201) -> WireRequest | None:
    assert built.follow is not None
    return built.follow(status, json.dumps(made).encode())


class TestBuild:
    def test_the_conversation_is_one_prompt(self) -> None:
        """The API has no messages: system text first, then each speaker's text, then the assistant's turn."""
        answer = {"role": "assistant", "content": "Hello."}
        built = build({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}, answer, USER)
        prompt = "Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: What is the weather in Paris?\n\nAssistant:"
        assert asked(built) == {"prompt": prompt}
        assert built.path == "/models/moonshotai/kimi-k2.5/predictions"
        assert built.headers["Prefer"] == "wait=5"

    def test_tools_calls_and_results_are_written_into_the_prompt(self) -> None:
        """The API has no tools either: capability `tools:emulated`."""
        call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
        built = build(
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "sunny"},
            tools=[WEATHER],
            tool_choice="auto",
        )
        prompt = asked(built)["prompt"]
        assert '"name": "get_weather"' in prompt.split("\n\n")[0]
        assert 'Assistant: {"name": "get_weather", "arguments": {"city": "Paris"}}' in prompt
        assert "User: Result of tool get_weather:\nsunny" in prompt
        assert built.notes == ("tools_emulated: described in the prompt",)

    def test_known_options_are_sent_and_others_noted(self) -> None:
        """Its input has neither stop nor reasoning_effort."""
        built = build(max_tokens=9, temperature=0.5, top_p=0.9, stop="x", reasoning_effort="low")
        assert {key: value for key, value in asked(built).items() if key != "prompt"} == {
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
        }
        assert built.notes == ("stop left out: not known here", "reasoning_effort left out: not known here")

    def test_a_response_format_is_refused(self) -> None:
        """A prompt can ask for JSON, but nothing makes the answer JSON; another endpoint can."""
        with pytest.raises(EndpointUnavailable, match="it takes no response_format"):
            build(response_format={"type": "json_object"})
        assert build(response_format={"type": "text"}, seed=7).notes == ("seed left out: not known here",)

    @pytest.mark.parametrize(
        "tool",
        [
            {"type": "web_search"},
            {"type": "function", "function": {}},
            {"type": "function", "function": {"name": "f", "parameters": {"default": float("nan")}}},
            {"type": "function", "function": {"name": "f", "parameters": {"enum": {1}}}},
        ],
    )
    def test_a_tool_that_cannot_be_described_is_the_callers_mistake(self, tool: JsonObject) -> None:
        """It is never the provider's fault, as with native tools."""
        with pytest.raises(RequestRejected, match="bad_request"):
            build({"role": "user", "content": "hi"}, tools=(tool,))

    def test_one_image_is_taken_and_two_are_not(self) -> None:
        """The input has a field for one image."""
        image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        assert asked(build({"role": "user", "content": [image]}))["image"] == "https://example.org/a.png"
        with pytest.raises(EndpointUnavailable, match="one image"):
            build({"role": "user", "content": [image, image]})

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
    def test_a_call_cannot_be_forced(self, choice: Any) -> None:
        """A prompt can only request a call."""
        with pytest.raises(EndpointUnavailable, match="tool_choice"):
            build(tools=[WEATHER], tool_choice=choice)


class TestFollow:
    def test_an_ended_prediction_needs_no_further_request(self) -> None:
        """A refused one does not either."""
        assert followed(build(), page("succeeded")) is None
        assert followed(build(), page("failed")) is None
        assert followed(build(), {"detail": "no"}, 422) is None

    def test_a_running_prediction_is_polled_and_can_be_cancelled(self) -> None:
        """It is polled every half second until it has ended."""
        step = followed(build(), page("processing"))
        assert step is not None
        assert (step.method, step.path, step.body, step.delay_s) == ("GET", page()["urls"]["get"], None, 0.5)
        assert step.cancel is not None
        assert (step.cancel.method, step.cancel.path) == ("POST", page()["urls"]["cancel"])
        assert followed(step, page("succeeded"), 200) is None

    def test_a_streamed_prediction_is_read_from_its_stream(self) -> None:
        """This needs a stream URL of the provider; otherwise the prediction is polled."""
        built = build(stream=True)
        assert built.body is not None
        assert built.body["stream"] is True
        step = followed(built, page("starting"))
        assert step is not None
        assert (step.path, step.headers["Accept"]) == (page()["urls"]["stream"], "text/event-stream")
        urls = {**page()["urls"], "stream": "https://stream.replicate.com/v1/files/x"}
        step = followed(built, page("starting", urls=urls))
        assert step is not None
        assert step.path == urls["stream"]
        step = followed(built, page("starting", urls={**urls, "stream": "https://evil.example/x"}))
        assert step is not None
        assert step.path == urls["get"]

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/v1/predictions/p1",
            "https://api.replicate.com.evil.example/v1/predictions/p1",
            "https://api.replicate.com@evil.example/v1/x",
            "http://api.replicate.com/v1/predictions/p1",
            "https://api.replicate.com/v1/../../x",
            "https://api.replicate.com:444/v1/x",
            "file:///etc/passwd",
            "//evil.example/x",
            "https://api.replicate.com/v1/x y",
            7,
            None,
        ],
    )
    def test_a_url_that_leads_elsewhere_is_not_followed(self, url: Any) -> None:
        """The key would be sent to another host."""
        with pytest.raises(ProviderFailure, match="redirected"):
            followed(build(), page("processing", urls={"get": url}))


def parsed(made: Any, status: int = 200) -> Any:
    return replicate.parse(status, {}, json.dumps(made).encode())


class TestParse:
    def test_the_output_is_joined(self) -> None:
        """The output is a list of pieces or a text; token counts are in the metrics."""
        metrics = {"input_token_count": 7, "output_token_count": 2}
        answer = parsed(page(output=["Hel", "lo", 3], metrics=metrics))
        assert (answer.text, answer.finish_reason, answer.usage) == ("Hello", "stop", Usage(7, 2))
        assert (answer.model, answer.generation_id) == ("moonshotai/kimi-k2.5", "p1")
        assert parsed(page(output="Hello")).text == "Hello"
        assert parsed(page(output=None)).text == ""

    def test_an_answer_as_long_as_the_limit_is_cut(self) -> None:
        """Replicate reports no finish reason."""
        metrics = {"input_token_count": 7, "output_token_count": 16}
        assert parsed(page(output=["x"], metrics=metrics, input={"max_tokens": 16})).finish_reason == "length"

    @pytest.mark.parametrize(
        ("made", "status", "reason"),
        [
            (page("failed", error="CUDA out of memory"), 201, "server_error"),
            (page("canceled"), 200, "server_error"),
            (page("aborted"), 200, "server_error"),
            (page("processing"), 200, "malformed_body"),
            ({}, 200, "malformed_body"),
            (page() | {"status": {"a": []}}, 200, "malformed_body"),
            ([], 200, "malformed_body"),
            ({"detail": "no token", "status": 401}, 401, "unauthorized"),
            ({"detail": "no credit"}, 402, "no_credit"),
            ({"detail": "not found"}, 404, "model_retired"),
            ({"detail": "prompt is required"}, 422, "bad_request"),
            ({"detail": "throttled", "retry_after": 7}, 429, "rate_limited"),
            ({"detail": "x"}, 503, "overloaded"),
        ],
    )
    def test_errors_are_classified(self, made: Any, status: int, reason: str) -> None:
        """This includes errors inside a 201."""
        with pytest.raises(ExchangeError) as caught:
            parsed(made, status)
        assert caught.value.reason == reason

    def test_the_time_to_wait_is_read_from_the_body(self) -> None:
        """Replicate sends no header for it."""
        with pytest.raises(ExchangeError) as caught:
            parsed({"detail": "throttled", "retry_after": 7}, 429)
        assert caught.value.retry_after_s == 7.0


class TestStream:
    @staticmethod
    def fed(raw: str, size: int = 1 << 20) -> Any:
        stream, data = replicate.stream(), raw.encode()
        for at in range(0, len(data), size):
            stream.feed(data[at : at + size])
        return stream.finish()

    @pytest.mark.parametrize("size", [1, 3, 1000])
    def test_output_events_are_the_text(self, size: int) -> None:
        """Line breaks are separate data lines of one event."""
        raw = "event: output\nid: 1:0\ndata: one\ndata: \n\nevent: output\ndata: twö\n\nevent: done\ndata: {}\n\n"
        answer = self.fed(raw, size)
        assert (answer.text, answer.complete, answer.finish_reason) == ("one\ntwö", True, "stop")

    def test_without_done_it_is_cut(self) -> None:
        """Truncation is never a success."""
        assert not self.fed("event: output\ndata: x\n\n").complete

    @pytest.mark.parametrize(
        "raw", ['event: error\ndata: {"detail": "x"}\n\n', 'event: done\ndata: {"reason": "error"}\n\n']
    )
    def test_an_error_fails_the_stream(self, raw: str) -> None:
        """Both forms of an error do."""
        with pytest.raises(ProviderFailure, match="server_error"):
            self.fed("event: output\ndata: x\n\n" + raw)


def playing(persona: str = "healthy", **more: Any) -> Scenario:
    return Scenario("test", default=Persona(persona, **{"first_token_ms": 0.0, "tokens_per_s": 1e6, **more}))


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(playing()) as running:
        yield running


def exchanged(simulator: Simulator, *, timeout_s: float = 10.0, called_off: bool = False, **options: Any) -> Exchange:
    found = catalog.load(environment=simulator.environment())

    async def run() -> Exchange:
        transport = Transport()
        try:
            target = Target(KIMI, found.provider_of(KIMI), "r8_simulated_key")
            done = await exchange(transport, target, ChatRequest([USER], **options), timeout_s=timeout_s)
            if called_off:
                await asyncio.wait(exchange_module._background)
            return done
        finally:
            await transport.aclose()

    return asyncio.run(asyncio.wait_for(run(), 20))


class TestExchange:
    @pytest.mark.parametrize("stream", [False, True])
    def test_an_emulated_call_is_rescued(self, simulator: Simulator, stream: bool) -> None:
        """Several requests form one exchange; its cost is not reported."""
        simulator.set_scenario(playing(first_token_ms=20.0))
        done = exchanged(simulator, tools=[WEATHER], stream=stream)
        assert done.answer is not None
        checked = check(done.answer, [WEATHER])
        assert (checked.outcome, [call.arguments for call in checked.tool_calls]) == ("rescued", [{"city": "Paris"}])
        assert (done.cost_usd, done.cost_origin) == (None, "unknown")
        assert (done.first_token_ms is not None) == stream

    def test_what_takes_longer_than_the_wait_is_polled(
        self, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All requests share one deadline."""
        monkeypatch.setattr(replicate, "WAIT_S", 0)
        monkeypatch.setattr(replicate, "POLL_S", 0.02)
        simulator.set_scenario(playing("slow", first_token_ms=150.0))
        before = len(simulator.requests)
        done = exchanged(simulator)
        assert done.answer is not None
        assert {request.method for request in list(simulator.requests)[before:]} == {"POST", "GET"}

    def test_a_prediction_that_does_not_end_in_time_is_cancelled(
        self, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An answer that is not read must not be paid for; the caller does not wait for the cancel request."""
        monkeypatch.setattr(replicate, "WAIT_S", 0)
        monkeypatch.setattr(replicate, "POLL_S", 0.02)
        simulator.set_scenario(playing("slow", first_token_ms=60_000.0))
        started = time.monotonic()
        done = exchanged(simulator, timeout_s=0.3, called_off=True)
        assert done.error is not None
        assert done.error.reason == "timeout"
        assert done.total_ms < 1000 * (time.monotonic() - started)
        assert simulator.requests[-1].path.endswith("/cancel")

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_failed_prediction_is_the_providers(self, simulator: Simulator, stream: bool) -> None:
        """The response is HTTP 201 with an error inside."""
        simulator.set_scenario(playing("error_in_200"))
        done = exchanged(simulator, stream=stream)
        assert done.error is not None
        assert (done.error.reason, done.error.error_class) == ("server_error", "provider")
