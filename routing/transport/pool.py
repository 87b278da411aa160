"""Connection pool, and the response of a request while its body is being read.

The connections are httpcore's, the part of httpx below its client (docs/decisions.md). Each exception is translated
into an error of this package (failures.py), without the exception's text and frames.
"""

from __future__ import annotations

import ssl
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from ..errors import ExchangeError, ProviderFailure
from ..redaction import Secrets
from ..types import LOOPBACK
from .connection import Connection
from .failures import RequestProgress, failure_of
from .limits import BodyLimit, GzipDecoder

_KEPT_S = 30.0
"""Seconds after which an idle connection is closed."""
_RACE_S = 1.0
"""Seconds. If a kept connection fails within this time, the server had closed it, and the request is sent again. After
a later failure it is not sent again, because it may have reached the server."""


class ConnectionPool:
    """Pool of connections, kept by origin. Of the idle ones, the one that was used last is used again first.

    `core` is the module httpcore or httpcore2, `proxy` a `Proxy` of that module or None. Requests to this machine use
    no proxy.
    """

    def __init__(self, core: Any, tls: ssl.SSLContext, proxy: Any = None) -> None:
        self.core = core
        self.idle: defaultdict[str, deque[Connection]] = defaultdict(deque)
        self._tls, self._proxy = tls, proxy
        self._closed = False

    async def send(self, request: Any, secrets: Secrets, progress: RequestProgress) -> StreamedResponse | ExchangeError:
        """Send the library's request, and return the response once its headers have come.

        `secrets` are the keys in the request; they are removed from the response. The request is sent once more, on a
        new connection, if a kept connection turns out to be closed. An error is returned, not raised: its traceback
        would carry frames of the library.
        """
        idle = self.idle[str(request.url.origin)]
        while idle and idle[0].http.has_expired():
            await idle.popleft().aclose()
        while idle:
            kept = idle.pop()
            if kept.http.has_expired():  # the server has closed it, or has sent bytes that no request asked for
                await kept.aclose()
                continue
            began = time.monotonic()
            sent = await self._send_on(kept, request, secrets, progress)
            cut = isinstance(sent, ExchangeError) and sent.reason == "connection_cut" and not progress.heard
            if not cut or time.monotonic() - began > _RACE_S:
                return sent
            await _close(idle)  # the server may have closed these as well
            break
        return await self._send_on(self._new_connection(request.url.origin), request, secrets, progress)

    async def release(self, connection: Connection) -> None:
        """Keep the connection for another request if its answer was read to the end, else close it."""
        if connection.http.is_idle() and not self._closed:
            self.idle[connection.origin].append(connection)
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close the idle connections now, and each of the others when its request ends."""
        self._closed = True
        for idle in self.idle.values():
            await _close(idle)

    def _new_connection(self, origin: Any) -> Connection:
        proxy = None if origin.host.decode() in LOOPBACK else self._proxy
        connection = Connection(self.core, str(origin), proxied=proxy is not None)
        library_pool = self.core.AsyncConnectionPool(
            ssl_context=self._tls, proxy=proxy, keepalive_expiry=_KEPT_S, network_backend=connection
        )
        connection.http = library_pool.create_connection(origin)
        return connection

    async def _send_on(
        self, connection: Connection, request: Any, secrets: Secrets, progress: RequestProgress
    ) -> StreamedResponse | ExchangeError:
        progress.begin()
        connection.progress, response = progress, None
        try:
            response = await connection.http.handle_async_request(request)
            progress.phase, progress.proxy = "body", False
            return StreamedResponse(self, connection, response, secrets)
        except Exception as error:  # noqa: BLE001 - a patched or exhausted machine may raise anything
            return failure_of(error, progress)
        finally:
            if response is None:
                await connection.aclose()


async def _close(idle: deque[Connection]) -> None:
    while idle:
        await idle.pop().aclose()


class StreamedResponse:
    """Response whose body is still being read. `headers` have names in lower case and contain no key.

    A frame that raises an error holds no bytes in which the key may still be, because a traceback keeps frames.
    """

    def __init__(self, pool: ConnectionPool, connection: Connection, response: Any, secrets: Secrets) -> None:
        self.status: int = response.status
        self.headers: dict[str, str] = {}
        self._pool, self._connection, self._response, self._secrets = pool, connection, response, secrets
        self._failure: ExchangeError | None = None
        values = secrets.data(b"\n".join([value for _, value in response.headers])).split(b"\n")
        for (name, _), value in zip(response.headers, values, strict=False):
            key, text = name.decode("latin-1").lower(), _text(value)
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text  # RFC 9110, 5.3

    async def aclose(self) -> None:
        """End the response. A connection whose answer was not read to its end is closed."""
        try:
            with suppress(Exception):  # the body's reader has raised what matters
                await self._response.aclose()
        finally:
            await self._pool.release(self._connection)

    async def chunks(self, limit: BodyLimit) -> AsyncGenerator[bytes, None]:
        """The body in pieces: decoded, without the key, and counted by `limit`.

        Raises ExchangeError if the body exceeds a limit, cannot be decoded or ends early.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
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
            self._failure = failure_of(error, self._connection.progress)
        if rest := stream.finish():
            yield rest
        if gzip and self._failure is None:
            gzip.finish()
            if gzip.problem:
                self._failure = ProviderFailure("bad_encoding", gzip.problem, phase="body")


def _text(value: bytes) -> str:
    """The value of a header as text: UTF-8 if it is valid, else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
