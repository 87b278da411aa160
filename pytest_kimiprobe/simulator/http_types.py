"""Types for an HTTP request and its response, which the server and the simulated protocols pass to each other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class CutConnection(Exception):
    """Raised by a handler or a body iterator to close the connection immediately, without finishing the response."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Header names are in lower case. `path` is percent-decoded and has no query string."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response.

    If `chunks` is given, each chunk is sent as soon as the iterator yields it, in chunked transfer encoding. Otherwise
    `body` is sent with a Content-Length.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    declared_length: int | None = None
    """Content-Length to send instead of the body's length; None sends the body's length.

    It is larger than the body, so that the connection closes before the announced end.
    """


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is `value` as compact JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)
