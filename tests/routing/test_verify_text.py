"""Answers that look complete and are not: damaged text, notices of a host, and the same call once more."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from asking import TOOL, routed
from examples import examples
from faulty_server import FaultyServer, call, chat, reply
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_data import needs_data, recorded

from routing import AllAttemptsFailed
from routing.errors import ExchangeError
from routing.history.calls import repeated_calls
from routing.parsing.garbled_text import _BYTES, garbled
from routing.types import Answer, ChatRequest, RawToolCall, ToolCall, Usage
from routing.verify import check, expectations_of
from routing.wire import wire_named

_CHARACTERS = {byte: char for char, byte in _BYTES.items()}
ENGLISH = "The weather in Paris is sunny.\nIt will rain tomorrow."
CHINESE = "巴黎今天天气晴朗"


def undecoded(text: str) -> str:
    """The text as the tokens of a byte-level tokenizer spell it."""
    return "".join(_CHARACTERS[byte] for byte in text.encode())


class TestDamagedText:
    @pytest.mark.parametrize("text", [ENGLISH, CHINESE, "Привет, мир", "naïve café 😀", "# A\n\n- b\n- c\n"])
    def test_tokens_that_were_not_decoded_are_no_answer(self, text: str) -> None:
        """In any language; the same host may answer cleanly a second later."""
        checked = check(Answer(text=undecoded(text), finish_reason="stop"), ())
        assert (checked.outcome, checked.reason) == ("failed", "garbled_text")

    @pytest.mark.parametrize("text", ["!!!!", "!" * 300, "!! !! !!!\n!!"])
    def test_nothing_but_exclamation_marks_is_no_answer(self, text: str) -> None:
        """The first token of the vocabulary, which a model writes after its numbers overflowed."""
        checked = check(Answer(text=text, finish_reason="length"), [TOOL])
        assert (checked.outcome, checked.reason) == ("failed", "garbled_text")

    SOUND = (
        ENGLISH,
        CHINESE,
        "Wow!!!",
        "!",
        "Ġ",
        "Ġorġ Ġużeppi",
        "In byte-level vocabularies Ġ is a space and Ċ a line feed: `Ġthe`, `Ġcat`.",
        "café",
        "¡Hola!",
        "Ünïcödé",
        "Ġurnata tajba! Ġejna nagħmlu dan ix-xogħol flimkien.",
        "£5 = €7",
        "----------",
        "日本語",
        "",
    )

    @pytest.mark.parametrize("text", SOUND)
    def test_sound_text_is_left_alone(self, text: str) -> None:
        """Also text about tokenizers, and text in languages that use such letters."""
        assert garbled(text) == ""

    @given(st.text(max_size=30), st.text(max_size=30))
    @settings(max_examples=examples(200))
    def test_text_with_real_spaces_is_never_damaged_unless_it_is_full_of_such_letters(self, a: str, b: str) -> None:
        """Decoding is never guessed for it."""
        text = f"a{a} {b}b"
        assert not garbled(text) or sum(text.count(char) for char in "ĠĊĉ") >= 3

    def test_calls_are_delivered_whatever_stands_beside_them(self) -> None:
        """They are complete and satisfy the schema."""
        answer = Answer(text="!!!!!!!!", tool_calls=(RawToolCall("a", "f", "{}"),), finish_reason="tool_calls")
        assert check(answer, [TOOL]).outcome == "ok"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("<think>Hm.</think>\nThe answer.", "ok"), ("Hm.</think>The answer.", "rescued"), ("The answer.", "ok")],
)
def test_a_marked_thought_before_the_answer_is_left_out_and_is_no_defect(text: str, outcome: str) -> None:
    """Some hosts pass thoughts on in tags, by design. A thought whose beginning is missing was damaged."""
    checked = check(Answer(text=text, finish_reason="stop"), [TOOL])
    assert (checked.outcome, checked.text.strip()) == (outcome, "The answer.")


class TestNoticesOfAHost:
    @pytest.mark.parametrize("usage", [Usage(12, 0), Usage(0, 0)])
    @pytest.mark.parametrize("text", ["Resource busy, please try again later.", "The model is overloaded."])
    def test_text_without_completion_tokens_is_no_answer(self, text: str, usage: Usage) -> None:
        """The model wrote nothing of it."""
        checked = check(Answer(text=text, finish_reason="stop", usage=usage), ())
        assert (checked.outcome, checked.reason) == ("failed", "host_notice")

    def test_a_host_that_counts_no_tokens_is_believed_unless_it_says_that_it_is_busy(self) -> None:
        """It reports 0 prompt tokens as well."""
        assert check(Answer(text="4", finish_reason="stop", usage=Usage(0, 0)), ()).outcome == "ok"
        assert check(Answer(text="Busy.", finish_reason="stop"), ()).outcome == "ok"
        assert check(Answer(text="Busy.", finish_reason="stop", usage=Usage(9, 2)), ()).outcome == "ok"

    def test_a_long_text_is_no_notice(self) -> None:
        """Its host counts wrong."""
        assert check(Answer(text=ENGLISH * 20, finish_reason="stop", usage=Usage(12, 0)), ()).outcome == "ok"

    def test_a_call_without_completion_tokens_is_a_call(self) -> None:
        """A notice has none."""
        answer = Answer(tool_calls=(RawToolCall("a", "f", "{}"),), finish_reason="tool_calls", usage=Usage(12, 0))
        assert check(answer, [TOOL]).outcome == "ok"


@needs_data
def test_no_recorded_text_is_taken_for_damaged_or_for_a_notice() -> None:
    """At most one in a thousand may be; of these there is none, answers and reasoning, whole and cut anywhere."""
    seen = 0
    for row in recorded():
        name = {"completions": "openai", "messages": "anthropic"}.get(row["url_path"].rpartition("/")[2])
        if name is None or row["response"]["status"] != 200:
            continue
        wire, raw = wire_named(name), row["response"]["body"].encode()
        try:
            if (row["response"]["content_type"] or "").startswith("text/event-stream"):
                stream = wire.stream()
                stream.feed(raw)
                answer = stream.finish()
            else:
                answer = wire.parse(200, {}, raw)
        except ExchangeError:
            continue
        for text in (answer.text, answer.reasoning):
            for end in {len(text), len(text) // 2, 40, 7}:
                seen += bool(text)
                assert garbled(text[:end]) == ""
        bare = replace(answer, tool_calls=(), finish_reason="stop")
        assert check(bare, ()).reason not in {"garbled_text", "host_notice"}
    assert seen > 1000


def turn(arguments: Any, content: Any, call_id: str = "functions.f:0", name: str = "f") -> list[dict[str, Any]]:
    """A call and its result."""
    made = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": call_id, "content": content},
    ]


ASKED = [{"role": "user", "content": "Find it."}]
SAME = turn('{"amount": 1, "note": "x"}', "nothing found")
CALL = ("f", '{"amount": 1, "note": "x"}')


class TestRepeatedCalls:
    HISTORIES: ClassVar[dict[str, tuple[list[dict[str, Any]], bool]]] = {
        "three times": ([*ASKED, *SAME * 3], True),
        "more often": ([*ASKED, *SAME * 9], True),
        "after other calls": ([*ASKED, *turn("{}", "a"), *SAME * 3], True),
        "spelled in another way": (
            [*ASKED, *SAME * 2, *turn('{"note":"x","amount":1}', "nothing found", "call_9")],
            True,
        ),
        "as an object": ([*ASKED, *SAME * 2, *turn({"note": "x", "amount": 1}, "nothing found")], True),
        "twice": ([*ASKED, *SAME * 2], False),
        "with another result": ([*ASKED, *SAME * 2, *turn('{"amount": 1, "note": "x"}', "found")], False),
        "with other arguments": ([*ASKED, *SAME * 2, *turn('{"amount": 2}', "nothing found")], False),
        "of another tool": ([*ASKED, *SAME * 2, *turn(CALL[1], "nothing found", name="g")], False),
        "interrupted": ([*ASKED, *SAME * 2, *turn("{}", "a"), *SAME], False),
        "before the user spoke": ([*ASKED, *SAME * 3, {"role": "user", "content": "Again."}], False),
        "with words of the user between": ([*ASKED, *SAME, {"role": "user", "content": "Go on."}, *SAME * 2], False),
        "without the last result": ([*ASKED, *SAME * 3, SAME[0]], False),
        "nothing": ([], False),
    }

    @pytest.mark.parametrize(("history", "repeated"), HISTORIES.values(), ids=HISTORIES)
    def test_three_equal_calls_with_equal_results_end_the_history(
        self, history: list[dict[str, Any]], *, repeated: bool
    ) -> None:
        """Arguments are compared as values."""
        assert bool(repeated_calls(history)) == repeated

    def test_calls_made_in_parallel_are_compared_one_by_one(self) -> None:
        """A turn may make a new call beside the repeated one."""
        turns = []
        for number in range(3):
            first, second = turn(CALL[1], "nothing found", "a"), turn(f'{{"amount": {number}}}', "r", "b")
            calls = [*first[0]["tool_calls"], *second[0]["tool_calls"]]
            turns += [{"role": "assistant", "tool_calls": calls}, second[1], first[1]]
        assert len(repeated_calls([*ASKED, *turns])) == 1

    @pytest.mark.parametrize("broken", [{"tool_calls": [{}]}, {"tool_calls": [{"function": None, "id": [1]}]}])
    def test_histories_of_any_form_are_read(self, broken: dict[str, Any]) -> None:
        """Whatever is wrong with them is reported elsewhere."""
        message = {"role": "assistant", **broken}
        result = {"role": "tool", "tool_call_id": None, "content": {"a": float("nan")}}
        assert len(repeated_calls([*ASKED, *[message, result] * 3])) <= 1

    def test_the_history_is_read_only_if_the_answer_has_a_call(self) -> None:
        """Histories of many megabytes must not delay other requests of the event loop."""

        class Unread(list[Any]):
            def __iter__(self) -> Any:
                raise AssertionError

        expected = expectations_of(ChatRequest(Unread([*ASKED, *SAME * 3]), [TOOL]))
        assert check(Answer(text="Nothing was found.", finish_reason="stop"), [TOOL], expected).outcome == "ok"

    @pytest.mark.parametrize(
        ("made", "notes"), [(CALL, ("repeated_call",)), (("f", '{"amount": 2}'), ()), (("f", "{}"), ())]
    )
    def test_only_the_same_call_once_more_is_a_repetition(self, made: tuple[str, str], notes: tuple[str, ...]) -> None:
        """The answer is delivered with a note: a program that waits for something may repeat a call on purpose."""
        expected = expectations_of(ChatRequest([*ASKED, *SAME * 3], [TOOL]))
        answer = Answer(tool_calls=(RawToolCall("a", *made),), finish_reason="tool_calls")
        checked = check(answer, [TOOL], expected)
        assert (checked.outcome, checked.notes) == ("ok", notes)
        refused = check(answer, [TOOL], replace(expected, refuse_repeated=True))
        assert (refused.outcome, refused.reason) == (("failed", "repeated_call") if notes else ("ok", "ok"))

    def test_the_reply_has_the_note_or_the_attempt_has_failed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The option lets another endpoint answer."""
        again = {"tool_calls": [call(CALL[1])], "content": None, "role": "assistant"}
        repeats = reply({"choices": [{"index": 0, "message": again, "finish_reason": "tool_calls"}]})
        history = [*ASKED, *SAME * 3]
        with (
            FaultyServer(repeats) as first,
            FaultyServer(reply(chat())) as second,
            routed(tmp_path, monkeypatch, first.url, second.url) as router,
        ):
            got = router.complete(history, tools=[TOOL])
            assert got.notes.count("repeated_call") == 1
            assert got.tool_calls == (ToolCall(got.tool_calls[0].id, "f", json.loads(CALL[1]), CALL[1]),)
            other = router.complete(history, tools=[TOOL], refuse_repeated_calls=True)
            assert [attempt.reason for attempt in other.attempts] == ["repeated_call", "ok"]
            with pytest.raises(AllAttemptsFailed, match="repeated_call"):
                router.complete(history, tools=[TOOL], refuse_repeated_calls=True, fallback=False)
