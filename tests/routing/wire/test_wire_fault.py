"""Error bodies of all providers: who caused the error, whether a retry makes sense, how long to wait."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from routing.errors import ExchangeError
from routing.types import Usage
from routing.wire import openai_answer as openai
from routing.wire.error_bodies import LONGEST_WAIT_S, fault, retry_after


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
        (400, {"message": "Your request exceeded model token limit: 8 (requested: 9)"}, "context_too_long", "request"),
        (400, {"message": "input length and `max_tokens` exceed context limit: 9 > 8"}, "context_too_long", "request"),
        (400, {"message": "Unsupported image. Please try another one."}, "image_refused", "request"),
        (400, {"message": "unsupported image type", "code": "InvalidParameter"}, "image_refused", "request"),
        (400, {"message": "messages.0: image exceeds 5 MB maximum"}, "image_refused", "request"),
        (400, {"code": 400, "type": "content_filter", "message": "rejected"}, "content_filter", "request"),
        (400, {"message": "rejected because it was considered high risk"}, "content_filter", "request"),
        (400, {"code": "data_inspection_failed", "message": "x"}, "content_filter", "request"),
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

    def test_half_a_character_in_a_refused_call_is_replaced(self) -> None:
        """Its text may be delivered."""
        found = fault(400, {"code": "tool_use_failed", "failed_generation": "a\ud83d b\ud83d\ude00"})
        assert found.failed_generation == "a\ufffd b😀"

    def test_foreign_text_is_one_printable_line(self) -> None:
        """Control characters could forge a log line."""
        found = fault(500, {"message": "a\r\n::error::b\x1b[31m" + "x" * 9000})
        assert "\n" not in str(found)
        assert "\x1b" not in str(found)
        assert len(str(found)) < 500

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"Retry-After": "7"}, 7.0),
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after-ms": "nan", "retry-after": " 2 "}, 2.0),
            ({"Retry-After": "soon"}, None),
            ({"Retry-After": "-5"}, None),
            ({"Retry-After": "\uff11\uff12"}, None),
            ({"Retry-After": "²"}, None),
            ({"retry-after-ms": "inf"}, None),
            ({}, None),
        ],
    )
    def test_retry_after_is_read_in_its_forms(self, headers: dict[str, str], seconds: float | None) -> None:
        """An unreadable value counts as absent."""
        assert retry_after(headers) == seconds

    @pytest.mark.parametrize("absurd", ["9" * 20, "9" * 400, "1" + "0" * 20 + ".5", "Fri, 31 Dec 9999 23:59:59 GMT"])
    def test_a_wait_is_never_longer_than_a_day(self, absurd: str) -> None:
        """A host that asks for an eternity asks for a long pause."""
        assert retry_after({"Retry-After": absurd}) == LONGEST_WAIT_S
        assert fault(429, {}, {"Retry-After": absurd}).retry_after_s == LONGEST_WAIT_S

    @pytest.mark.parametrize(("asked", "seconds"), [(3, 3.0), (1e300, 86_400.0), (10**400, 86_400.0), ("3", None)])
    def test_a_wait_in_the_body_has_the_same_limit(self, asked: Any, seconds: float | None) -> None:
        """Replicate sends it there."""
        assert fault(429, {"retry_after": asked}).retry_after_s == seconds

    @pytest.mark.parametrize("asked", [float("nan"), -1, True, None, [3]])
    def test_a_wait_in_the_body_that_is_no_number_is_left_out(self, asked: Any) -> None:
        """JSON parsers accept NaN."""
        assert fault(429, {"retry_after": asked}).retry_after_s is None

    def test_a_date_is_compared_with_the_responses_own_date(self) -> None:
        """The clocks of host and caller may differ by years."""
        dates = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}
        assert retry_after(dates) == 30.0
        assert retry_after({**dates, "Date": "broken"}) == 0.0

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


HTML = "<!DOCTYPE html><html><head><title>Just a moment...</title><style>a{b:c}</style></head><body>Wait</body></html>"


class TestBodiesThatAreNoAnswer:
    @pytest.mark.parametrize("size", range(1, 75, 2))
    def test_a_body_that_ends_in_the_middle_of_its_json_was_cut(self, size: int) -> None:
        """A connection that is closed to end a body may close too early; another try may succeed."""
        whole = '{"choices": [{"message": {"content": "a \\"é\\" {[ 日本"}, "n": [1, true]}]}'.encode()
        with pytest.raises(ExchangeError) as caught:
            openai.parse(200, {"content-type": "application/json"}, whole[:size])
        assert (caught.value.reason, caught.value.retryable) == ("connection_cut", True)

    @pytest.mark.parametrize("raw", [b"{'a': 1}", b'{"a": }', b"[1, 2", b"not json", b'{"a": 1}}', b"null"])
    def test_a_body_that_is_not_json_is_not_cut(self, raw: bytes) -> None:
        """It breaks the protocol."""
        with pytest.raises(ExchangeError) as caught:
            openai.parse(200, {"content-type": "application/json"}, raw)
        assert caught.value.reason == "malformed_body"

    def test_a_body_with_a_wrong_byte_is_not_cut(self) -> None:
        """Only missing bytes are."""
        with pytest.raises(ExchangeError) as caught:
            openai.parse(200, {}, b'{"a": "\xff"')
        assert caught.value.reason == "bad_encoding"

    def test_a_page_is_named_with_its_type_and_its_beginning(self) -> None:
        """A proxy or a login page answers with status 200; its text tells which."""
        with pytest.raises(ExchangeError) as caught:
            openai.parse(200, {"Content-Type": "text/html; charset=utf-8"}, HTML.encode())
        assert caught.value.reason == "malformed_body"
        for told in ("text/html", "Just a moment...", "Wait"):
            assert told in caught.value.detail
        assert "<" not in caught.value.detail
        assert "b:c" not in caught.value.detail

    def test_a_page_of_a_failed_request_is_shown_without_its_tags(self) -> None:
        """The status decides the reason."""
        with pytest.raises(ExchangeError) as caught:
            openai.parse(502, {}, HTML.encode())
        assert (caught.value.reason, caught.value.detail) == ("server_error", "Just a moment... Wait")

    def test_usage_in_an_error_is_kept(self) -> None:
        """The host may charge for it."""
        error = {"error": {"message": "x"}, "usage": {"prompt_tokens": 9, "completion_tokens": 2, "cost": 0.5}}
        with pytest.raises(ExchangeError) as caught:
            openai.parse(500, {}, json.dumps(error).encode())
        received = caught.value.received
        assert received is not None
        assert (received.usage, received.reported_cost_usd) == (Usage(9, 2), Decimal("0.5"))
