"""What holds for any text, whole or streamed: the invariants of rescue, on generated messages."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from rescue_floods import FLOODS, flood
from rescue_fragments import MARKS, TOOLS, WHOLE, WORDS, chunks, k2, k2_section, k3, message

from routing.parsing.strict_json import loads
from routing.rescue import Rescue, RescueStream, rescue
from routing.rescue.dialects.json_calls import FIRST_KEYS
from routing.rescue.result import MAX_CALLS, MAX_INPUT
from routing.schema import ToolSet

TOOLSET = ToolSet.of(TOOLS)
FRAGMENTS = st.lists(st.sampled_from([*MARKS, *WORDS, *WHOLE]) | st.text(max_size=6), max_size=16).map("".join)
OFFERED = st.sampled_from([TOOLS, TOOLS[:1], []])
FINISH = st.sampled_from([None, "stop", "length", "tool_calls"])
LAST_USER = st.sampled_from([None, "What is the weather?", "Show me an example of a tool call.", WHOLE[0]])


def streamed(pieces: list[str], tools: Any, finish_reason: str | None, last_user: str | None) -> tuple[str, Rescue]:
    stream = RescueStream(tools, last_user)
    given_text = "".join(map(stream.feed, pieces))
    return given_text, stream.finish(finish_reason)


def kept(text: str, given_text: str, found: Rescue) -> bool:
    """Whether what was given on the way starts the final text.

    It may also turn out to have been a thought, whose end tag came without its begin tag.
    """
    return found.text.startswith(given_text) or ("think" in text and text.startswith(given_text[:1]))


def sound(found: Rescue, tools: list[dict[str, Any]]) -> None:
    """Assert all that must hold of a result whatever the message was."""
    names = [tool["function"]["name"] for tool in tools]
    assert len({call.id for call in found.tool_calls}) == len(found.tool_calls) <= MAX_CALLS
    for call in found.tool_calls:
        assert call.name in names
        assert TOOLSET.errors(call.name, call.arguments) is None
        assert loads(call.raw) == call.arguments
    assert (found.outcome == "rescued") == bool(found.tool_calls)
    assert found.outcome != "clean_text" or not found.dropped
    assert found.outcome != "suspect" or found.dropped
    for drop in found.dropped:
        assert (drop.name + drop.detail).isprintable()
        assert len(drop.detail) <= 240


@given(FRAGMENTS, OFFERED, FINISH, LAST_USER)
@settings(max_examples=examples(100))
def test_no_message_breaks_what_is_promised(text: str, tools: Any, finish_reason: str | None, user: str | None) -> None:
    """Never an exception, never a call whose name was not offered or whose arguments break the schema."""
    sound(rescue(text, tools, finish_reason=finish_reason, last_user=user), tools)


@given(FRAGMENTS, st.data(), OFFERED, FINISH, LAST_USER)
@settings(max_examples=examples(100))
def test_any_chunking_ends_the_same(
    text: str, data: st.DataObject, tools: Any, finish_reason: str | None, user: str | None
) -> None:
    """Fed in any pieces the end is that of the whole, and what was given on the way starts the final text."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    given_text, found = streamed(pieces, tools, finish_reason, user)
    assert found == rescue(text, tools, finish_reason=finish_reason, last_user=user)
    assert kept(text, given_text, found)


@pytest.mark.generated
@pytest.mark.parametrize("seed", range(examples(1)))
def test_random_messages_end_the_same_in_random_chunks(seed: int) -> None:
    """The same on 150 longer random messages a seed, most of them in single characters."""
    rng = random.Random(seed)
    for _ in range(150):
        text, tools = message(rng), rng.choice([TOOLS, TOOLS[:1], []])
        given_text, found = streamed(chunks(rng, text), tools, None, None)
        assert found == rescue(text, tools), repr(text)
        assert kept(text, given_text, found), repr(text)
        sound(found, tools)


@pytest.mark.parametrize("size", [1, 2, 4, 17, 999])
@pytest.mark.parametrize(
    "text",
    [
        '[{\n"name": "get_weather", "part", "parameters": {"city": "Paris"}}',
        '[\n{\n\n"name": "get_weather", "arguments": {"city": "Paris"}}]',
        'I see.\n{\n  "arguments": {"city": "Paris"},\n "name": "get_weather"}',
        'I see.\n  {"name": "get_weather", "arguments": {"city": "Paris"}}',
        '\n\t[{"name": "get_weather", "arguments": {"city": "Paris"}}]',
        'I see.\n \n  get_weather(city="Paris")',
        'I see.\n   ```json\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n   ```',
        '<function_calls>\n<invoke name="get_we{ather">\n<parameter name="city">Paris</parameter>\n</invoke>',
    ],
)
def test_what_was_once_read_otherwise_in_pieces(text: str, size: int) -> None:
    """Texts that the fuzzer found: calls that begin over several lines, a brace inside a tag's name."""
    given_text, found = streamed([text[at : at + size] for at in range(0, len(text), size)], TOOLS, None, None)
    assert found == rescue(text, TOOLS)
    assert kept(text, given_text, found)


@given(FRAGMENTS, OFFERED)
@settings(deadline=None)
def test_reasoning_and_structured_calls_break_nothing(text: str, tools: Any) -> None:
    """The same text as reasoning, as arguments and as a name of a structured call: the same promises."""
    raw = [
        {"id": text, "function": {"name": text, "arguments": text}},
        {"function": {"name": "now", "arguments": text}},
    ]
    sound(rescue(None, tools, reasoning=text, raw_tool_calls=raw), tools)
    sound(rescue("", tools, reasoning=text), tools)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


@given(_JSON, _JSON, _JSON)
@settings(deadline=None)
def test_structured_calls_of_any_shape_break_nothing(one: Any, two: Any, three: Any) -> None:
    """What stands where structured calls belong may be anything JSON can hold."""
    raw = [one, {"function": two}, {"id": two, "function": {"name": "get_weather", "arguments": three}}]
    sound(rescue("", TOOLS, raw_tool_calls=raw), TOOLS)


_ENVELOPES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["now", "get_weather", "function", "assistant", "{}", ""]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from([*FIRST_KEYS, "content", "properties", "city"]), children, max_size=4)
    ),
    max_leaves=10,
)


@given(_ENVELOPES, st.sampled_from(["{}", "```json\n{}\n```", "<tool_call>{}</tool_call>", "I'll do it.\n{}"]))
@settings(max_examples=examples(100))
def test_envelopes_of_any_shape_break_nothing(value: Any, around: str) -> None:
    """The keys of a call with anything behind them: the same promises, whole and in chunks."""
    text = around.replace("{}", json.dumps(value), 1)
    found = rescue(text, TOOLS)
    sound(found, TOOLS)
    assert streamed([text[:7], text[7:20], text[20:]], TOOLS, None, None)[1] == found


PLAIN = [fragment for fragment in [*MARKS, *WORDS] if fragment.startswith(("<|", "functions"))]


@given(st.lists(st.sampled_from([*PLAIN, *WHOLE[:5], " ", "\n", "Done. "]), max_size=12).map("".join))
@settings(max_examples=examples(100))
def test_no_marker_goes_through_outside_quotations(text: str) -> None:
    """Where nothing on a line quotes it and no sentence goes on around it, no marker of K2 or K3 stands in the text."""
    markers = [mark for mark in MARKS if mark.startswith("<|")]
    for line in rescue(text, TOOLS).text.split("\n"):
        if line.count('"') % 2 == 0 and not line.startswith(("    ", "\t")):
            assert [mark for mark in markers if mark in line] == []


PROSE = (
    "The weather in Paris is fine: 21 \u00b0C, wind < 5 km/h.\n\n"
    "- first `code`, then more\n- a {brace} and [a link](http://example.org)\n\n"
    "```python\nprint({'name': 1})\n```\n"
    "get_weathers is not a tool. functions are fun. Ask me {anything}. \U0001f600 <b>bold</b> <think about it\n"
)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_prose_flows_at_once(size: int) -> None:
    """Ordinary text is never held back by more than the beginning of a mark: at most 20 characters at any time."""
    stream, given_text = RescueStream(TOOLS), ""
    for at in range(0, len(PROSE), size):
        given_text += stream.feed(PROSE[at : at + size])
        assert len(PROSE[: at + size]) - len(given_text) <= 20
        assert PROSE.startswith(given_text)
    assert stream.finish("stop").text == PROSE


def test_a_call_is_held_until_it_is_known() -> None:
    """From its first character on nothing of a call is delivered, and nothing behind it."""
    text = "Let me see. " + k2_section(k2("get_weather", '{"city": "Paris"}')) + " Done."
    stream = RescueStream(TOOLS)
    given_text = [stream.feed(char) for char in text]
    assert "".join(given_text[:12]) == "Let me see. "
    assert "".join(given_text[12:]) == ""
    found = stream.finish("stop")
    assert (found.outcome, found.text) == ("suspect", "Let me see.  Done.")
    assert [call.name for call in rescue(text.removesuffix(" Done."), TOOLS).tool_calls] == ["get_weather"]


@pytest.mark.parametrize("size", [1, 4, 99])
@pytest.mark.parametrize("before", ["It is 4. Is it?\n", "<think>It is 4.", ""])
def test_a_thought_without_its_begin_is_taken_back(before: str, size: int) -> None:
    """Only its end tag shows that it was one: the final text is without it, also if a stream has given it."""
    text = f"{before}</think>The answer."
    stream = RescueStream(TOOLS)
    given_text = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert given_text in {before, ""}
    assert stream.finish("stop") == rescue(text, TOOLS, finish_reason="stop")
    assert rescue(text, TOOLS).text == "The answer."


def test_half_a_character_is_no_problem() -> None:
    """Surrogate halves fed apart, alone or in pairs come back as they were."""
    stream = RescueStream(TOOLS)
    given_text = "".join(map(stream.feed, ["a\ud83d", "\ude00b", "\udfff", "\U0001f600"]))
    found = stream.finish()
    assert found.text == "a\ud83d\ude00b\udfff\U0001f600"
    assert found.text.startswith(given_text)


@pytest.mark.parametrize("size", [1 << 16, MAX_INPUT // 3 + 1])
def test_input_is_capped(size: int) -> None:
    """Beyond 1 MiB nothing is read: the answer is suspect, whatever comes, also a call."""
    stream = RescueStream(TOOLS)
    block = "word \u00e9 " * (size // 8)
    while len(block) < size:
        block += "x"
    for _ in range(MAX_INPUT // size + 2):
        stream.feed(block)
    stream.feed(k2("now", "{}"))
    found = stream.finish("stop")
    assert found.outcome == "suspect"
    assert found.dropped[-1].reason == "body_too_large"
    assert len(found.text.encode()) <= MAX_INPUT


def test_calls_are_capped() -> None:
    """128 calls are returned, the others reported; a message of nothing but markers ends as suspect."""
    found = rescue(k2_section(*(k2("now", "{}", str(index)) for index in range(140))), TOOLS)
    assert len(found.tool_calls) == MAX_CALLS
    assert found.dropped[0].reason == "dropped_call"
    assert rescue(k3("now") * 140, TOOLS).tool_calls[127].name == "now"
    flood = rescue("<|close|>think " * 5_000, TOOLS)
    assert (flood.outcome, flood.tool_calls) == ("suspect", ())


@pytest.mark.parametrize("name", sorted(FLOODS))
def test_floods_stream_to_the_same_end(name: str) -> None:
    """Every flood of 3,000 characters keeps the promises, and ends in single characters as it does whole."""
    text = flood(name, 3_000)
    given_text, found = streamed(list(text), TOOLS, None, None)
    assert found == rescue(text, TOOLS)
    assert kept(text, given_text, found)
    sound(found, TOOLS)


def test_the_text_of_an_empty_message_is_empty() -> None:
    """None, nothing and white space: suspect, without calls."""
    for content in (None, "", "\n \t"):
        found = rescue(content, TOOLS)
        assert (found.outcome, found.dropped[0].reason) == ("suspect", "empty_answer")
        assert not re.search(r"\S", found.text)
