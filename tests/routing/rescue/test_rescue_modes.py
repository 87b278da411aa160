"""The limits that a request and a flag set to rescue: all forms, Kimi's own, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from asking import FLAGS, routed
from faulty_server import FaultyServer, chat, reply
from rescue_fragments import TOOLS, k2_section, k3

from routing import AllAttemptsFailed, Router
from routing.errors import FlagsError
from routing.flags.model import Flags
from routing.history.prompt_tools import TOOLS_EMULATED
from routing.request_options import Options
from routing.rescue import Rescue, rescue
from routing.types import RESCUE_MODES, Answer, RescueMode, strictest_rescue
from routing.verify import check

ARGUMENTS = '{"city": "Paris"}'
K2 = k2_section(f"<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|>")
NATIVE = [K2, k3("get_weather", city="Paris"), f"functions.get_weather:0{ARGUMENTS}", f"Now.get_weather:0{ARGUMENTS}"]
ENVELOPE = f'{{"name": "get_weather", "arguments": {ARGUMENTS}}}'
FOREIGN = [
    ENVELOPE,
    f"I look.\n```json\n{ENVELOPE}\n```",
    f"<tool_call>{ENVELOPE}</tool_call>",
    "get_weather(city='Paris')",
]


def outcome(found: Rescue) -> tuple[str, int]:
    return found.outcome, len(found.tool_calls)


@pytest.mark.parametrize("text", [*NATIVE, *FOREIGN])
@pytest.mark.parametrize("mode", RESCUE_MODES)
def test_what_a_mode_does_not_take_is_a_leak(text: str, mode: RescueMode) -> None:
    """Never delivered as clean text: the answer is suspect, with a reason."""
    found = rescue(text, TOOLS, mode=mode)
    taken = mode == "all" or (mode == "native" and text in NATIVE)
    assert outcome(found) == (("rescued", 1) if taken else ("suspect", 0))
    assert taken or [drop.reason for drop in found.dropped] == ["leaked_call"]


@pytest.mark.parametrize("mode", RESCUE_MODES)
def test_a_mode_changes_neither_text_nor_structured_calls(mode: RescueMode) -> None:
    """It is about calls in the text."""
    assert rescue("It is warm.", TOOLS, mode=mode).outcome == "clean_text"
    raw = [{"id": "a", "function": {"name": "functions.get_weather", "arguments": {"city": "Paris"}}}]
    assert outcome(rescue("", TOOLS, raw_tool_calls=raw, mode=mode)) == ("rescued", 1)


@pytest.mark.parametrize("one", RESCUE_MODES)
@pytest.mark.parametrize("other", RESCUE_MODES)
def test_the_strictest_mode_wins(one: RescueMode, other: RescueMode) -> None:
    """In any order: off before native before all."""
    assert strictest_rescue(one, other) == min(one, other, key=["off", "native", "all"].index)


@pytest.mark.parametrize(("mode", "delivered"), [("all", True), ("native", False), ("off", False)])
def test_a_request_limits_rescue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: RescueMode, delivered: bool
) -> None:
    """The attempt fails as a leaked call, and the next endpoint is asked."""
    with FaultyServer(reply(chat(ENVELOPE))) as server, routed(tmp_path, monkeypatch, server.url) as router:
        if delivered:
            assert router.complete("hi", tools=TOOLS, rescue=mode).rescued
        else:
            with pytest.raises(AllAttemptsFailed) as caught:
                router.complete("hi", tools=TOOLS, rescue=mode)
            assert {attempt.reason for attempt in caught.value.attempts} == {"leaked_call"}


def test_a_flag_limits_rescue_at_its_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stricter of flag and request counts, also at the reference endpoint."""
    flags = FLAGS.format(enabled="true").replace("percent: 100", "percent: 100\n    rescue: native")
    flags = flags.replace("openrouter/moonshotai/kimi-k2.6", "moonshot/kimi-k2.6")
    path = tmp_path / "limited.yaml"
    path.write_text(flags, "utf-8")
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-canary")
    with FaultyServer(reply(chat(ENVELOPE))) as server:
        monkeypatch.setenv("KIMIPROBE_BASE_URL_MOONSHOT", server.url)
        with Router.load(path) as router:
            assert [one.rescue for one in router.route(tools=TOOLS).candidates] == ["native"]
            with pytest.raises(AllAttemptsFailed) as caught:
                router.complete("hi", tools=TOOLS)
    assert caught.value.attempts[-1].reason == "leaked_call"


@pytest.mark.parametrize("value", ["some", "", True, 3])
def test_an_unknown_mode_is_refused(value: Any) -> None:
    """By the request and by the file, with the values that there are."""
    with pytest.raises(ValueError, match="all, native, off"):
        Options.of({"rescue": cast("Any", value)})
    text = FLAGS.format(enabled="true").replace("percent: 100", f"percent: 100\n    rescue: {json.dumps(value)}")
    with pytest.raises(FlagsError, match="rescue"):
        Flags.loads(text.encode())


def test_at_an_endpoint_without_native_tools_any_text_may_precede_the_call() -> None:
    """There the prompt asked for a call in the text, as a note of the request says."""
    text = f"First I read the page. It says little.\n\nSo I look it up.\n\n{ENVELOPE}"
    assert check(Answer(text, finish_reason="stop"), TOOLS).outcome == "failed"
    noted = Answer(text, finish_reason="stop", notes=(f"{TOOLS_EMULATED}: described in the prompt",))
    checked = check(noted, TOOLS)
    assert (checked.outcome, len(checked.tool_calls)) == ("rescued", 1)
    assert check(Answer(f"{text}\nIt is warm.", notes=noted.notes), TOOLS).tool_calls == ()


@pytest.mark.parametrize(
    ("history", "text", "threads"), [("", K2, 0), ("word " * 20_000, K2, 1), ("word " * 20_000, "Hi.", 0)]
)
def test_a_call_is_compared_with_a_long_request_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: str, text: str, threads: int
) -> None:
    """Other requests of the event loop do not wait; an answer without a call stays on it."""
    used: list[Any] = []

    async def counted(work: Any) -> Any:
        used.append(work)
        return work()

    monkeypatch.setattr("routing.fallback.in_thread", counted)
    messages = [{"role": "system", "content": history}, {"role": "user", "content": "hi"}]
    with FaultyServer(reply(chat(text))) as server, routed(tmp_path, monkeypatch, server.url) as router:
        assert router.complete(messages, tools=TOOLS).rescued == (text == K2)
    assert len(used) == threads
