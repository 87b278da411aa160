"""Error bodies of all providers: who caused the error, whether a retry makes sense, how long to wait."""

from __future__ import annotations

from typing import Any

import pytest

from routing.wire.error_bodies import fault, retry_after


class TestFault:
    CASES: tuple[tuple[int, Any, str, str], ...] = (
        (401, {"message": "bad key"}, "unauthorized", "account"),
        (402, {"message": "credits"}, "no_credit", "account"),
        (403, {"message": "insufficient balance"}, "no_credit", "account"),
        (403, {"message": "policy"}, "forbidden", "account"),
        (404, {"message": "No endpoints found that support tool use"}, "no_endpoint", "selection"),
        (
            404,
            {"message": "No endpoints found that can handle the requested parameters."},
            "no_endpoint",
            "selection",
        ),
        (404, {"message": "No endpoints found for moonshotai/kimi-x"}, "model_retired", "selection"),
        (404, {"code": "model_not_found", "message": "gone"}, "model_retired", "selection"),
        (400, {"code": "model_decommissioned", "message": "gone"}, "model_retired", "selection"),
        (400, {"message": "tool_choice 'required' is incompatible with thinking enabled"}, "bad_request", "request"),
        (400, {"message": "maximum context length is 8"}, "context_too_long", "request"),
        (400, {"code": "tool_use_failed", "message": "x", "failed_generation": "{}"}, "tool_use_failed", "answer"),
        (429, {"type": "rate_limit_reached_error"}, "rate_limited", "provider"),
        (429, {"type": "exceeded_current_quota_error"}, "quota", "account"),
        (429, {"type": "engine_overloaded_error"}, "overloaded", "provider"),
        (500, {"message": "x"}, "server_error", "provider"),
        (503, "overloaded", "overloaded", "provider"),
        (529, {}, "overloaded", "provider"),
        (418, {}, "bad_request", "request"),
        (307, {}, "redirected", "provider"),
        (200, {"code": 502, "message": "upstream provider error"}, "server_error", "provider"),
        (200, {"code": "server_error", "message": "Provider disconnected unexpectedly"}, "server_error", "provider"),
        (200, {"code": 429, "message": "x"}, "rate_limited", "provider"),
    )

    @pytest.mark.parametrize(("status", "error", "reason", "error_class"), CASES)
    def test_errors_are_classified_by_who_caused_them(
        self, status: int, error: Any, reason: str, error_class: str
    ) -> None:
        """Only error classes provider and answer may change a flag."""
        found = fault(status, error)
        assert (found.reason, found.error_class) == (reason, error_class)

    def test_a_402_for_money_in_flight_may_be_retried_and_one_for_credit_not(self) -> None:
        """The first is temporary."""
        assert fault(402, {"metadata": {"limit_source": "openrouter_in_flight_budget"}}).retryable
        assert not fault(402, {"message": "credits"}).retryable

    def test_failed_generation_is_kept_for_rescue_and_out_of_the_error_text(self) -> None:
        """It is model output: untrusted, and possibly a call."""
        found = fault(400, {"code": "tool_use_failed", "message": "no", "failed_generation": "<secret>"})
        assert found.failed_generation == "<secret>"
        assert "<secret>" not in str(found)

    def test_foreign_text_is_one_printable_line(self) -> None:
        """Control characters could forge a log line."""
        found = fault(500, {"message": "a\r\n::error::b\x1b[31m" + "x" * 9000})
        assert "\n" not in str(found)
        assert "\x1b" not in str(found)
        assert len(str(found)) < 500

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "1500"}, 1.5), ({"Retry-After": "soon"}, None), ({}, None)],
    )
    def test_retry_after_is_read_in_its_forms(self, headers: dict[str, str], seconds: float | None) -> None:
        """An unreadable value counts as absent."""
        assert retry_after(headers) == seconds

    def test_a_date_in_the_past_means_no_wait(self) -> None:
        """Clocks differ; the wait is never negative."""
        assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0

    @pytest.mark.parametrize(
        ("status", "error", "again"),
        [
            (429, {"type": "rate_limit_reached_error"}, True),
            (429, {"type": "engine_overloaded_error"}, True),
            (429, {"type": "exceeded_current_quota_error"}, False),
            (403, {"message": "Your account has insufficient balance"}, False),
            (429, {"code": "insufficient_quota"}, False),
            (200, {"type": "exceeded_current_quota_error"}, False),
            (400, {"code": "tool_use_failed"}, False),
            (401, {"message": "x"}, False),
            (503, {"message": "x"}, True),
        ],
    )
    def test_a_spent_quota_is_not_tried_again(self, status: int, error: Any, again: bool) -> None:
        """At Moonshot it has the status of a rate limit, but waiting does not help."""
        assert fault(status, error).retryable == again
