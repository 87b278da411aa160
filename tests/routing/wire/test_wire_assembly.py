"""Streamed answers put together from their pieces: names, arguments, text, finish reasons and heartbeats."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_shapes import TOOLS, body, call, delta, piece, streamed

from routing.errors import ExchangeError
from routing.reasons import FINISH_REASONS
from routing.types import Answer, RawToolCall
from routing.verify import check
from routing.wire import anthropic_answer as anthropic
from routing.wire import openai_answer as openai
from routing.wire import replicate


def calls(*rows: Any) -> tuple[RawToolCall, ...]:
    """The calls of a stream whose chunks hold these pieces of calls."""
    return streamed(*(delta(tool_calls=[row]) for row in rows), delta("tool_calls")).tool_calls


class TestNames:
    @given(st.lists(st.text("aef_", min_size=1, max_size=4), min_size=1, max_size=6))
    @settings(max_examples=examples(300))
    def test_a_name_comes_out_whole_however_it_is_cut(self, parts: list[str]) -> None:
        """A piece may equal the end of what came before it, or all of it. Only equal pieces could be one name, repeated."""
        name = "".join(parts)
        rows = [piece(0, "t0", None, None), *(piece(0, None, part) for part in parts), piece(0, None, None, "{}")]
        repeated = any(set(parts[at:]) == {"".join(parts[:at])} for at in range(1, len(parts)))
        (found,) = calls(*rows)
        assert found.name == (parts[-1] if repeated else name)
        (again,) = calls(*rows, piece(0, None, name), piece(0, None, name))
        assert again.name in ({name} if not repeated else {name, parts[-1]})

    @pytest.mark.parametrize("times", [2, 3, 7])
    def test_a_name_in_every_chunk_is_one_name(self, times: int) -> None:
        """Some hosts repeat the whole name."""
        rows = [piece(0, "t0", "get_weather", part) for part in ['{"a": ', *[""] * (times - 2), "1}"]]
        assert calls(*rows) == (RawToolCall("t0", "get_weather", '{"a": 1}'),)

    @pytest.mark.parametrize("index", [0, None])
    def test_a_name_may_come_after_the_arguments(self, index: int | None) -> None:
        """The protocol does not say that it comes first."""
        alone = calls(piece(index, "t0", None, '{"a": 1}'), piece(index, None, "f"))
        within = calls(piece(index, "t0", None, '{"a"'), piece(index, None, "f", ": 1}"))
        assert alone == within == (RawToolCall("t0", "f", '{"a": 1}'),)

    def test_the_names_of_two_late_calls_are_kept_apart(self) -> None:
        """Each piece belongs to the call of its index."""
        rows = (piece(0, "a", None, "{}"), piece(1, "b", None, "{}"), piece(1, None, "g"), piece(0, None, "f"))
        assert calls(*rows) == (RawToolCall("a", "f", "{}"), RawToolCall("b", "g", "{}"))

    def test_a_name_in_single_letters_costs_linear_time(self) -> None:
        """A hostile host can send hundreds of thousands of pieces."""
        stream = openai.stream()
        for _ in range(50):
            rows = [piece(0, None, "ab"[at % 2]) for at in range(4000)]
            stream.feed(f"data: {json.dumps(delta(tool_calls=rows))}\n\n".encode())
        began = time.process_time()
        assert len(stream.finish().tool_calls[0].name or "") == 200_000
        assert time.process_time() - began < 2


class TestArguments:
    def test_complete_arguments_that_come_again_are_left_out(self) -> None:
        """Some hosts send the whole call once more in the last chunk."""
        rows = (piece(0, "a", "f", '{"a":'), piece(0, None, None, " 1}"), piece(0, "a", "f", '{"a": 1}'))
        assert calls(*rows) == (RawToolCall("a", "f", '{"a": 1}'),)

    def test_equal_pieces_of_incomplete_arguments_are_both_kept(self) -> None:
        """A nested object may begin like the whole one."""
        rows = (piece(0, "a", "f", '{"a":'), piece(0, None, None, '{"a":'), piece(0, None, None, "1}}"))
        assert calls(*rows) == (RawToolCall("a", "f", '{"a":{"a":1}}'),)

    def test_pieces_under_growing_indices_are_one_call(self) -> None:
        """A piece without id and name continues a call whose arguments are incomplete."""
        rows = (piece(0, "a", "f", '{"a"'), piece(1, None, None, ": "), piece(2, None, None, "1}"))
        assert calls(*rows) == (RawToolCall("a", "f", '{"a": 1}'),)

    def test_a_nameless_call_after_a_complete_one_stays_a_call(self) -> None:
        """Its arguments could belong to any tool, so the answer is not right."""
        found = calls(piece(0, "a", "f", "{}"), piece(1, None, None, "{}"))
        assert found == (RawToolCall("a", "f", "{}"), RawToolCall(None, None, "{}"))

    def test_reading_the_assembled_answer_twice_changes_nothing(self) -> None:
        """The cost of a failed exchange is computed from it as well."""
        stream = openai.stream()
        for row in (piece(0, "a", "f", '{"a"'), piece(1, None, None, ": 1}")):
            stream.feed(f"data: {json.dumps(delta(tool_calls=[row]))}\n\n".encode())
        assert stream.finish() == stream.finish()


class TestSurrogates:
    def test_the_halves_of_a_character_in_two_chunks_become_that_character(self) -> None:
        """Hosts cut streams between the two escapes of an emoji."""
        found = streamed(delta(content="a\ud83d"), delta(content="\ude00"), delta("stop"))
        assert found.text == "a😀"
        rows = (piece(0, "a", "f", '{"a": "\ud83d'), piece(0, None, None, '\ude00"}'))
        assert calls(*rows)[0].arguments == '{"a": "😀"}'

    @pytest.mark.parametrize("code", [0xD83D, 0xDE00])
    def test_every_text_of_an_answer_can_be_encoded(self, code: int) -> None:
        """Half a character becomes the replacement character; in arguments it is refused."""
        half = chr(code)
        plain = openai.parse(200, {}, body({"content": f"a{half}", "reasoning": f"b{half}", "tool_calls": [call()]}))
        blocks = [{"type": "text", "text": f"a{half}"}, {"type": "thinking", "thinking": f"b{half}"}]
        whole = {"type": "message", "content": blocks, "stop_reason": "end_turn"}
        other = anthropic.parse(200, {}, json.dumps(whole).encode())
        last = replicate.parse(200, {}, json.dumps({"status": "succeeded", "output": [f"a{half}"]}).encode())
        assert {plain.text, other.text, last.text} == {"a\ufffd"}
        assert {plain.reasoning, other.reasoning} == {"b\ufffd"}
        named = openai.parse(200, {}, body({"tool_calls": [call(f'{{"a": "{half}"}}', f"f{half}", f"i{half}")]}))
        (bad,) = named.tool_calls
        assert (bad.id, bad.name) == ("i\ufffd", "f\ufffd")
        assert check(Answer(tool_calls=(RawToolCall("a", "f", bad.arguments),)), TOOLS).outcome == "failed"


class TestFinishReasons:
    @pytest.mark.parametrize(("sent", "read"), sorted(FINISH_REASONS.items()))
    def test_a_listed_reason_is_read_in_either_case(self, sent: str, read: str) -> None:
        """Hosts write `STOP` too; the answer has OpenAI's value, however it came."""
        for reason in (sent, sent.upper()):
            assert openai.parse(200, {}, body({"content": "x"}, finish_reason=reason)).finish_reason == read
            assert streamed(delta(content="x"), delta(reason)).finish_reason == read
            whole = {"type": "message", "content": [], "stop_reason": reason}
            assert anthropic.parse(200, {}, json.dumps(whole).encode()).finish_reason == read

    UNKNOWN = ("abort", "aborted", "network_error", "insufficient_system_resource", "unknown", "other", 7, {"a": 1})

    @pytest.mark.parametrize("reason", UNKNOWN)
    def test_a_text_that_ended_for_an_unknown_reason_is_no_success(self, reason: Any) -> None:
        """The engine may have given up in the middle of it."""
        half = "The three steps are: first, open the"
        for answer in (
            openai.parse(200, {}, body({"content": half}, finish_reason=reason)),
            streamed(delta(content=half), delta(reason)),
        ):
            assert check(answer, TOOLS).reason == "unknown_finish_reason"
            assert check(answer, ()).outcome == "failed"

    @given(st.text(max_size=30))
    @settings(max_examples=examples(100))
    def test_only_listed_reasons_end_a_text_well(self, reason: str) -> None:
        """Null and empty are no reasons; everything else is on the list or unknown."""
        told = " ".join("".join(char if char.isprintable() else " " for char in reason).split()).lower()
        answer = openai.parse(200, {}, body({"content": "x"}, finish_reason=reason))
        right = (
            not reason or FINISH_REASONS.get(told) in {"stop", "length"} or (not told and answer.finish_reason is None)
        )
        assert (check(answer, ()).outcome == "ok") == right

    def test_a_benign_reason_does_not_hide_that_the_host_gave_up(self) -> None:
        """OpenRouter passes the upstream's own reason on beside `stop`."""
        choice = {"message": {"content": "half an"}, "finish_reason": "stop", "native_finish_reason": "network_error"}
        answer = openai.parse(200, {}, json.dumps({"choices": [choice]}).encode())
        assert check(answer, ()).reason == "unknown_finish_reason"

    @pytest.mark.parametrize("native", [None, "", "STOP", "completed", {"a": 1}, [1], 3])
    def test_any_other_reason_of_the_upstream_changes_nothing(self, native: Any) -> None:
        """Each upstream has its own names for a complete answer."""
        choice = {"message": {"content": "Hi."}, "finish_reason": "stop", "native_finish_reason": native}
        answer = openai.parse(200, {}, json.dumps({"choices": [choice]}).encode())
        assert check(answer, ()).outcome == "ok"

    def test_complete_calls_survive_an_unknown_reason_but_no_empty_ones(self) -> None:
        """Arguments that satisfy the schema are complete; `{}` may be the rest of longer ones."""
        whole, empty = (openai.parse(200, {}, body({"tool_calls": [call(raw)]}, finish_reason="abort")) for raw in _RAW)
        assert check(whole, TOOLS).reason == "finish_reason_mismatch"
        assert check(empty, TOOLS).reason == "unknown_finish_reason"

    def test_a_cut_call_is_not_completed_after_an_unknown_reason(self) -> None:
        """It is treated like one that max_tokens cut."""
        answer = openai.parse(200, {}, body({"tool_calls": [call('{"a": 1')]}, finish_reason="abort"))
        assert check(answer, TOOLS).outcome == "failed"


_RAW = ('{"a": 1}', "{}")


class TestHeartbeats:
    @pytest.mark.parametrize(
        "beat", ["data:\n\n", "data: \n\n", "data\n\n", "data: : OPENROUTER PROCESSING\n\n", ": x\n\n"]
    )
    def test_events_without_data_change_no_answer(self, beat: str) -> None:
        """Before, between and after the others, in both protocols."""
        chunks = [json.dumps(delta(content="Hello.")), json.dumps(delta("stop")), "[DONE]"]
        stream = openai.stream()
        stream.feed((beat + "".join(f"data: {chunk}\n\n{beat}" for chunk in chunks)).encode())
        assert (stream.finish().text, stream.finish().complete) == ("Hello.", True)
        blocks: tuple[dict[str, Any], ...] = (
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hello."}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        )
        other = anthropic.stream()
        other.feed((beat + "".join(f"data: {json.dumps(block)}\n\n{beat}" for block in blocks)).encode())
        assert (other.finish().text, other.finish().complete) == ("Hello.", True)

    def test_an_error_event_without_data_is_an_error(self) -> None:
        """Its name says so."""
        with pytest.raises(ExchangeError):
            openai.stream().feed(b"event: error\ndata:\n\n")
