"""Sends HTTP requests with limits on time and size. The HTTP library is imported with the first request, and only here.

The library is httpx2, the maintained continuation of httpx, if it is installed, else httpx (docs/decisions.md). This
package uses only the part below its client: the connections of httpcore2 or httpcore. The defaults of both libraries'
clients are unsafe for requests that carry keys. This transport has a total deadline, at most one layer of gzip, and
limits on decoded bytes (limits.py). It follows no redirects, and reads no proxy or netrc from the environment. A key
goes to its provider's hosts only, never over plain http except to this machine, and is removed from everything that
comes back (redaction.py). A request is sent once. If the server had closed a kept connection before it answered, the
request is sent once more.

`KIMIPROBE_PROXY` (`http://host:port`) names a proxy for all requests that leave this machine.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from ..errors import AccountError, ConfigError, ExchangeError, RequestRejected
from ..redaction import LogFilter, known
from ..types import LOOPBACK
from .failures import RequestProgress, forget_frames, timed_out
from .limits import MAX_BODY, MAX_STREAM, BodyLimit
from .pool import ConnectionPool, StreamedResponse

TIMEOUT_S = 600.0
"""Total deadline of a request in seconds, if the caller gives none."""
PROXY_VARIABLE = "KIMIPROBE_PROXY"
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "keep-alive", "User-Agent": "kimiprobe"}
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_UNQUOTED = "%/:?#[]@!$&'()*+,;=~-._"
"""The characters of a path or query that are sent as they are."""
_log_filter = LogFilter()


@dataclass(frozen=True, slots=True, eq=False)
class HttpRequest:
    """One HTTP request, including the key in its headers. Its repr shows only the method and the host.

    `hosts` are the hosts that credentials in `headers` may be sent to, beside this machine.
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
        """Values of the headers that carry a key, without their scheme (such as `Bearer`)."""
        carrying = (value for name, value in self.headers.items() if name.lower() in _CREDENTIALS)
        return frozenset(value.rpartition(" ")[2] for value in carrying)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP response: status, headers with names in lower case, and the body as `chunks`.

    The chunks are decoded, limited in size, and do not contain the request's key.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport:
    """Sends requests through one connection pool. All its methods must be called on one event loop (event_loop.py).

    `proxy` is a URL, `KIMIPROBE_PROXY` by default; "" means none. Raises ConfigError for a proxy that is not a URL.
    """

    def __init__(self, *, max_body: int = MAX_BODY, proxy: str | None = None) -> None:
        self._max_body = max_body
        self._proxy = _checked_proxy(os.environ.get(PROXY_VARIABLE, "") if proxy is None else proxy)
        self._pool: ConnectionPool | None = None

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, timeout_s: float | None = TIMEOUT_S, progress: RequestProgress | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send the request, and yield the response as soon as status and headers have come.

        The body must be read within the `async with`. `timeout_s` is the total time from the call to the end of the
        `async with`; None if the caller sets a deadline. `progress` shows how far the request has come. Raises
        ProviderFailure for deadline, connection, TLS, protocol and size. Raises RequestRejected or AccountError for a
        request that must not or cannot be sent.
        """
        progress = progress or RequestProgress()
        sent: StreamedResponse | ExchangeError | None = None
        deadline = None if timeout_s is None else asyncio.timeout(timeout_s)
        try:
            async with nullcontext() if deadline is None else deadline:
                pool, credentials = self.pool(), request.credentials
                encoded = _encoded(request, pool.core, credentials)
                sent = await pool.send(encoded, known(credentials), progress)
                if isinstance(sent, ExchangeError):
                    raise sent
                stream = is_event_stream(sent.status, sent.headers)
                limit = BodyLimit(stream=stream, max_bytes=MAX_STREAM if stream else self._max_body)
                async with aclosing(sent.chunks(limit)) as chunks:
                    yield HttpResponse(sent.status, sent.headers, chunks)
        except TimeoutError as error:
            if timeout_s is None or deadline is None or not deadline.expired():
                raise  # raised by the caller's code
            forget_frames(error)
            raise timed_out(timeout_s, progress) from None
        finally:
            if isinstance(sent, StreamedResponse):
                await sent.aclose()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds` before the next request of an exchange."""
        await asyncio.sleep(seconds)

    def pool(self) -> ConnectionPool:
        """The connection pool, created by the first call, which imports the HTTP library."""
        if self._pool is None:
            core = library()
            with suppress(ImportError):
                importlib.import_module("anyio._backends._asyncio")  # the library's locks are anyio's
            for part in ("connection", "http11", "http2", "proxy", "socks"):
                # At DEBUG the library logs response headers, in which a host may echo the key.
                logging.getLogger(f"{core.__name__}.{part}").addFilter(_log_filter)
            self._pool = ConnectionPool(core, _core_proxy(core, self._proxy) if self._proxy else None)
        return self._pool

    def warm(self) -> ConnectionPool:
        """The connection pool, with the certificates that requests over https need.

        An early call saves the first request the time of imports and of reading certificates.
        """
        pool = self.pool()
        pool.tls()
        return pool

    def close(self) -> None:
        """Close the pool. Requests in flight go on, and close their connections when they end."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def aclose(self) -> None:
        """Close the transport as `close` does, but as a coroutine, to be run as an event loop's last work."""
        self.close()


def is_event_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a response with this status and these headers is a stream of server-sent events.

    The names in `headers` must be in lower case.
    """
    return status == 200 and headers.get("content-type", "").strip().lower().startswith("text/event-stream")


def library() -> Any:
    """The part in use of the HTTP library: httpcore2 if it is installed, else httpcore.

    `KIMIPROBE_HTTP` names one of their clients, httpx2 or httpx. Raises ConfigError for another value.
    """
    wanted = os.environ.get("KIMIPROBE_HTTP", "").strip()
    if wanted not in {"", "httpx", "httpx2"}:
        raise ConfigError(f"must be httpx2 or httpx, not {wanted[:40]!r}", where="KIMIPROBE_HTTP")
    if wanted:
        return importlib.import_module(wanted.replace("httpx", "httpcore"))
    try:
        return importlib.import_module("httpcore2")
    except ModuleNotFoundError:
        return importlib.import_module("httpcore")


def _encoded(request: HttpRequest, core: Any, credentials: frozenset[str]) -> Any:
    """The request in the library's form.

    Raises RequestRejected or AccountError if it cannot be encoded, or would carry a key to another host.
    """
    _check_headers(request)
    url, content = _url(core, request.url), request.content
    if url is None:
        raise RequestRejected("bad_request", "not a URL that requests can go to", phase="send")
    if credentials and url.host not in LOOPBACK:
        _check_host(url, request.hosts)
    headers = {**_HEADERS, "Host": url.authority, **request.headers}
    if content or request.method == "POST":
        headers["Content-Length"] = str(len(content))
    written = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    _log_filter.learn(credentials)
    return core.Request(request.method, url.core, headers=written, content=content)


def _check_headers(request: HttpRequest) -> None:
    unwritable = [name for name, value in request.headers.items() if not (value.isascii() and value.isprintable())]
    if _CREDENTIALS.intersection(map(str.lower, unwritable)):
        raise AccountError("no_key", "the key holds a character that no key has", phase="send")
    if unwritable:
        raise RequestRejected("bad_request", "a header holds a character that no header may hold", phase="send")


def _check_host(url: _Url, hosts: frozenset[str]) -> None:
    if url.scheme != "https":
        raise RequestRejected("bad_request", "a key goes over https only", phase="send")
    if url.host not in hosts:
        allowed = ", ".join(sorted(hosts)) or "no host"
        raise RequestRejected("bad_request", f"this key may go to {allowed}, not to {url.host}", phase="send")


class _Url(NamedTuple):
    """A URL that requests can be sent to: its parts, the Host header, and the URL object of the HTTP library."""

    scheme: str
    host: str
    authority: str
    core: Any


@functools.lru_cache(maxsize=64)
def _url(core: Any, text: str) -> _Url | None:
    """The URL in `text`; None if requests cannot go to it."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    wrong = parts.username is not None or parts.scheme not in _PORTS or not _HOST.fullmatch(host)
    if wrong or not text.isprintable() or " " in text:
        return None
    bare = f"[{host}]" if ":" in host else host
    authority = bare if port in {None, _PORTS[parts.scheme]} else f"{bare}:{port}"
    target = quote(parts.path or "/", safe=_UNQUOTED) + (
        f"?{quote(parts.query, safe=_UNQUOTED)}" if parts.query else ""
    )
    return _Url(parts.scheme, host, authority, core.URL(scheme=parts.scheme, host=host, port=port, target=target))


def _core_proxy(core: Any, url: str) -> Any:
    """The proxy in the form of the library's connections; its URL may hold user and password."""
    parts = urlsplit(url)
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username), unquote(parts.password or "")
    return core.Proxy(core.URL(scheme=parts.scheme, host=parts.hostname, port=parts.port, target="/"), auth=auth)


def _checked_proxy(url: str) -> str:
    url = url.strip()
    with suppress(ValueError):  # an unclosed bracket, or a port that is not a number
        parts = urlsplit(url)
        right = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        if not url or (right and url.isascii() and url.isprintable()):
            return url
    url, parts = "", urlsplit("")  # a traceback may be printed with locals
    raise ConfigError("must be http://host:port or https://host:port", where=PROXY_VARIABLE)
