"""Reads fields of JSON that a host sent, whatever type of value a field holds. JSON objects are dicts here. Pure.

`children` and `first` give positions in a JSON text, so that a value can be passed on exactly as it came.
Verification of a tool's arguments needs the exact text: parsing and writing it again would remove duplicate keys and
round long numbers.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

from ..errors import ProviderFailure
from .error_bodies import fault, printable_line

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TAG = re.compile(r"(?is)<(?:!--.*?--|(script|style)\b.*?</\1\s*|[/!]?[a-z][^<>]*)>")
_DECODER = json.JSONDecoder()
_MOST_USD = 1_000_000
_MOST_COUNT = 1 << 40
"""The largest plausible token count in one answer. Larger ones, and amounts above `_MOST_USD`, are errors of the host.
They would overflow the sums that they are added to.
"""


def whole_object(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """Parse the body of an answer as a JSON object.

    Raises ExchangeError for any other body. If the HTTP status shows a failure, the error is the one for that status.
    Otherwise it is ProviderFailure.
    """
    try:
        data = json.loads(body.removeprefix(codecs.BOM_UTF8).decode())
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        return data
    if status >= 300:
        raise fault(status, {"message": _excerpt(body, 400)}, headers)
    raise _unreadable(status, headers, body)


def _unreadable(status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
    """The error for a body with a status of success that is not a JSON object."""
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        if error.end < len(body) or not _is_cut(body[: error.start].decode("utf-8-sig").strip()):
            return ProviderFailure("bad_encoding", "the body is not UTF-8", status=status, phase="parse")
        text = "{"
    if _is_cut(text):
        what = "the body ends in the middle of its JSON"
        return ProviderFailure("connection_cut", what, status=status, phase="body", retryable=True)
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    what = "the body is not a JSON object" if text else "an empty body"
    if text and "json" not in kind:
        what += f" but {printable_line(kind, 60) or 'of no content type'}: {_excerpt(body, 160)}"
    return ProviderFailure("malformed_body", what, status=status, phase="parse", retryable=True)


def _is_cut(text: str) -> bool:
    """Whether a text is the beginning of a JSON object: more brackets are opened than closed, or a string is open."""
    if not text.startswith("{"):
        return False
    outside = _STRING.sub("", text)
    opened, closed = outside.count("{") + outside.count("["), outside.count("}") + outside.count("]")
    return '"' in outside or opened > closed


def _excerpt(body: bytes, size: int) -> str:
    """The beginning of a body as text, without the tags of an HTML page."""
    return _TAG.sub(" ", body[: 10 * size].decode("utf-8", "replace"))[:size].strip()


def event_object(payload: str) -> Mapping[str, Any]:
    """Parse the data of one stream event as a JSON object.

    Raises ProviderFailure for anything else, because a skipped event could be part of a tool's arguments.
    """
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProviderFailure("malformed_body", "a stream event is not JSON", phase="body") from None
    if not isinstance(data, dict):
        raise ProviderFailure("malformed_body", "a stream event is not an object", phase="body")
    return data


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty object."""
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str | None:
    """The value if it is a non-empty string, else None."""
    return value if isinstance(value, str) and value else None


def label(value: Any) -> str | None:
    """A name or id that a host sent, on one line of at most 200 characters; None if it is not a non-empty string."""
    return printable_line(value, 200) if string(value) else None


def is_count(value: Any) -> TypeGuard[int]:
    """Whether the value is a whole number from 0 to a plausible maximum (2**40)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_COUNT


def count(value: Any) -> int:
    """The value if `is_count` accepts it, else 0."""
    return value if is_count(value) else 0


def money(value: Any) -> Decimal | None:
    """The value as an amount of USD; None if it is not a number or text of a number from 0 to 1,000,000."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD else None


def children(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Yield the key, the start and the end of each value in the object or array that begins at position `at` of `text`.

    The key of an array's value is empty. The caller must have checked that `text` is valid JSON.
    """
    is_object = text[at] == "{"
    at = _after(text, at + 1)
    while text[at] not in "]}":
        key = ""
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _after(text, _after(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield key, at, end
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def first(text: str) -> int:
    """The position of the first character of a JSON text that is not white space."""
    return _after(text, 0)


def _after(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
