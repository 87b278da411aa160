"""Clients: at most `PER_CLIENT` connections to one provider, and a response on its way.

The connections are httpcore's, the part of httpx below its client (docs/decisions.md). Whatever it raises comes out as an
error of our own (failures.py), without its words and frames.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from .bounds import Gauge, Gunzip
from .errors import ExchangeError, ProviderFailure
from .failures import Progress, failure_of
from .network import Line
from .redaction import Secrets, known

PER_CLIENT = 20
"""Requests a client at once; starts are paced by it (pytest_kimiprobe/engine/dispatch.py)."""
_KEPT_S = 30.0
_RACE_S = 1.0
"""A kept connection that the server had closed fails within a round trip; one that fails later was worked on."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request as the library takes it (`httpcore.Request`), which it only reads; `credentials` are the keys in it."""

    request: Any
    credentials: frozenset[str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection of the library's, and what it goes over."""

    line: Line
    connection: Any


class Client:
    """Up to `PER_CLIENT` connections, used again last in, first out. `busy` counts the requests it carries now.

    `core` is httpcore or httpcore2, `proxy` its Proxy or None.
    """

    def __init__(self, core: Any, tls: ssl.SSLContext, proxy: Any = None) -> None:
        self.busy = 0
        self.core = core
        self.errors = (
            core.NetworkError,
            core.ProtocolError,
            core.ProxyError,
            core.TimeoutException,
            core.UnsupportedProtocol,
            OSError,
            UnicodeError,
        )
        self._tls, self._proxy = tls, proxy
        self._idle: deque[_Kept] = deque()
        self._retired = False

    async def send(self, message: Message, progress: Progress) -> Sent | ExchangeError:
        """The response once its headers are there, or why not: raised here, an error would carry the library's frames."""
        progress.begin()
        self.busy += 1
        began, kept, response = time.monotonic(), None, None
        try:
            kept = await self._connection(message.request.url.origin)
            kept.line.progress = progress
            response = await kept.connection.handle_async_request(message.request)
        except self.errors as error:
            failure = failure_of(error, progress, proxied=self._proxy is not None)
            fast = time.monotonic() - began < _RACE_S
            progress.stale = failure.reason == "connection_cut" and not (progress.fresh or progress.heard) and fast
            return failure
        finally:
            if response is None:
                await self.release(kept)
        progress.phase = "body"
        return Sent(self, kept, response, progress, known(message.credentials))

    async def _connection(self, origin: Any) -> _Kept:
        """A connection that waits, else a new one."""
        while self._idle and self._idle[0].connection.has_expired():
            await self._idle.popleft().connection.aclose()
        while kept := self._taken(origin):
            if not kept.connection.has_expired():
                return kept
            await kept.connection.aclose()
        line = Line(self.core)
        pool = self.core.AsyncConnectionPool(
            ssl_context=self._tls, proxy=self._proxy, keepalive_expiry=_KEPT_S, network_backend=line
        )
        return _Kept(line, pool.create_connection(origin))

    def _taken(self, origin: Any) -> _Kept | None:
        """The last of those that wait and lead there: a provider may have several hosts."""
        for at in reversed(range(len(self._idle))):
            if self._idle[at].connection.can_handle_request(origin):
                kept = self._idle[at]
                del self._idle[at]
                return kept
        return None

    async def release(self, kept: _Kept | None) -> None:
        """One request less; what it went over is kept where the answer came whole."""
        self.busy -= 1
        if kept is not None and kept.connection.is_idle() and not self._retired and not _surplus(kept.connection):
            self._idle.append(kept)
        elif kept is not None:
            await kept.line.aclose()
        if self._retired and not self.busy:
            await self.aclose()

    async def retire(self) -> None:
        """Close what waits now, and what is on its way when it ends."""
        self._retired = True
        await self.aclose()

    async def aclose(self) -> None:
        """Close what waits."""
        while self._idle:
            await self._idle.pop().connection.aclose()


class Sent:
    """A response on its way.

    Errors are raised where no frame of the traceback holds bytes that the key was not yet taken out of.
    """

    def __init__(self, client: Client, kept: _Kept, response: Any, progress: Progress, secrets: Secrets) -> None:
        self.status: int = response.status
        self._client, self._kept, self._response = client, kept, response
        self._progress, self._secrets = progress, secrets
        self._failure: ExchangeError | None = None
        self._body: AsyncGenerator[bytes, None] | None = None

    def headers(self) -> Mapping[str, str]:
        """Names in lower case, values free of the key; what is said twice is joined (RFC 9110, 5.3)."""
        found: dict[str, str] = {}
        together = b"\n".join([value for _, value in self._response.headers])
        echoed = self._secrets.data(together) is not together
        for name, value in self._response.headers:
            key, text = name.decode("latin-1").lower(), _text(self._secrets.data(value) if echoed else value)
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    def chunks(self, gauge: Gauge, encoding: str) -> AsyncGenerator[bytes, None]:
        """The body: decoded, measured, free of the key."""
        self._body = self._measured(gauge, encoding.strip().lower())
        return self._body

    async def aclose(self) -> None:
        """End it; an answer that was not read to its end costs its connection."""
        try:
            if self._body is not None:
                await self._body.aclose()
            with suppress(*self._client.errors):
                await self._response.aclose()
        finally:
            await self._client.release(self._kept)

    async def _measured(self, gauge: Gauge, encoding: str) -> AsyncGenerator[bytes, None]:
        if encoding not in {"", "identity", "gzip"}:
            raise ProviderFailure("bad_encoding", "content-encoding other than one layer of gzip", phase="headers")
        async with aclosing(self._clean(Gunzip() if encoding == "gzip" else None)) as pieces:
            async for piece in pieces:
                gauge.feed(piece)
                yield piece
        if self._failure is not None:
            raise self._failure

    async def _clean(self, gunzip: Gunzip | None) -> AsyncGenerator[bytes, None]:
        """Decoded pieces without the key; what stops them early is kept in `_failure`."""
        stream = self._secrets.stream()
        try:
            async with aclosing(aiter(self._response.stream)) as raws:
                async for raw in raws:
                    for piece in gunzip.feed(raw) if gunzip else (raw,):
                        if clean := stream.feed(piece):
                            yield clean
                    if gunzip and gunzip.problem:
                        break
        except self._client.errors as error:
            self._failure = failure_of(error, self._progress)
        if rest := stream.finish():
            yield rest
        if gunzip and self._failure is None:
            gunzip.finish()
            if gunzip.problem:
                self._failure = ProviderFailure("bad_encoding", gunzip.problem, phase="body")


def _surplus(connection: Any) -> bool:
    """Whether more came than the answer: the library would read it as the answer to the next request.

    Only h11 knows, of which the library has no word; where that cannot be seen the connection is not used again.
    """
    while connection is not None and not hasattr(connection, "_h11_state"):
        connection = getattr(connection, "_connection", None)
    return connection is None or bool(connection._h11_state.trailing_data[0])  # noqa: SLF001


def _text(value: bytes) -> str:
    """A header's value: UTF-8 where it is, else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
