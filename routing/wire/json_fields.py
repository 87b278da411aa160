"""Reads fields of JSON that a host sent. Any field may hold any value; objects are dicts. Pure.

`members`, `items` and `first` give positions in a JSON text, so that a value can be passed on exactly as it came.
Parsing and writing again would hide duplicate keys and round numbers. Verification of a tool's arguments must see both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

from ..errors import ProviderFailure
from .error_bodies import fault, printable_line

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_MOST_USD = 1_000_000
_MOST_COUNT = 1 << 40
"""Larger counts and amounts in one answer are errors of the host. They would overflow the sums that they are added to.
"""


def whole_object(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """The JSON object in a body. Raises ExchangeError, which follows from the status if that shows a failure."""
    try:
        data = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        if status < 400:
            raise ProviderFailure("bad_encoding", "the body is not UTF-8", status=status, phase="parse") from None
        data = None
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        return data
    if status >= 300:
        raise fault(status, {"message": body[:400].decode("utf-8", "replace")}, headers)
    what = "an empty body" if not body.strip() else "the body is not a JSON object"
    raise ProviderFailure("malformed_body", what, status=status, phase="parse", retryable=True)


def event_object(payload: str) -> Mapping[str, Any]:
    """The JSON object of one stream event. Raises ProviderFailure: a skipped event could be part of an argument."""
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise ProviderFailure("malformed_body", "a stream event is not JSON", phase="body") from None
    if not isinstance(data, dict):
        raise ProviderFailure("malformed_body", "a stream event is not an object", phase="body")
    return data


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str | None:
    """The value if it is a non-empty string, else None."""
    return value if isinstance(value, str) and value else None


def label(value: Any) -> str | None:
    """A name that a host gives, such as a model's or an answer's id, on one line; None for anything else."""
    return printable_line(value, 200) if string(value) else None


def is_count(value: Any) -> TypeGuard[int]:
    """Whether the value is a whole number from 0 to a plausible maximum (2**40)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_COUNT


def count(value: Any) -> int:
    """The value if `is_count` accepts it, else 0."""
    return value if is_count(value) else 0


def money(value: Any) -> Decimal | None:
    """An amount of USD; None if the value is not a plausible amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= _MOST_USD else None


def members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Key, start and end of each value of the object at `at`. The text must have been parsed as JSON before."""
    at = _after(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _after(text, _after(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield key, at, end
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def items(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Start and end of each value of the array at `at`."""
    at = _after(text, at + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield at, end
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def first(text: str) -> int:
    """The position at which the first value begins."""
    return _after(text, 0)


def _after(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
