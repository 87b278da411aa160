"""Pool of the connections to one provider, and a response while it is read.

The connections are httpcore's, the part of httpx below its client (docs/decisions.md). Each exception is translated
into an error of this package (failures.py), without its text and frames.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExchangeError, ProviderFailure
from ..redaction import Secrets, known
from .connection import Connection
from .failures import RequestProgress, failure_of
from .limits import BodyLimit, GzipDecoder

_KEPT_S = 30.0
"""Seconds after which an idle connection is closed."""
_RACE_S = 1.0
"""A kept connection that the server had closed fails within a round trip; a later failure had reached the server."""


@dataclass(frozen=True, slots=True)
class EncodedRequest:
    """Request in the library's form (`httpcore.Request`), which is only read; `credentials` are the keys in it.

    `local`: it stays on this machine.
    """

    request: Any
    credentials: frozenset[str] = field(repr=False)
    local: bool = False


@dataclass(frozen=True, slots=True)
class _PooledConnection:
    """HTTP connection of the library, and the network connection below it."""

    network: Connection
    http: Any


class ConnectionPool:
    """Connections to one provider; an idle one is used again last in, first out.

    `core` is httpcore or httpcore2, `proxy` its Proxy or None.
    """

    def __init__(self, core: Any, tls: ssl.SSLContext, proxy: Any = None) -> None:
        self.core = core
        self.idle: deque[_PooledConnection] = deque()
        self._tls, self._proxy = tls, proxy
        self._closed = False

    async def send(
        self, encoded: EncodedRequest, progress: RequestProgress, *, fresh: bool = False
    ) -> StreamedResponse | ExchangeError:
        """The response once its headers have come; `fresh` uses no idle connection.

        An error is returned, not raised: its traceback would carry frames of the library.
        """
        progress.begin()
        began, response = time.monotonic(), None
        pooled: _PooledConnection | None = None
        try:
            origin = encoded.request.url.origin
            pooled = (None if fresh else await self._idle_connection(origin)) or self._new_connection(origin)
            pooled.network.progress = progress
            response = await pooled.http.handle_async_request(encoded.request)
            progress.phase = "body"
            return StreamedResponse(self, pooled, response, progress, known(encoded.credentials))
        except Exception as error:  # noqa: BLE001 - a patched or exhausted machine may raise anything
            failure = failure_of(error, progress, proxied=self._proxy is not None)
            fast = time.monotonic() - began < _RACE_S
            progress.stale = failure.reason == "connection_cut" and not (progress.fresh or progress.heard) and fast
            return failure
        finally:
            if response is None and pooled is not None:
                await pooled.network.aclose()

    async def release(self, pooled: _PooledConnection) -> None:
        """Keep the connection if its answer came whole, else close it."""
        if pooled.http.is_idle() and not self._closed:
            self.idle.append(pooled)
        else:
            await pooled.network.aclose()

    async def close_idle(self) -> None:
        """Close the idle connections."""
        while self.idle:
            await self.idle.pop().http.aclose()

    async def aclose(self) -> None:
        """Close the idle connections now, and each other one when its request ends."""
        self._closed = True
        await self.close_idle()

    async def _idle_connection(self, origin: Any) -> _PooledConnection | None:
        """The idle connection used last that leads to the origin: a provider may have several hosts."""
        while self.idle and self.idle[0].http.has_expired():
            await self.idle.popleft().http.aclose()
        while pooled := next((one for one in reversed(self.idle) if one.http.can_handle_request(origin)), None):
            self.idle.remove(pooled)
            if not pooled.http.has_expired():
                return pooled
            await pooled.http.aclose()
        return None

    def _new_connection(self, origin: Any) -> _PooledConnection:
        network = Connection(self.core)
        library_pool = self.core.AsyncConnectionPool(
            ssl_context=self._tls, proxy=self._proxy, keepalive_expiry=_KEPT_S, network_backend=network
        )
        return _PooledConnection(network, library_pool.create_connection(origin))


class StreamedResponse:
    """Response whose body is still being read.

    Errors are raised only from frames that hold no bytes in which the key may still be.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        pooled: _PooledConnection,
        response: Any,
        progress: RequestProgress,
        secrets: Secrets,
    ) -> None:
        self.status: int = response.status
        self._pool, self._pooled, self._response = pool, pooled, response
        self._progress, self._secrets = progress, secrets
        self._failure: ExchangeError | None = None
        self._body: AsyncGenerator[bytes, None] | None = None

    def headers(self) -> Mapping[str, str]:
        """Names in lower case, values without the key; repeated headers are joined (RFC 9110, 5.3)."""
        found: dict[str, str] = {}
        together = b"\n".join([value for _, value in self._response.headers])
        echoed = self._secrets.data(together) is not together
        for name, value in self._response.headers:
            key, text = name.decode("latin-1").lower(), _text(self._secrets.data(value) if echoed else value)
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    def chunks(self, limit: BodyLimit, encoding: str) -> AsyncGenerator[bytes, None]:
        """The body: decoded, limited, without the key."""
        self._body = self._limited(limit, encoding.strip().lower())
        return self._body

    async def aclose(self) -> None:
        """End the response. A connection whose answer was not read to its end is closed."""
        try:
            if self._body is not None:
                await self._body.aclose()
            with suppress(Exception):  # the body's reader has raised what matters
                await self._response.aclose()
        finally:
            await self._pool.release(self._pooled)

    async def _limited(self, limit: BodyLimit, encoding: str) -> AsyncGenerator[bytes, None]:
        if encoding not in {"", "identity", "gzip"}:
            raise ProviderFailure("bad_encoding", "content-encoding other than one layer of gzip", phase="headers")
        async with aclosing(self._clean(GzipDecoder() if encoding == "gzip" else None)) as chunks:
            async for chunk in chunks:
                limit.feed(chunk)
                yield chunk
        if self._failure is not None:
            raise self._failure

    async def _clean(self, gzip: GzipDecoder | None) -> AsyncGenerator[bytes, None]:
        """Decoded chunks without the key; an error that ends them early is kept in `_failure`."""
        stream = self._secrets.stream()
        try:
            async with aclosing(aiter(self._response.stream)) as raws:
                async for raw in raws:
                    for chunk in gzip.feed(raw) if gzip else (raw,):
                        if clean := stream.feed(chunk):
                            yield clean
                    if gzip and gzip.problem:
                        break
        except Exception as error:  # noqa: BLE001 - as in `send`
            self._failure = failure_of(error, self._progress)
        if rest := stream.finish():
            yield rest
        if gzip and self._failure is None:
            gzip.finish()
            if gzip.problem:
                self._failure = ProviderFailure("bad_encoding", gzip.problem, phase="body")


def _text(value: bytes) -> str:
    """A header's value: UTF-8 if it is valid, else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
