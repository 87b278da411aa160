"""Requests that are wrong on purpose: only a refusal that says why is right, and silence is no refusal."""

from __future__ import annotations

import pytest

from pytest_kimiprobe.cases.model import Case, Expectation
from pytest_kimiprobe.judging.judge import judge
from routing.errors import AccountError, BadAnswer, ExchangeError, ProviderFailure, RequestRejected
from routing.exchange import Exchange
from routing.types import Answer

WRONG = Case("c", [], Expectation(refused=True), [{"type": "function", "function": {"name": "get_time"}}])


def verdict(done: Exchange) -> tuple[str, str]:
    found = judge(WRONG, done)
    return found.verdict, found.reason


def refused(status: int, body: bytes, error: ExchangeError | None = None) -> Exchange:
    return Exchange("e", {}, status, body=body, error=error or RequestRejected("bad_request", status=status))


class TestWrongRequests:
    """A request that is wrong on purpose; KVV counts any exception as its refusal."""

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_refusal_with_its_reason_is_right(self, status: int) -> None:
        """In the protocol's form."""
        assert verdict(refused(status, b'{"error": {"message": "no such tool"}}')) == ("pass", "ok")

    @pytest.mark.parametrize(
        "body", [b"<html>", b"{}", b"[]", b'{"error": "no"}', b'{"error": {"message": " "}}', b"\xff"]
    )
    def test_a_refusal_in_another_form_is_wrong(self, body: bytes) -> None:
        """Nobody can tell from it what to mend."""
        assert verdict(refused(400, body)) == ("fail", "wrong_error_shape")

    def test_an_answer_is_no_refusal(self) -> None:
        """Nor is a call that the provider refuses of its own model."""
        assert verdict(Exchange("e", {}, 200, answer=Answer(text="It is sunny."))) == ("fail", "not_refused")
        assert verdict(refused(400, b"", BadAnswer("tool_use_failed"))) == ("fail", "not_refused")

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ProviderFailure("connect_refused", phase="connect"), ("error", "connect_refused")),
            (ProviderFailure("timeout"), ("error", "timeout")),
            (ProviderFailure("server_error", status=500), ("error", "server_error")),
            (ProviderFailure("rate_limited", status=429), ("error", "rate_limited")),
            (AccountError("unauthorized", status=401), ("error", "unauthorized")),
        ],
    )
    def test_what_says_nothing_about_the_request_is_no_verdict(
        self, error: ExchangeError, expected: tuple[str, str]
    ) -> None:
        """Neither a dead port nor a wrong key."""
        assert verdict(refused(error.status or 0, b"{}", error)) == expected
