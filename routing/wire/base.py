"""The interface of a protocol module, and the request type that it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..catalog.model import Endpoint, Provider
from ..types import Answer, ChatRequest, JsonObject
from .answer_stream import AnswerStream


def _as_it_is(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request to a provider, without the API key. If `body` is None, the request has no body.

    `path` begins with a slash and is relative to the provider's base URL, or it is a whole URL on a host of the
    provider.

    `notes` list what was changed in the caller's request for this endpoint. `restore` puts the caller's tool names and
    call ids back into the answer. `follow(status, body)` takes the answer to this request. It returns the next request
    of the exchange, or None if the exchange is complete.

    `delay_s` is the time in seconds to wait before this request is sent. `cancel` is the request to send if the
    exchange is abandoned while this request is open.
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


class Wire(Protocol):
    """Interface of a protocol module; the package `routing.wire` describes its four functions."""

    def build(self, request: ChatRequest, endpoint: Endpoint, provider: Provider) -> WireRequest: ...

    def parse(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer: ...

    def stream(self) -> AnswerStream: ...

    def authorization(self, key: str) -> Mapping[str, str]: ...
