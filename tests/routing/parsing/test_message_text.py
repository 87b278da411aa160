"""The texts of a conversation from which a call could be copied."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routing.parsing.message_text import copied_from, last_user_message


def texts(*messages: dict[str, Any]) -> list[str]:
    return sorted(copied_from(messages, last_user_message(messages)))


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def called(arguments: Any) -> dict[str, Any]:
    return said("assistant", None, tool_calls=[{"id": "a", "function": {"name": "f", "arguments": arguments}}])


@pytest.mark.parametrize("role", ["system", "developer", "user", "tool", "function"])
def test_any_author_counts(role: str) -> None:
    """Whoever wrote a text may have put a call into it."""
    assert texts(said(role, "a"), said("user", "b")) == ["a", "b"]


def test_a_proposal_that_was_confirmed_does_not_count() -> None:
    """That is the assistant's message directly before the user's last one; earlier ones count."""
    history = [said("assistant", "first"), said("user", "no"), said("assistant", "second"), said("user", "yes")]
    assert texts(*history) == ["first", "no", "yes"]
    assert texts(*history, said("assistant", "third"), said("tool", "done")) == ["done", "first", "no", "third", "yes"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (json.dumps({"path": "a", "deep": [{"x": "b"}], "n": 1}), ["a", "b"]),
        ({"path": "a"}, ["a"]),
        ("{not json", ["{not json"]),
        ("{}", []),
        (None, []),
    ],
)
def test_of_an_earlier_call_only_the_strings_count(arguments: Any, found: list[str]) -> None:
    """The call itself may be made again, as by an agent that polls."""
    assert texts(called(arguments)) == found
    assert texts(said("assistant", "", function_call={"name": "f", "arguments": arguments})) == ["", *found]


def test_parts_count_without_their_images() -> None:
    """Also the texts inside of a tool result's parts."""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "b"}]},
    ]
    found = texts(said("user", parts))
    assert {"a", "b"} <= set(found)
    assert not [text for text in found if text.startswith("data:")]
