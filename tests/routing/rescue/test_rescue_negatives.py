"""Texts that only talk about calls: not one of them calls anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from rescue_fragments import TOOLS
from rescue_negatives import FORMS, NATIVE, asked, negatives
from rescue_positives import positives
from shared_data import needs_data, recorded

from routing.rescue import RescueStream, rescue


def test_there_are_a_thousand_of_them() -> None:
    """The quoted corpus is as large as the issue asks for: at least 1,000 distinct texts."""
    texts = {text for _, text in negatives()} | {text for _, text, _ in asked()}
    assert len(list(negatives())) + len(list(asked())) >= 1_000
    assert len(texts) >= 700


ENCLOSED = [(name, text) for name, text in negatives() if name.startswith("quotation")]
SAID = [(name, text) for name, text in negatives() if not name.startswith("quotation")]


def test_no_quotation_calls_anything() -> None:
    """Fenced, quoted, in a code span, a comment or a block quote: no call, whole or in single characters."""
    for name, text in ENCLOSED:
        assert rescue(text, TOOLS).tool_calls == (), name
        stream = RescueStream(TOOLS)
        given = "".join(map(stream.feed, text))
        found = stream.finish("stop")
        assert found.tool_calls == (), name
        assert found.text.startswith(given), name


def test_quotations_are_delivered_as_they_are() -> None:
    """A clear quotation is no failed call: all of them are clean text, letter for letter."""
    dirty = [name for name, text in ENCLOSED if rescue(text, TOOLS).outcome != "clean_text"]
    assert dirty == []
    assert [name for name, text in ENCLOSED if rescue(text, TOOLS).text != text] == []


def test_a_sentence_that_goes_on_behind_a_call_makes_it_none() -> None:
    """Exemplified, forbidden, documented: only where the call ends the answer is it called, whatever the lead says."""
    for name, text in SAID:
        end = text.rstrip()[-1] in "}])>"
        assert not rescue(text, TOOLS).tool_calls or end, name


def test_who_asks_to_see_a_call_in_its_syntax_gets_text() -> None:
    """After a message that shows calls nothing is called."""
    for name, text, last_user in asked():
        found = rescue(text, TOOLS, last_user=f"{last_user} Like <tool_call>, please.")
        assert found.tool_calls == (), name


def test_what_the_user_wrote_is_not_called_when_it_comes_back() -> None:
    """Markers in the user's message, or his very call, may be echoed: never called."""
    for name, form in FORMS.items():
        found = rescue(form, TOOLS, last_user=f"My log has this line: {form} Is that bad?")
        assert found.tool_calls == (), name


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)


def _tools(request: Any) -> list[dict[str, Any]]:
    tools = []
    for tool in request.get("tools") or () if isinstance(request, dict) else ():
        if "function" in tool:
            tools.append(tool)
        elif isinstance(tool.get("name"), str):
            function = {"name": tool["name"], "parameters": tool.get("input_schema") or tool.get("parameters")}
            tools.append({"type": "function", "function": function})
    return tools


def _streamed(body: str) -> Iterator[str]:
    """The texts of a stream, joined by kind."""
    joined: dict[str, str] = {}
    for line in body.splitlines():
        try:
            event = json.loads(line.removeprefix("data:"))
        except ValueError:
            continue
        choices = event.get("choices") or () if isinstance(event, dict) else ()
        deltas = [choice.get("delta") for choice in choices] + [event.get("delta") if isinstance(event, dict) else None]
        for delta in deltas:
            for key, value in delta.items() if isinstance(delta, dict) else ():
                if isinstance(value, str) and key in {"content", "reasoning", "reasoning_content", "text", "thinking"}:
                    joined[key] = joined.get(key, "") + value
    yield from joined.values()


@needs_data
def test_no_recorded_text_calls_anything() -> None:
    """Every text of 305 real exchanges (assistant, user, tool result, reasoning, arguments): no call, no exception.

    Ids of calls are left out: an answer of nothing but `functions.NAME:0` is a call that was cut.
    """
    read = clean = 0
    for row in recorded():
        tools, body = _tools(row["request"]), row["response"].get("body") or ""
        try:
            texts = {*_texts(row["request"]), *_texts(json.loads(body))}
        except ValueError:
            texts = {*_texts(row["request"]), *_streamed(body)}
        for text in texts:
            if re.fullmatch(r"functions\.[\w.-]+:\d+", text):
                continue
            found = rescue(text, tools)
            assert found.tool_calls == (), text[:200]
            read += 1
            clean += found.outcome == "clean_text"
    assert read > 4_000
    assert clean > 0.98 * read


def test_the_answers_that_leaked_are_all_found() -> None:
    """The other side: after ordinary preambles every form is rescued, whole, without a marker in the text.

    Two sentences before a foreign form, or prose behind a native one, make an answer suspect.
    """
    missed = []
    for name, text, _ in positives():
        found = rescue(text, TOOLS)
        prose = text.endswith((" After tools.", "I'll report back."))
        if prose or (name.startswith(("written", "fenced")) and "! " in text[:20] and "functions." not in text):
            assert (found.outcome, found.tool_calls) == ("suspect", ()), name
            continue
        if found.outcome != "rescued" or found.dropped or "<|" in found.text or "tool_call" in found.text:
            missed.append(name)
    assert missed == []


@pytest.mark.parametrize("name", sorted(NATIVE))
def test_a_marker_after_a_quotation_that_is_never_closed_is_doubted(name: str) -> None:
    """An open backtick or quotation mark before markers: neither a call nor an answer."""
    for before in ("Use the ` key. ", 'He said "let me see. '):
        found = rescue(before + FORMS[name], TOOLS)
        assert (found.outcome, found.tool_calls) == ("suspect", ())


@pytest.mark.parametrize("name", sorted(FORMS))
def test_without_tools_nothing_can_be_called(name: str) -> None:
    """No tool was offered: markers are a leak, everything else is text."""
    found = rescue(FORMS[name], [])
    assert found.tool_calls == ()
    assert found.outcome == ("suspect" if name in NATIVE or name == "k2 without tokens" else "clean_text")
