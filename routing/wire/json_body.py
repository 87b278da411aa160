"""Writes the body of a request as JSON. Tools are written once for all requests, and long texts in slices. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import RequestRejected
from ..types import JsonObject

_SLICE = 1 << 18
"""The most characters that one call of the encoder writes, if a body is written in slices.
The encoder holds the interpreter's lock; other threads run between two of its calls.
"""
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class WrittenList(list[Any]):
    """A list of JSON values that also holds its JSON text, so that it is written only once."""

    def __init__(self, values: Iterable[Any], text: str) -> None:
        super().__init__(values)
        self.text = text


def json_text(value: Any) -> str:
    """The value as compact JSON. Raises RequestRejected if it is not JSON."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        raise _not_json() from None


def written(body: JsonObject, *, in_slices: bool = False) -> bytes:
    """The body as bytes. Raises RequestRejected if it is not JSON.

    `in_slices` is for a long body that is written in a thread: other threads need not wait until all of it is written.
    """
    try:
        return b"".join(piece.encode() for piece in (_pieces(body) if in_slices else _pieces_of_object(body)))
    except UnicodeEncodeError:  # half of a surrogate pair: not possible in UTF-8, but as an escape
        return json.dumps(body, separators=(",", ":")).encode()
    except RecursionError:
        raise _not_json() from None


def _not_json() -> RequestRejected:
    return RequestRejected("bad_request", "the request holds a value that is not JSON", phase="send")


def _pieces_of_object(body: JsonObject) -> Iterator[str]:
    """Yield the JSON text of the body in pieces. Members that are a `WrittenList` come first."""
    known = {name: value for name, value in body.items() if isinstance(value, WrittenList)}
    rest = json_text({name: value for name, value in body.items() if name not in known})
    yield "{"
    for name, value in known.items():
        yield f"{json_text(name)}:{value.text}{',' if len(rest) > len('{}') else ''}"
    yield rest[1:]


def _pieces(value: Any) -> Iterator[str]:
    """Yield the JSON text of the value in pieces, each of which takes only a short time to write."""
    if isinstance(value, str) and len(value) > _SLICE:
        yield '"'
        for start in range(0, len(value), _SLICE):
            yield json_text(value[start : start + _SLICE])[1:-1]
        yield '"'
    elif isinstance(value, WrittenList):
        yield value.text
    elif isinstance(value, list):
        yield from _joined("[", map(_pieces, value), "]")
    elif isinstance(value, dict) and all(isinstance(name, str) for name in value):
        yield from _joined("{", (_member(name, part) for name, part in value.items()), "}")
    else:
        yield json_text(value)


def _member(name: str, value: Any) -> Iterator[str]:
    yield json_text(name) + ":"
    yield from _pieces(value)


def _joined(start: str, parts: Iterable[Iterator[str]], end: str) -> Iterator[str]:
    yield start
    for index, part in enumerate(parts):
        if index:
            yield ","
        yield from part
    yield end
