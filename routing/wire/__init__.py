"""One module a protocol: build a request, parse an answer, assemble a stream. Pure: bytes in, nouns out.

Every protocol module offers the same three things:

- `build(request, endpoint, provider) -> WireRequest`
- `parse(status, headers, body) -> Answer`, raising ExchangeError where the exchange failed
- `Stream()`, with `feed(bytes) -> bool` (whether content has come by now) and `finish() -> Answer`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..catalog import Endpoint, Provider
from ..errors import RequestRejected
from ..types import Answer, ChatRequest, JsonObject


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request without base URL and without the key."""

    path: str
    body: JsonObject
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


class Stream(Protocol):
    """A streamed answer under assembly."""

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content (text, reasoning or a tool call)."""

    def finish(self) -> Answer:
        """The answer, when no more bytes come."""


class Wire(Protocol):
    """A protocol module."""

    def build(self, request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest: ...

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer: ...

    def stream(self) -> Stream: ...

    def authorization(self, key: str) -> Mapping[str, str]: ...


def wire_named(name: str) -> Wire:
    """The protocol module of a provider. Raises RequestRejected for one that is not spoken here."""
    if name == "openai":
        from . import openai

        return openai
    raise RequestRejected("other_protocol", f"the {name} protocol is not spoken by this release")
