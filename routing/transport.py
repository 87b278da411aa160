"""Bounded HTTP: the only room that knows the HTTP library, and only when the first client is made.

httpx2, the maintained continuation of httpx, is taken where it is installed, httpx otherwise (docs/decisions.md). The
defaults of both are unsafe for a client that holds keys, so here: no redirects, no proxy or netrc from the environment,
one layer of gzip at most, a cap on the decoded body. The total deadline is the caller's `asyncio.timeout`.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ProviderFailure, RequestRejected

if TYPE_CHECKING:
    import httpx2 as httpx

MAX_BODY = 16 << 20
"""Decoded bytes of one answer. The largest honest answer (200k tokens) is about 1 MB."""
PER_CLIENT = 20
"""Requests a client at once: the pool of httpx walks all its connections on each request (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, key included; its repr shows neither headers nor body."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status and headers (names in lower case); the body comes by `chunks`, decoded and capped."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport:
    """Clients by provider, made on first use; all methods belong to one event loop."""

    def __init__(self, *, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._shards: dict[str, list[_Client]] = {}
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def send(self, request: HttpRequest, *, shard: str) -> AsyncIterator[HttpResponse]:
        """Send, and give status and headers as soon as they are there.

        Raises ProviderFailure for connection, TLS, protocol and size failures, RequestRejected for a request that
        cannot be written. Cancel it (`asyncio.timeout`) at any point.
        """
        http = library()
        client = self._client(shard, http)
        client.busy += 1
        try:
            async with client.http.stream(
                request.method, request.url, headers=dict(request.headers), content=request.content
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                yield HttpResponse(response.status_code, headers, _decoded(response, headers, self._max_body))
        except http.ConnectError as error:
            raise _connect_failure(error) from None
        except http.LocalProtocolError:
            # Its message may quote a header, and with it the key.
            raise RequestRejected("bad_request", "the request cannot be written as HTTP", phase="send") from None
        except http.TimeoutException:
            raise ProviderFailure("timeout", phase="connect", retryable=True) from None
        except (http.TransportError, http.StreamError) as error:
            raise ProviderFailure("connection_cut", type(error).__name__, phase="body", retryable=True) from None
        finally:
            client.busy -= 1

    async def aclose(self) -> None:
        """Close all clients."""
        clients = [client for shard in self._shards.values() for client in shard]
        self._shards.clear()
        await asyncio.gather(*(client.http.aclose() for client in clients))

    def _client(self, shard: str, http: Any) -> _Client:
        clients = self._shards.setdefault(shard, [])
        for client in clients:
            if client.busy < PER_CLIENT:
                return client
        if self._tls is None:
            self._tls = http.create_ssl_context()
        clients.append(_Client(_new_client(http, self._tls)))
        return clients[-1]


@dataclass(slots=True)
class _Client:
    http: httpx.AsyncClient
    busy: int = 0


def library() -> Any:
    """The HTTP library in use: httpx2 where it is installed, else httpx; `KIMIPROBE_HTTP` names one of the two."""
    wanted = os.environ.get("KIMIPROBE_HTTP")
    if wanted in {"httpx", "httpx2"}:
        return importlib.import_module(wanted)
    try:
        return importlib.import_module("httpx2")
    except ModuleNotFoundError:
        return importlib.import_module("httpx")


def _new_client(http: Any, tls: ssl.SSLContext) -> httpx.AsyncClient:
    client: httpx.AsyncClient = http.AsyncClient(
        verify=tls,
        trust_env=False,
        follow_redirects=False,
        timeout=None,
        limits=http.Limits(max_connections=PER_CLIENT, max_keepalive_connections=PER_CLIENT, keepalive_expiry=30.0),
        headers={"Accept-Encoding": "identity", "User-Agent": "kimiprobe"},
    )
    return client


async def _decoded(response: httpx.Response, headers: Mapping[str, str], cap: int) -> AsyncIterator[bytes]:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip"}:
        raise ProviderFailure("bad_encoding", "content-encoding other than one layer of gzip", phase="headers")
    gunzip = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    total = 0
    async for raw in response.aiter_raw():
        for chunk in _inflated(gunzip, raw, cap + 1 - total) if gunzip else (raw,):
            total += len(chunk)
            if total > cap:
                raise ProviderFailure("body_too_large", f"more than {cap} bytes", phase="body")
            yield chunk


def _inflated(gunzip: Any, raw: bytes, limit: int) -> tuple[bytes, ...]:
    """At most `limit` decoded bytes, so that a bomb cannot unfold."""
    try:
        return (gunzip.decompress(raw, max(limit, 1)),)
    except zlib.error:
        raise ProviderFailure("bad_encoding", "declared gzip, but is not", phase="body") from None


def _connect_failure(error: BaseException) -> ProviderFailure:
    """Refused, unresolvable, TLS: read from the chain of causes, since both libraries fold them into one class."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return ProviderFailure("connect_refused", phase="connect", retryable=True)
        if isinstance(cause, socket.gaierror):
            return ProviderFailure("dns", phase="connect", retryable=True)
        if isinstance(cause, ssl.SSLError):
            return ProviderFailure("tls", _tls_words(cause), phase="connect")
        cause = cause.__cause__ or cause.__context__
    refused = "refused" in str(error).lower() or "all connection attempts failed" in str(error).lower()
    return ProviderFailure("connect_refused" if refused else "connect_failed", phase="connect", retryable=True)


def _tls_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.reason or "handshake failed"
