"""The interface of a protocol module, and the request and stream types that it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..catalog.model import Endpoint, Provider
from ..types import Answer, ChatRequest, JsonObject


def _as_it_is(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request, without the key. `body` None: the request has no body.

    `path` begins with a slash and is relative to the provider's base URL, or it is a whole URL on a host of the
    provider.

    `notes` list what was changed in the caller's request for this endpoint. `follow(status, body)` returns the request
    to send after this one's answer, or None if the exchange is complete. That request is sent after `delay_s` seconds.
    `cancel` is sent if the exchange is abandoned while this request is open.
    """

    path: str
    body: JsonObject | None
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    notes: tuple[str, ...] = ()
    restore: Callable[[Answer], Answer] = _as_it_is
    follow: Callable[[int, bytes], WireRequest | None] | None = None
    delay_s: float = 0.0
    cancel: WireRequest | None = None


class WireStream(Protocol):
    """Assembles a streamed answer."""

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content (text, reasoning or a tool call)."""

    def finish(self) -> Answer:
        """The answer, when the stream has ended."""


class Wire(Protocol):
    """A protocol module."""

    def build(self, request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest: ...

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer: ...

    def stream(self) -> WireStream: ...

    def authorization(self, key: str) -> Mapping[str, str]: ...
