"""The 71 published rescue cases: each exact, whole and in chunks, and nothing is ever called that should not be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from shared_data import DATA, needs_data

from routing.rescue import Rescue, RescueStream, rescue
from routing.types import RawToolCall

_PATH = DATA / "rescue_cases.json"
CASES: list[dict[str, Any]] = json.loads(_PATH.read_text("utf-8"))["cases"] if _PATH.exists() else []
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
    verdicts = case["expected_verdict"]
    assert found.outcome in ([verdicts] if isinstance(verdicts, str) else verdicts), case["note"]
    assert [{"name": call.name, "arguments": call.arguments} for call in found.tool_calls] == case[
        "expected_tool_calls"
    ]
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
    assert found.text.startswith(given)
    assert [part for part in case.get("text_must_not_contain", ()) if part in given] == []


@needs_data
@pytest.mark.parametrize("case", [case for case in PARAMETERS if "raw_tool_calls" in str(case.values[0])] or PARAMETERS)
def test_structured_calls_are_read_in_both_shapes(case: dict[str, Any]) -> None:
    """OpenAI's dictionaries and `RawToolCall` are the same calls."""
    raw = [
        RawToolCall(call.get("id"), call["function"]["name"], call["function"]["arguments"])
        for call in case.get("raw_tool_calls", ())
    ]
    assert whole(case, raw) == whole(case)
