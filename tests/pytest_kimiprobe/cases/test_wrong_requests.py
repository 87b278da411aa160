"""Intentionally wrong requests: only a refusal with a reason is right, and no answer is not a refusal."""

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
    """Intentionally wrong requests; KVV counts any exception as their refusal."""

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_refusal_with_its_reason_is_right(self, status: int) -> None:
        """HTTP 400 or 422 with a message in the protocol's form passes."""
        assert verdict(refused(status, b'{"error": {"message": "no such tool"}}')) == ("pass", "ok")

    @pytest.mark.parametrize(
        "body", [b"<html>", b"{}", b"[]", b'{"error": "no"}', b'{"error": {"message": " "}}', b"\xff"]
    )
    def test_a_refusal_in_another_form_is_wrong(self, body: bytes) -> None:
        """Its reader cannot see what to change."""
        assert verdict(refused(400, body)) == ("fail", "wrong_error_shape")

    def test_an_answer_is_no_refusal(self) -> None:
        """Neither is a call that the provider rejects after its model generated it."""
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
    def test_an_unrelated_error_gives_no_verdict(self, error: ExchangeError, expected: tuple[str, str]) -> None:
        """A dead port or a wrong key gives no verdict."""
        assert verdict(refused(error.status or 0, b"{}", error)) == expected
