"""One exchange as it went over the transport's seam: taken down while it happens (`Tap`), played again (`Playback`).

vcrpy patches the HTTP libraries for the whole process and cannot tell concurrent probes apart; here each probe has a
transport of its own around the shared one. What is taken down has the key taken out already (routing/transport.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from routing.bounds import MAX_BODY
from routing.errors import ExchangeError, error_type
from routing.exchange import Exchange, Sender
from routing.failures import Progress
from routing.transport import TIMEOUT_S, HttpRequest, HttpResponse
from routing.types import Phase

_PIECE = 1 << 16
Side = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Step:
    """One request and its answer, the body decoded and as far as it came; the credentials are not among `headers`."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    status: int
    answer_headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """What ended an exchange from below, which no bytes tell: refused, cut, timed out.

    `side` says when: before anything came back, or in the middle of the last answer.
    """

    reason: str
    detail: str
    phase: Phase
    retryable: bool
    side: Side

    @classmethod
    def of(cls, error: ExchangeError, side: Side) -> Break:
        """Of what the transport raised."""
        return cls(error.reason, error.detail, error.phase or "body", error.retryable, side)

    def error(self) -> ExchangeError:
        """It, to be raised again."""
        kind = error_type(self.reason)
        return kind(self.reason, self.detail, phase=self.phase, retryable=self.retryable)


@dataclass(frozen=True, slots=True)
class Take:
    """Everything that one exchange sent and received, in order. `whole` is false where more came than is kept."""

    steps: tuple[Step, ...] = ()
    broken: Break | None = None
    whole: bool = True


@dataclass(slots=True)
class _Heard:
    """A step under way."""

    request: HttpRequest
    status: int
    headers: Mapping[str, str]
    body: bytearray = field(default_factory=bytearray)

    def step(self) -> Step:
        asked = self.request
        headers = {name.lower(): value for name, value in asked.headers.items()}
        return Step(asked.method, asked.url, headers, asked.content, self.status, dict(self.headers), bytes(self.body))


class Tap:
    """A transport for one exchange that passes everything on to another and takes it down."""

    def __init__(self, inner: Sender) -> None:
        self._inner = inner
        self._heard: list[_Heard] = []
        self._broken: Break | None = None
        self._cut: Side | None = None
        self._room = MAX_BODY
        self._over = False

    def take(self, done: Exchange) -> Take:
        """What was taken down for this exchange; whatever is sent behind it (calling off) is not part of it."""
        self._over = True
        broken = self._broken
        if broken is None and self._cut is not None and done.error is not None:
            broken = Break.of(done.error, self._cut)
        return Take(tuple(heard.step() for heard in self._heard), broken, self._room >= 0)

    async def pause(self, seconds: float) -> None:
        """Wait before the next request."""
        try:
            await self._inner.pause(seconds)
        except asyncio.CancelledError:
            self._cut = "request"
            raise

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, shard: str, timeout_s: float | None = TIMEOUT_S, progress: Progress | None = None
    ) -> AsyncIterator[HttpResponse]:
        """As the other transport does it, and raising what it raises."""
        async with AsyncExitStack() as stack:
            sending = self._inner.send(request, shard=shard, timeout_s=timeout_s, progress=progress)
            try:
                response = await stack.enter_async_context(sending)
            except ExchangeError as error:
                self.broke(error, "request")
                raise
            except BaseException:  # a deadline's cancelling, or what nobody foresaw: the exchange's error tells
                self._cut = "request"
                raise
            if self._over:
                yield response
                return
            heard = _Heard(request, response.status, response.headers)
            self._heard.append(heard)
            yield HttpResponse(response.status, response.headers, _Chunks(response.chunks, heard, self))

    def broke(self, error: ExchangeError, side: Side) -> None:
        """Keep what the transport raised."""
        if not self._over:
            self._broken = Break.of(error, side)

    def cut(self) -> None:
        """The body was being read when somebody's patience ended."""
        self._cut = "answer"

    def keep(self, heard: _Heard, chunk: bytes) -> None:
        """Take down as much of a body as there is room for."""
        if self._room > 0 and not self._over:
            heard.body += chunk[: self._room]
        self._room -= len(chunk)


class _Chunks:
    """A body on its way through; no generator, so that nothing is left open where reading ends early."""

    def __init__(self, chunks: AsyncIterator[bytes], heard: _Heard, tap: Tap) -> None:
        self._chunks, self._heard, self._tap = chunks, heard, tap

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._chunks)
        except ExchangeError as error:
            self._tap.broke(error, "answer")
            raise
        except StopAsyncIteration:
            raise
        except BaseException:  # a deadline's cancelling, or what nobody foresaw: the exchange's error tells
            self._tap.cut()
            raise
        self._tap.keep(self._heard, chunk)
        return chunk


class Playback:
    """A transport that gives the answers of a take, in their order, and waits for nothing."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._next = 0

    async def pause(self, seconds: float) -> None:
        """Not at all."""

    @asynccontextmanager
    async def send(
        self,
        request: HttpRequest,  # noqa: ARG002 - the signature of a transport
        *,
        shard: str,  # noqa: ARG002
        timeout_s: float | None = TIMEOUT_S,  # noqa: ARG002
        progress: Progress | None = None,  # noqa: ARG002
    ) -> AsyncIterator[HttpResponse]:
        """The next recorded answer. Raises what ended the exchange then, or `not_recorded` where no more was recorded."""
        if self._next >= len(self._take.steps):
            broken = self._take.broken
            raise broken.error() if broken else not_recorded("the recording ends before the exchange does")
        step, self._next = self._take.steps[self._next], self._next + 1
        async with aclosing(self._body(step)) as body:
            yield HttpResponse(step.status, step.answer_headers, body)

    async def _body(self, step: Step) -> AsyncGenerator[bytes, None]:
        for at in range(0, len(step.body), _PIECE):
            yield step.body[at : at + _PIECE]
        broken = self._take.broken
        if broken is not None and broken.side == "answer" and self._next == len(self._take.steps):
            raise broken.error()


def not_recorded(detail: str) -> ExchangeError:
    """Nobody's doing: the evidence does not hold what the judge needs."""
    return error_type("not_recorded")("not_recorded", detail)
