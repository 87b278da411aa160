"""Connection pool, and the response of a request while its body is being read.

The connections are httpcore's, the part of httpx below its client (docs/decisions.md). Each exception is translated
into an error of this package (failures.py), without the exception's text and frames.
"""

from __future__ import annotations

import asyncio
import functools
import os
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
_MOST_CONNECTIONS = 1000
_RACE_S = 1.0
"""Seconds. If a kept connection fails within this time, the server had closed it, and the request is sent again. After
a later failure it is not sent again, because it may have reached the server."""


class ConnectionPool:
    """Pool of connections, kept by origin. Of the idle ones, the one that was used last is used again first.

    `core` is the module httpcore or httpcore2, `proxy` a `Proxy` of that module or None. Requests to this machine use
    no proxy. A request waits while there are as many others as there may be connections.
    """

    def __init__(self, core: Any, proxy: Any = None) -> None:
        self.core = core
        self.idle: defaultdict[str, deque[Connection]] = defaultdict(deque)
        self._proxy = proxy
        self._most = most_connections()
        self._open = 0
        self._turns = asyncio.Semaphore(self._most)
        self._closed = False
        self._tls: ssl.SSLContext | None = None

    @property
    def has_tls(self) -> bool:
        """Whether the TLS settings are made."""
        return self._tls is not None

    def tls(self) -> ssl.SSLContext:
        """The TLS settings; the first call in a process reads the certificates."""
        if self._tls is None:
            files = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
            self._tls = tls_settings(self.core, *files)
        return self._tls

    async def send(self, request: Any, secrets: Secrets, progress: RequestProgress) -> StreamedResponse | ExchangeError:
        """Send the library's request, and return the response once its headers have come.

        `secrets` are the keys in the request; they are removed from the response. The request is sent once more, on a
        new connection, if a kept connection turns out to be closed. An error is returned, not raised: its traceback
        would carry frames of the library.
        """
        progress.queued = True
        await self._turns.acquire()
        progress.queued = False
        sent = None
        try:
            sent = await self._sent(request, secrets, progress)
        finally:
            if not isinstance(sent, StreamedResponse):
                self._turns.release()
        return sent

    async def _sent(
        self, request: Any, secrets: Secrets, progress: RequestProgress
    ) -> StreamedResponse | ExchangeError:
        idle = self.idle[str(request.url.origin)]
        while idle and idle[0].http.has_expired():
            self._close(idle.popleft())
        while idle:
            kept = idle.pop()
            if kept.http.has_expired():  # the server has closed it, or has sent bytes that no request asked for
                self._close(kept)
                continue
            began = time.monotonic()
            sent = await self._send_on(kept, request, secrets, progress)
            cut = isinstance(sent, ExchangeError) and sent.reason == "connection_cut" and not progress.heard
            if not cut or time.monotonic() - began > _RACE_S:
                return sent
            self._close(*idle)  # the server may have closed these as well
            idle.clear()
            break
        if self._open >= self._most:  # this request has its turn, so one of them is idle
            self._close(next(idle for idle in self.idle.values() if idle).popleft())
        return await self._send_on(self._new_connection(request.url.origin), request, secrets, progress)

    def release(self, connection: Connection) -> None:
        """Keep the connection for another request if its answer was read to the end, else close it."""
        self._turns.release()
        if connection.http.is_idle() and not self._closed:
            self.idle[connection.origin].append(connection)
        else:
            self._close(connection)

    def close(self) -> None:
        """Close the idle connections now, and each of the others when its request ends."""
        self._closed = True
        for idle in self.idle.values():
            while idle:
                self._close(idle.pop())

    def _close(self, *connections: Connection) -> None:
        for connection in connections:
            connection.close()
            self._open -= 1

    def _new_connection(self, origin: Any) -> Connection:
        proxy = None if origin.host.decode() in LOOPBACK else self._proxy
        connection = Connection(self.core, str(origin), proxied=proxy is not None)
        https = b"https" in {origin.scheme, proxy and proxy.url.scheme}
        library_pool = self.core.AsyncConnectionPool(
            ssl_context=self.tls() if https else None,
            proxy=proxy,
            keepalive_expiry=_KEPT_S,
            network_backend=connection,
        )
        connection.http = library_pool.create_connection(origin)
        self._open += 1
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
                self._close(connection)


def most_connections() -> int:
    """The most connections of one pool: half of the descriptors that this process may open, and at most 1,000."""
    try:
        import resource  # not on Windows
    except ImportError:
        return _MOST_CONNECTIONS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(_MOST_CONNECTIONS, soft // 2))


@functools.lru_cache(maxsize=8)
def tls_settings(core: Any, file: str | None, folder: str | None) -> ssl.SSLContext:
    """TLS settings with the system's certificates, or those in SSL_CERT_FILE and SSL_CERT_DIR.

    No file gets the keys of TLS sessions (SSLKEYLOGFILE): they would reveal the provider's key.
    """
    if file or folder:
        settings = ssl.create_default_context(cafile=file or None, capath=folder or None)
    else:
        settings = core.default_ssl_context()
    settings.keylog_filename = None  # type: ignore[assignment]  # switches it off
    return settings


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
            self._pool.release(self._connection)

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
