"""Classifies the error bodies of all providers: who caused the error, and whether to try again.

Formats and strings come from OpenRouter SDK 1.3.84 (`error_type`), Groq SDK 1.7.0, Anthropic SDK 2.12, Moonshot's help
pages and recorded exchanges; see docs/providers.md. If a body with HTTP status 200 holds an `error`, the code inside it
is used instead of the status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import ExchangeError, RequestRejected, error_type
from ..parsing.message_text import joined
from ..reasons import REASONS

LONGEST_WAIT_S = 86_400.0
"""The longest wait in seconds that is passed on: one day. As in RFC 9111, a larger number counts as the largest
one that is allowed.
"""
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]*)?")
_DETAIL = 300
"""The most characters of the text that describes an error."""

# Phrases in the message that say more than the status does; the first match decides.
_BY_WORDS: tuple[tuple[str, str], ...] = (
    ("no endpoints found that", "no_endpoint"),  # "… support tool use", "… can handle the requested parameters"
    ("no endpoints found matching", "no_endpoint"),
    ("no endpoints found for", "model_retired"),
    ("no allowed providers", "model_retired"),
    ("decommissioned", "model_retired"),
    ("not currently supported on together", "model_retired"),
    ("context length", "context_too_long"),
    ("maximum context", "context_too_long"),
    ("context window", "context_too_long"),
    ("exceed context limit", "context_too_long"),
    ("exceeded model token limit", "context_too_long"),  # Moonshot
    ("maximum number of tokens", "context_too_long"),
    ("prompt is too long", "context_too_long"),
    ("input is too long", "context_too_long"),
    ("insufficient balance", "no_credit"),
    ("credit balance is too low", "no_credit"),
    ("could not process image", "image_refused"),
    ("unsupported image", "image_refused"),  # Moonshot and Alibaba
    ("invalid image", "image_refused"),
    ("decode image", "image_refused"),
    ("identify image file", "image_refused"),
    ("image exceeds", "image_refused"),
    ("considered high risk", "content_filter"),  # Moonshot
    ("content management policy", "content_filter"),  # Azure
)
_BY_CODE: dict[str, str] = {
    "tool_use_failed": "tool_use_failed",
    "model_not_found": "model_retired",
    "model_decommissioned": "model_retired",
    "context_length_exceeded": "context_too_long",
    "max_tokens_exceeded": "context_too_long",
    "string_too_long": "context_too_long",
    "authentication": "unauthorized",
    "invalid_api_key": "unauthorized",
    "permission_denied": "forbidden",
    "payment_required": "no_credit",
    "insufficient_quota": "quota",
    "exceeded_current_quota_error": "quota",
    "enforced_spend_limit_reached": "quota",
    "engine_overloaded_error": "overloaded",
    "provider_overloaded": "overloaded",
    "provider_unavailable": "server_error",
    "rate_limit_exceeded": "rate_limited",
    "rate_limit_reached_error": "rate_limited",
    "content_filter": "content_filter",
    "content_policy_violation": "content_filter",
    "data_inspection_failed": "content_filter",
    "refusal": "content_filter",
    "invalid_image": "image_refused",
    "image_too_large": "image_refused",
    "unsupported_image_format": "image_refused",
    "image_download_failed": "image_refused",
    "timeout": "timeout",
    # Anthropic's types. `invalid_request_error` is left out: others use it for every error, so the status says more.
    "authentication_error": "unauthorized",
    "billing_error": "no_credit",
    "permission_error": "forbidden",
    "not_found_error": "model_retired",
    "request_too_large": "context_too_long",
    "rate_limit_error": "rate_limited",
    "api_error": "server_error",
    "timeout_error": "timeout",
    "overloaded_error": "overloaded",
}
_BY_STATUS: dict[int, str] = {
    400: "bad_request",
    401: "unauthorized",
    402: "no_credit",
    403: "forbidden",
    404: "model_retired",
    408: "timeout",
    410: "model_retired",
    413: "context_too_long",
    422: "bad_request",
    429: "rate_limited",
    498: "overloaded",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}
_RETRYABLE = frozenset({"rate_limited", "overloaded", "server_error", "timeout", "unexpected_status"})


def fault(status: int, error: Any, headers: Mapping[str, str] | None = None) -> ExchangeError:
    """The exception for an error that a provider sent; it is returned, not raised.

    `error` is the value found in the body, often an object; `status` is the HTTP status.
    """
    row = error if isinstance(error, Mapping) else {"message": error}
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    message = printable_line(row.get("message") or row.get("detail") or "")
    inner = _inner_status(status, row)
    reason = _reason(inner, row, metadata, message)
    in_flight = metadata.get("limit_source") == "openrouter_in_flight_budget"  # a temporary 402
    generation = row.get("failed_generation")
    # A filter that refuses the request has judged no answer.
    kind = RequestRejected if reason == "content_filter" else error_type(reason)
    return kind(
        reason,
        _detail(message, metadata),
        status=inner,
        phase="body" if 200 <= status < 300 else "headers",
        retryable=_retryable(reason, headers or {}) or in_flight,
        retry_after_s=_wait(headers or {}, row),
        advice=REASONS[reason].advice,
        failed_generation=joined([generation]) if isinstance(generation, str) else None,
    )


def printable_line(text: Any, limit: int = _DETAIL) -> str:
    """`text`, which a host sent, on one line and cut to at most `limit` characters.

    Characters that are not printable become spaces, and several spaces become one.
    """
    clean = str(text)[: limit * 4]
    if not clean.isprintable():
        clean = "".join(char if char.isprintable() else " " for char in clean)
    folded = " ".join(clean.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, at most `LONGEST_WAIT_S`, from the header `retry-after-ms` or `Retry-After` (seconds or a date).

    A date is compared with the response's own `Date`, so that a wrong clock on either side does not matter. None if
    neither header is present and readable.
    """
    told = {name.lower(): value.strip() for name, value in headers.items()}
    if _SECONDS.fullmatch(milliseconds := told.get("retry-after-ms", "")):
        return min(float(milliseconds) / 1000, LONGEST_WAIT_S)
    asked = told.get("retry-after", "")
    if _SECONDS.fullmatch(asked):
        return min(float(asked), LONGEST_WAIT_S)
    until = _moment(asked)
    if until is None:
        return None
    now = _moment(told.get("date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _moment(date: str) -> datetime | None:
    """The moment of an HTTP date; None if it is not one."""
    try:
        moment = parsedate_to_datetime(date if date.isascii() else "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _retryable(reason: str, headers: Mapping[str, str]) -> bool:
    """Whether a retry makes sense: decided by Anthropic's header `x-should-retry` if present, else by the reason."""
    told = {name.lower(): value.strip().lower() for name, value in headers.items()}.get("x-should-retry")
    return told == "true" if told in {"true", "false"} else reason in _RETRYABLE


def _wait(headers: Mapping[str, str], row: Mapping[str, Any]) -> float | None:
    """Seconds to wait before a retry: from the headers, else from Replicate's `retry_after` in the body, else None."""
    found, asked = retry_after(headers), row.get("retry_after")
    if found is not None or not isinstance(asked, int | float) or isinstance(asked, bool) or not asked >= 0:
        return found
    return float(min(asked, LONGEST_WAIT_S))


def _inner_status(status: int, row: Mapping[str, Any]) -> int:
    for name in ("status_code", "code"):
        code = row.get(name)
        if status < 400 and isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    return 400 if status < 400 and row.get("type") == "invalid_request_error" else status


def _reason(status: int, row: Mapping[str, Any], metadata: Mapping[str, Any], message: str) -> str:
    details = row.get("details")
    inner = details.get("error_code") if isinstance(details, Mapping) else None
    for name in (inner, row.get("code"), metadata.get("error_type"), row.get("type")):
        if isinstance(name, str) and name in _BY_CODE:
            return _BY_CODE[name]
    lowered = message.lower()
    for words, reason in _BY_WORDS:
        if words in lowered:
            return reason
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return "redirected"
    if 400 <= status < 500:
        return "bad_request"
    return "server_error"  # 5xx, and an error without a status inside a 200


def _detail(message: str, metadata: Mapping[str, Any]) -> str:
    parts = [message]
    if name := metadata.get("provider_name"):
        parts.append(f"upstream {printable_line(name, 40)}")
    if raw := metadata.get("raw"):
        parts.append(printable_line(raw, 160))
    return "; ".join(part for part in parts if part)
