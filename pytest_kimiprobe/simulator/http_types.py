"""HTTP requests and responses as the simulated protocols see them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class CutConnection(Exception):
    """Raised by a handler or a body iterator: close the connection immediately, without finishing the answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case; `path` is decoded and has no query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: `body` is sent with Content-Length, or `chunks` are sent chunked as they arrive."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    declared_length: int | None = None
    """A Content-Length that is larger than the body: the connection closes before the announced end."""


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a compact JSON body."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"content-type": "application/json", **(headers or {})}, body)
