"""A reply: the message for the next turn, and the short texts of replies and attempts."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import Attempt, Reply, ToolCall, catalog
from routing.history import prepare
from routing.request_options import as_messages

CALL = ToolCall("functions.f:0", "get_weather", {"city": "Zürich"}, '{ "city":"Zürich" }')
ATTEMPT = Attempt("moonshot/kimi-k2.6", "ok", "ok", None, "", 812.4, Decimal("0.000812"), "reported")
REPLY = Reply("", (CALL,), "moonshot/kimi-k2.6", False, Decimal("0.000812"), (ATTEMPT,), reasoning="Look it up.")
QUESTION = {"role": "user", "content": "What is the weather in Zürich?"}
CATALOG = catalog.load(environment={})


def test_the_message_holds_ids_arguments_and_reasoning() -> None:
    """The arguments are the bytes that the model wrote: a cache of the host then still fits."""
    assert REPLY.message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "functions.f:0",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{ "city":"Zürich" }'},
            }
        ],
        "reasoning_content": "Look it up.",
    }


def test_a_text_is_a_message_without_calls() -> None:
    """Without reasoning there is no field for it."""
    reply = replace(REPLY, text="It is warm.", tool_calls=(), reasoning="")
    assert reply.message == {"role": "assistant", "content": "It is warm."}


@pytest.mark.parametrize("raw", ["{'city': 'Zürich'}", '{"city": "Bern"}', "", "[" * 100_000], ids=len)
def test_the_arguments_of_a_rescued_call_are_json(raw: str) -> None:
    """A rescued call may have been written in another notation; every host refuses that in a history."""
    (call,) = replace(REPLY, tool_calls=(replace(CALL, raw=raw),)).message["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}


@pytest.mark.parametrize("endpoint", CATALOG.endpoints.values(), ids=lambda endpoint: endpoint.id)
def test_the_message_can_be_appended_for_any_endpoint(endpoint: Any) -> None:
    """The next turn is accepted by the checks and by every wire."""
    result = {"role": "tool", "tool_call_id": CALL.id, "content": "21 degrees"}
    messages = as_messages([QUESTION, REPLY.message, result])
    history = prepare(messages, endpoint, CATALOG.provider_of(endpoint), tools=["get_weather"])
    (call,) = history.messages[1]["tool_calls"]
    assert (call["function"]["arguments"], history.messages[2]["tool_call_id"]) == (CALL.raw, call["id"])
    field = CATALOG.provider_of(endpoint).reasoning_field
    if field and endpoint.thinks:
        assert history.messages[1][field] == "Look it up."


def test_the_text_of_a_reply_is_one_short_line() -> None:
    """Endpoint, calls or text, cost and number of attempts."""
    assert str(REPLY) == 'moonshot/kimi-k2.6: get_weather({ "city":"Zürich" }); $0.000812, 1 attempt'
    failed = replace(ATTEMPT, outcome="failed", cost_origin="estimated")
    text = replace(REPLY, text="It is warm.", tool_calls=(), rescued=True, attempts=(failed, ATTEMPT))
    assert str(text) == "moonshot/kimi-k2.6: 'It is warm.' (rescued); about $0.000812, 2 attempts"


def test_the_text_of_an_attempt_is_one_short_line() -> None:
    """Endpoint, outcome, reason, status, detail, time and cost."""
    assert str(ATTEMPT) == "moonshot/kimi-k2.6: ok; 812 ms, $0.000812"
    failed = replace(ATTEMPT, outcome="failed", reason="rate_limited", status=429, detail="slow\ndown")
    assert str(failed) == "moonshot/kimi-k2.6: failed, rate_limited (HTTP 429): slow down; 812 ms, $0.000812"
    skipped = replace(ATTEMPT, outcome="failed", reason="no_key", detail="X: not set", sent=False)
    assert str(skipped) == "moonshot/kimi-k2.6: failed, no_key: X: not set; not sent"


@given(text=st.text(), calls=st.lists(st.tuples(st.text(), st.text()), max_size=30))
def test_no_answer_makes_the_text_long_or_dangerous(text: str, calls: list[tuple[str, str]]) -> None:
    """Model output is untrusted: no control character reaches a terminal."""
    made = tuple(ToolCall("a", name, {}, raw) for name, raw in calls)
    detail = replace(ATTEMPT, outcome="failed", reason="leaked_call", detail=text)
    for line in (str(replace(REPLY, text=text, tool_calls=made)), str(detail)):
        assert line.isprintable()
        assert len(line) <= 250
