"""One request to one endpoint and its answer, with times and cost; used by probes and by production."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from .catalog import Endpoint, Provider
from .errors import ExchangeError, ProviderFailure, RequestRejected
from .redaction import REDACTED, Secrets, known
from .tokens import estimated, request_length
from .transport import TIMEOUT_S, HttpRequest, HttpResponse, is_event_stream
from .transport.deadline import NO_LIMITS, Deadline, StreamLimits
from .transport.event_loop import in_thread
from .transport.failures import RequestProgress, local_failure
from .transport.limits import MAX_BODY
from .types import Answer, ChatRequest, CostOrigin, JsonObject, Usage
from .wire import AnswerStream, Wire, WireRequest, wire_named
from .wire.json_body import written

WRONG_UPSTREAM = "wrong_upstream"
"""Note of an answer that did not come from the pinned upstream. It says nothing about the endpoint."""
CANCEL_TIMEOUT_S = 5.0
"""The timeout in seconds of a request that cancels an abandoned exchange."""
_LONG = 1 << 20
"""A request with more characters than this is built in a thread instead of on the event loop."""
STREAM_END_S = 5.0
"""Seconds that a stream may stay open after its finish reason, for token counts and end marks."""


class Sender(Protocol):
    """The part of a transport (routing/transport) that an exchange uses.

    Cassettes record and replay at this interface.
    """

    def send(
        self,
        request: HttpRequest,
        *,
        timeout_s: float | None = TIMEOUT_S,
        progress: RequestProgress | None = None,
    ) -> AbstractAsyncContextManager[HttpResponse]: ...

    async def pause(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The destination of a request: an endpoint, its provider and the key."""

    endpoint: Endpoint
    provider: Provider
    key: str

    def __repr__(self) -> str:
        return f"Target({self.endpoint.id})"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request and its answer, with the key removed from both.

    Either `answer` or `error` is set. `body` holds the received bytes of the response, at most `MAX_BODY`. Times are
    milliseconds from the moment of sending; `first_token_ms` is set only for streams. `silent_ms` is the time for which
    the host was silent at the end: since it was first contacted, unless a stream had begun. A request that was never
    sent costs 0. If the cost is unknown, `estimate` holds estimated token counts.
    """

    endpoint: str
    request: JsonObject
    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    answer: Answer | None = None
    error: ExchangeError | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    cost_usd: Decimal | None = None
    cost_origin: CostOrigin = "unknown"
    estimate: Usage | None = None
    silent_ms: float = 0.0


async def exchange(
    transport: Sender,
    target: Target,
    request: ChatRequest,
    *,
    timeout_s: float,
    limits: StreamLimits = NO_LIMITS,
    number: int = 1,
) -> Exchange:
    """Send `request` to `target` within `timeout_s` seconds in all. Failures are returned as `.error`, never raised.

    `limits` apply in addition if the answer is streamed. `number` counts the attempts of the caller from 1; an error
    carries it as `attempt`.
    """
    return await PreparedExchange(target, request).exchange(
        transport, timeout_s=timeout_s, limits=limits, number=number
    )


class PreparedExchange:
    """A request to one endpoint, built once for any number of exchanges.

    If it is invalid, each exchange returns an error.
    """

    def __init__(self, target: Target, request: ChatRequest) -> None:
        self.target = target
        self.request = request
        self._built: WireRequest | None = None
        self._http: HttpRequest | None = None

    @property
    def wire(self) -> Wire:
        """The protocol module of the provider. Raises EndpointUnavailable for a protocol that is not supported."""
        return wire_named(self.target.provider.wire)

    @property
    def built(self) -> WireRequest:
        """The first HTTP request of an exchange, without base URL and key.

        Raises ExchangeError if the endpoint cannot serve it.
        """
        if self._built is None:
            try:
                self._built = self.wire.build(self.request, self.target.endpoint, self.target.provider)
            except RecursionError:
                raise RequestRejected("bad_request", "the request is nested too deeply", phase="send") from None
        return self._built

    @property
    def http(self) -> HttpRequest:
        """The first HTTP request of an exchange, with base URL and key."""
        if self._http is None:
            self._http = _http(self.wire, self.target, self.built, in_slices=self._is_long)
        return self._http

    @property
    def _is_long(self) -> bool:
        return request_length(self.request.messages) > _LONG

    async def ready(self) -> WireRequest:
        """Build the first HTTP request, if it is not built yet. A long one is built in a thread: others need not wait.

        Raises ExchangeError if the endpoint cannot serve it.
        """
        if self._http is None and self._is_long:
            await in_thread(lambda: self.http)
        return self.built

    async def exchange(
        self, transport: Sender, *, timeout_s: float, limits: StreamLimits = NO_LIMITS, number: int = 1
    ) -> Exchange:
        """Make one exchange; arguments and result are those of the function `exchange`."""
        deadline = Deadline(timeout_s, limits)
        attempt = _Attempt(self, number, deadline)
        try:
            async with deadline.timeout:
                attempt.request = (await self.ready()).body or {}
                await attempt.run(transport)
        except TimeoutError:
            attempt.error = deadline.failure(attempt.progress)
        except ExchangeError as error:
            attempt.error = error
        except Exception as error:  # noqa: BLE001 - hostile bytes must not end a service; its text may hold anything
            attempt.error = _unexpected(error, attempt)
        finally:
            if attempt.cancel is not None:
                cancel = _http(self.wire, self.target, attempt.cancel)
                _send_in_background(transport, cancel)
        return attempt.result()


def _unexpected(error: Exception, attempt: _Attempt) -> ExchangeError:
    """The error for an unexpected exception in an exchange.

    The provider is blamed only if an answer had begun and the exception is neither OSError nor MemoryError.
    Otherwise it is a local failure.
    """
    if attempt.status is None or isinstance(error, OSError | MemoryError):
        return local_failure(error, attempt.progress.phase)
    return ProviderFailure("malformed_body", f"unexpected {type(error).__name__}", phase="parse")


_background: set[asyncio.Task[None]] = set()


def _send_in_background(transport: Sender, request: HttpRequest) -> None:
    """Send a cancel request without waiting for it, so that the provider stops work on an abandoned exchange."""
    task = asyncio.get_running_loop().create_task(_send_cancel(transport, request))
    _background.add(task)
    task.add_done_callback(_background.discard)


async def _send_cancel(transport: Sender, request: HttpRequest) -> None:
    with suppress(ExchangeError):
        async with transport.send(request, timeout_s=CANCEL_TIMEOUT_S) as response:
            async for _ in response.chunks:
                pass


class _Attempt:
    """State of an exchange in progress, kept outside `run` so that a timeout loses nothing."""

    def __init__(self, prepared: PreparedExchange, number: int, deadline: Deadline) -> None:
        self.prepared, self.number, self.deadline = prepared, number, deadline
        self.target = prepared.target
        self.request: JsonObject = {}
        self.status: int | None = None
        self.content_type = ""
        self.body = bytearray()
        self.answer: Answer | None = None
        self.stream: AnswerStream | None = None
        self.error: ExchangeError | None = None
        self.progress = RequestProgress()
        self.cancel: WireRequest | None = None
        """The request that cancels the exchange at the provider, if the exchange is abandoned now; None if that is not
        needed."""

    async def run(self, transport: Sender) -> None:
        """Send the request, and those that the protocol requires after it, until there is an answer."""
        built = self.prepared.built
        if self.prepared.request.stream:
            self.deadline.expect_token()
        step: WireRequest | None = built
        while step is not None:
            self.cancel = step.cancel
            await transport.pause(step.delay_s)
            step = await self._step(transport, step)
        answer = self.answer
        if answer is None or not answer.complete:
            raise ProviderFailure(
                "stream_cut", "the stream ended without a finish reason", phase="body", retryable=True
            )
        wrong = answer.upstream is not None and not self.target.endpoint.is_served_by(answer.upstream)
        if wrong or built.notes:
            answer = replace(answer, notes=(*built.notes, *answer.notes, *((WRONG_UPSTREAM,) if wrong else ())))
        self.answer = built.restore(answer)

    async def _step(self, transport: Sender, step: WireRequest) -> WireRequest | None:
        """Send one request and read its answer.

        Returns the request that must follow; None if the answer is complete.
        """
        prepared, wire = self.prepared, self.prepared.wire
        request = prepared.http if step is prepared.built else _http(wire, self.target, step)
        self.body.clear()
        async with transport.send(request, timeout_s=None, progress=self.progress) as response:
            self.status = response.status
            self.content_type = response.headers.get("content-type", "")
            if is_event_stream(response.status, response.headers):
                self.answer = await self._streamed(wire, response)
                self.cancel = None
                return None
            async for chunk in response.chunks:
                self.body += chunk
            body = bytes(self.body)
            if step.follow is not None and (following := step.follow(response.status, body)) is not None:
                return following
            if response.status < 300:  # after an error the provider may still be working on it
                self.cancel = None
            self.answer = wire.parse(response.status, response.headers, body)
            if self.request.get("stream"):
                self.answer = replace(self.answer, notes=(*self.answer.notes, "stream_ignored"))
            return None

    async def _streamed(self, wire: Wire, response: HttpResponse) -> Answer:
        stream = self.stream = wire.stream()
        self.deadline.expect_token()
        with suppress(TimeoutError):  # a complete answer does not wait for a host that leaves the stream open
            async with asyncio.timeout(None) as end:
                async for chunk in response.chunks:
                    self.body += chunk[: MAX_BODY - len(self.body)]
                    if stream.feed(chunk):
                        self.deadline.heard()
                    if stream.ended and end.when() is None:
                        end.reschedule(asyncio.get_running_loop().time() + STREAM_END_S)
        return stream.finish()

    def result(self) -> Exchange:
        total_ms, first_token_s = self.deadline.elapsed_s * 1000, self.deadline.first_token_s
        secrets = known(frozenset({self.target.key}))
        answer = None if self.error or not self.answer else secrets.answer(self.answer)
        came = self.answer or (self.error.received if self.error else None)
        if came is None and self.stream is not None:
            came = self.stream.finish()
        # Beside an error only a reported cost counts: token counts may be those of a part.
        counts = answer or (came if came and came.reported_cost_usd is not None else None)
        cost, origin = self.target.endpoint.cost_of(counts) if counts else (None, "unknown")
        if self.error is not None:
            self.error.received = None
            _scrub(self.error, secrets)
            self.error.endpoint = self.target.endpoint.id
            self.error.elapsed_ms = total_ms
            self.error.attempt = self.number
            if self.status is None and "connect" in {self.error.phase, self.progress.phase}:
                cost, origin = Decimal(0), "catalog"
                if self.error.phase == "send":  # refused by this program, before it connected
                    self.error.attempt = 0
        return Exchange(
            endpoint=self.target.endpoint.id,
            request=self.request,
            status=self.status,
            content_type=self.content_type,
            # If the assembled answer held a key, the bytes hold it in pieces: the body is not kept.
            body=secrets.data(bytes(self.body)) if answer is None or answer == self.answer else REDACTED.encode(),
            answer=answer,
            error=self.error,
            first_token_ms=None if first_token_s is None else first_token_s * 1000,
            total_ms=total_ms,
            cost_usd=cost,
            cost_origin=origin,
            estimate=estimated(self.prepared.request, came, self.error) if cost is None else None,
            silent_ms=self.deadline.silent_s(self.progress) * 1000,
        )


def _http(wire: Wire, target: Target, step: WireRequest, *, in_slices: bool = False) -> HttpRequest:
    """The HTTP request of one step of an exchange, with base URL and key.

    Raises RequestRejected if the body cannot be written as JSON.
    """
    provider = target.provider
    headers = {**step.headers, **wire.authorization(target.key)}
    content = b""
    if step.body is not None:
        headers = {"Content-Type": "application/json", **headers}
        content = written(step.body, in_slices=in_slices)
    url = step.path if "://" in step.path else provider.base_url + step.path
    return HttpRequest(step.method, url, headers, content, provider.hosts)


def _scrub(error: ExchangeError, secrets: Secrets) -> None:
    """Remove a key that the host cut into pieces, which the transport could not find in the bytes."""
    error.detail = secrets.text(error.detail)
    error.args = (error.reason, error.detail)
    if error.failed_generation:
        error.failed_generation = secrets.text(error.failed_generation)
    error.__traceback__ = error.__context__ = None  # they would keep the frames of a finished request alive
