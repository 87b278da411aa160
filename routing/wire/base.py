"""The interface of a protocol module, and the request and stream that it gives back."""

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
    """One HTTP request without the key. `body` None: nothing is sent but the head.

    `path` begins with a slash and stands below the provider's base URL, or is a whole URL on a host of the provider's.

    `notes` tell what of the caller's request was changed for this endpoint. `follow(status, body)` gives the request
    that must follow this one's answer, None where the exchange is complete; it waits `delay_s` seconds first.
    `cancel` is sent where the exchange is given up while this request is open.
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
    """A streamed answer under assembly."""

    def feed(self, chunk: bytes) -> bool:
        """Take bytes; True once the answer has content (text, reasoning or a tool call)."""

    def finish(self) -> Answer:
        """The answer, when no more bytes come."""


class Wire(Protocol):
    """A protocol module."""

    def build(self, request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest: ...

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer: ...

    def stream(self) -> WireStream: ...

    def authorization(self, key: str) -> Mapping[str, str]: ...
