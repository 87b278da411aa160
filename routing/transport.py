"""Bounded HTTP: the only room that knows the HTTP library, and only when the first client is made.

httpx2, the maintained continuation of httpx, is taken where it is installed, httpx otherwise (docs/decisions.md). The
defaults of both are unsafe for a client that holds keys, so here: a total deadline, no redirects, no proxy or netrc from
the environment, one layer of gzip at most, caps on what is decoded (bounds.py). A key goes to its provider's hosts only,
never over plain http except to this machine, and is taken out of whatever comes back (redaction.py). Nothing is sent
twice, except once where the server turns out to have closed a kept connection before it answered.

`KIMIPROBE_PROXY` (`http://host:port`) names a proxy for all that leaves this machine.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .bounds import MAX_BODY, MAX_STREAM, Gauge, Gunzip
from .errors import AccountError, ConfigError, ExchangeError, ProviderFailure, RequestRejected
from .failures import Progress, failure_of, forget_frames, timed_out
from .redaction import LogFilter, Secrets, known

if TYPE_CHECKING:
    import httpx2 as httpx

TIMEOUT_S = 600.0
PER_CLIENT = 20
"""Requests a client at once: the pool of httpx walks all its connections on each request (docs/decisions.md)."""
PROXY_VARIABLE = "KIMIPROBE_PROXY"
_RACE_S = 1.0
"""A kept connection that the server had closed fails within a round trip; one that fails later was worked on."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "keep-alive", "User-Agent": "kimiprobe"}
_log_filter = LogFilter()


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, key included; its repr shows the host alone.

    `hosts` are those that credentials in `headers` may go to, beside this machine.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes
    hosts: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {urlsplit(self.url).hostname})"

    @property
    def credentials(self) -> frozenset[str]:
        """Values of the headers that carry a key, without their scheme."""
        carrying = (value for name, value in self.headers.items() if name.lower() in _CREDENTIALS)
        return frozenset(value.rpartition(" ")[2] for value in carrying)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status and headers (names in lower case); the body comes by `chunks`, decoded, capped and free of the key."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport:
    """Clients by provider, made on first use; all methods belong to one event loop (routing/loop.py).

    `proxy` is a URL, `KIMIPROBE_PROXY` by default; "" is none. `reconnects` counts the kept connections that the server
    had closed, by shard. Raises ConfigError for a proxy that is no URL.
    """

    def __init__(self, *, max_body: int = MAX_BODY, max_stream: int = MAX_STREAM, proxy: str | None = None) -> None:
        self._max_body, self._max_stream = max_body, max_stream
        self._proxy = _checked_proxy(os.environ.get(PROXY_VARIABLE, "") if proxy is None else proxy)
        self._shards: dict[_Place, list[_Client]] = {}
        self._http: Any = None
        self._tls: ssl.SSLContext | None = None
        self.reconnects: Counter[str] = Counter()

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, shard: str, timeout_s: float = TIMEOUT_S, progress: Progress | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send, and give status and headers as soon as they are there; the body within the `async with`.

        `timeout_s` is total, from here to the end of the `async with`; `progress` shows how far it has come. Raises ProviderFailure for deadline, connection,
        TLS, protocol and size, RequestRejected and AccountError for what may not or cannot be sent.
        """
        progress = progress or Progress()
        sent: _Sent | None = None
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                sent = await self._sent(request, shard, progress)
                yield sent.response(self._max_body, self._max_stream)
        except TimeoutError as error:
            if not deadline.expired():
                raise  # the caller's own
            forget_frames(error)
            raise timed_out(timeout_s, progress.phase) from None
        finally:
            if sent is not None:
                await sent.aclose()

    async def pause(self, seconds: float) -> None:
        """Wait until the next request of an exchange is due."""
        await asyncio.sleep(seconds)

    def warm(self) -> None:
        """Do what the first request would else wait for: import the library, read the certificates."""
        if self._tls is None:
            self._http = self._http or library()
            self._tls = self._http.create_ssl_context()
            _keep_keys_out_of_logs(self._http.__name__)

    async def aclose(self) -> None:
        """Close all clients."""
        clients = [client for shard in self._shards.values() for client in shard]
        self._shards.clear()
        await asyncio.gather(*(client.aclose() for client in clients))

    async def _sent(self, request: HttpRequest, shard: str, progress: Progress) -> _Sent:
        self._http = self._http or library()
        place = _Place(shard, local=_checked(request, self._http))
        client = self._client(place)
        sent = await client.send(request, progress)
        if progress.stale:
            self.reconnects[shard] += 1
            await self._retire(place, client)
            sent = await self._new_client(place).send(request, progress)
        if isinstance(sent, ExchangeError):
            raise sent
        return sent

    def _client(self, place: _Place) -> _Client:
        for client in self._shards.get(place, ()):
            if client.busy < PER_CLIENT:
                return client
        return self._new_client(place)

    def _new_client(self, place: _Place) -> _Client:
        self.warm()
        assert self._tls is not None  # noqa: S101 - for the type checker
        client = _Client(self._http, self._tls, "" if place.local else self._proxy)
        self._shards.setdefault(place, []).append(client)
        return client

    async def _retire(self, place: _Place, client: _Client) -> None:
        """Never use it again; its other connections may be closed as well."""
        clients = self._shards.get(place, [])
        if client in clients:
            clients.remove(client)
            await client.retire()


@dataclass(frozen=True, slots=True)
class _Place:
    """What clients are kept by."""

    shard: str
    local: bool


class _Client:
    """One client of the library, with the requests it carries now."""

    def __init__(self, http: Any, tls: ssl.SSLContext, proxy: str) -> None:
        self.busy = 0
        self.errors = (http.HTTPError, http.StreamError, http.InvalidURL, OSError, UnicodeError)
        self._proxied, self._retired = bool(proxy), False
        self._http = http
        self._client: httpx.AsyncHTTPTransport = http.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            proxy=proxy or None,
            limits=http.Limits(max_connections=PER_CLIENT, max_keepalive_connections=PER_CLIENT, keepalive_expiry=30.0),
        )

    async def send(self, request: HttpRequest, progress: Progress) -> _Sent | ExchangeError:
        """The response once its headers are there, or why not: raised here, an error would carry the library's frames."""
        _log_filter.learn(request.credentials)
        progress.begin()
        self.busy += 1
        began, sent = time.monotonic(), None
        try:
            sent = await self._client.handle_async_request(self._built(request, progress))
        except self.errors as error:
            failure = failure_of(error, progress, proxied=self._proxied)
            fast = time.monotonic() - began < _RACE_S
            progress.stale = failure.reason == "connection_cut" and not progress.fresh and fast
            return failure
        finally:
            if sent is None:
                await self._abandon(progress)
        return _Sent(self, sent, progress, known(request.credentials))

    def _built(self, request: HttpRequest, progress: Progress) -> httpx.Request:
        url, content = _url(self._http, request.url), request.content
        headers = {**_HEADERS, "Host": url.netloc.decode("ascii"), **request.headers}
        if content or request.method == "POST":
            headers["Content-Length"] = str(len(content))
        stream, heard = self._http.ByteStream(content), {"trace": progress.hear}
        built: httpx.Request = self._http.Request(request.method, url, headers=headers, stream=stream, extensions=heard)
        return built

    async def _abandon(self, progress: Progress) -> None:
        try:
            if progress.opening is not None:
                await progress.opening.aclose()
        finally:
            await self.release()

    async def release(self) -> None:
        """One request less."""
        self.busy -= 1
        if self._retired and not self.busy:
            await self.aclose()

    async def retire(self) -> None:
        """Close as soon as nothing is on its way."""
        self._retired = True
        if not self.busy:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


class _Sent:
    """A response on its way.

    Errors are raised where no frame of the traceback holds bytes that the key was not yet taken out of.
    """

    def __init__(self, client: _Client, response: httpx.Response, progress: Progress, secrets: Secrets) -> None:
        self._client, self._response, self._progress, self._secrets = client, response, progress, secrets
        self._failure: ExchangeError | None = None
        self._body: AsyncGenerator[bytes, None] | None = None

    def response(self, max_body: int, max_stream: int) -> HttpResponse:
        """Headers and body, both free of the key."""
        headers = {name.lower(): self._secrets.text(value) for name, value in self._response.headers.items()}
        status = self._response.status_code
        stream = is_event_stream(status, headers)
        gauge = Gauge(stream=stream, max_bytes=max_stream if stream else max_body)
        self._body = self._measured(gauge, headers.get("content-encoding", "").strip().lower())
        return HttpResponse(status, headers, self._body)

    async def aclose(self) -> None:
        """End it; an answer that was not read to its end costs its connection."""
        try:
            if self._body is not None:
                await self._body.aclose()
            with suppress(*self._client.errors):
                await self._response.aclose()
        finally:
            await self._client.release()

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
            async with aclosing(self._response.aiter_raw()) as raws:
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


def is_event_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a body is to be read as server-sent events; header names in lower case."""
    return status == 200 and headers.get("content-type", "").strip().lower().startswith("text/event-stream")


def library() -> Any:
    """The HTTP library in use: httpx2 where it is installed, else httpx; `KIMIPROBE_HTTP` names one of the two."""
    wanted = os.environ.get("KIMIPROBE_HTTP")
    if wanted in {"httpx", "httpx2"}:
        return importlib.import_module(wanted)
    try:
        return importlib.import_module("httpx2")
    except ModuleNotFoundError:
        return importlib.import_module("httpx")


def _checked(request: HttpRequest, http: Any) -> bool:
    """Whether the request stays on this machine. Raises where it cannot be written, or would carry a key elsewhere."""
    keyed = bool(request.credentials)
    unwritable = [name for name, value in request.headers.items() if not (value.isascii() and value.isprintable())]
    if _CREDENTIALS.intersection(map(str.lower, unwritable)):
        raise AccountError("no_key", "the key holds a character that no key has", phase="send")
    if unwritable:
        raise RequestRejected("bad_request", "a header holds a character that no header may hold", phase="send")
    url = _url(http, request.url)
    if not url.host or url.scheme not in {"http", "https"} or url.userinfo:
        raise RequestRejected("bad_request", "not a URL that requests can go to", phase="send")
    local = url.host in _LOOPBACK
    if keyed and not local and url.scheme != "https":
        raise RequestRejected("bad_request", "a key goes over https only", phase="send")
    if keyed and not local and url.host not in request.hosts:
        allowed = ", ".join(sorted(request.hosts)) or "no host"
        raise RequestRejected("bad_request", f"this key may go to {allowed}, not to {url.host}", phase="send")
    return local


@functools.lru_cache(maxsize=64)
def _url(http: Any, text: str) -> Any:
    """The library's URL; an empty one for what is none."""
    try:
        return http.URL(text)
    except (http.InvalidURL, UnicodeError):
        return http.URL("")


def _checked_proxy(url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
        right = not url or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:  # brackets without end, a port that is none
        right = False
    if not right or not (url.isascii() and url.isprintable()):
        raise ConfigError("must be http://host:port or https://host:port", where=PROXY_VARIABLE) from None
    return url


def _keep_keys_out_of_logs(library_name: str) -> None:
    """At DEBUG the libraries log response headers, in which a host may echo the key, and at INFO whole URLs."""
    core = library_name.replace("httpx", "httpcore")
    for name in (library_name, *(f"{core}.{part}" for part in ("connection", "http11", "http2", "proxy", "socks"))):
        logging.getLogger(name).addFilter(_log_filter)
