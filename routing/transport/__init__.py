"""Sends HTTP requests with limits on time and size. The HTTP library is imported with the first request, and only here.

The library is httpx2, the maintained continuation of httpx, if it is installed, else httpx (docs/decisions.md). This
package uses the library's URLs, its certificates and the connections below its client. The defaults of both libraries'
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
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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
        self._http: Any = None
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
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                pool = self.warm()
                encoded = _encoded(request, self._http, pool.core)
                sent = await pool.send(encoded, known(request.credentials), progress)
                if isinstance(sent, ExchangeError):
                    raise sent
                stream = is_event_stream(sent.status, sent.headers)
                limit = BodyLimit(stream=stream, max_bytes=MAX_STREAM if stream else self._max_body)
                async with aclosing(sent.chunks(limit)) as chunks:
                    yield HttpResponse(sent.status, sent.headers, chunks)
        except TimeoutError as error:
            if timeout_s is None or not deadline.expired():
                raise  # raised by the caller's code
            forget_frames(error)
            raise timed_out(timeout_s, progress.phase) from None
        finally:
            if isinstance(sent, StreamedResponse):
                await sent.aclose()

    async def pause(self, seconds: float) -> None:
        """Wait `seconds` before the next request of an exchange."""
        await asyncio.sleep(seconds)

    def warm(self) -> ConnectionPool:
        """The connection pool, created by the first call.

        That call imports the HTTP library and reads the certificates. An early call saves the first request this time.
        """
        if self._pool is None:
            http = self._http = self._http or library()
            core = importlib.import_module(http.__name__.replace("httpx", "httpcore"))
            with suppress(ImportError):
                importlib.import_module("anyio._backends._asyncio")  # the library's locks are anyio's
            for part in ("connection", "http11", "http2", "proxy", "socks"):
                # At DEBUG the library logs response headers, in which a host may echo the key.
                logging.getLogger(f"{core.__name__}.{part}").addFilter(_log_filter)
            proxy = _core_proxy(core, http.Proxy(self._proxy)) if self._proxy else None
            self._pool = ConnectionPool(core, http.create_ssl_context(), proxy)
        return self._pool

    async def aclose(self) -> None:
        """Close the pool. Requests in flight go on, and close their connections when they end."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()


def is_event_stream(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a response with this status and these headers is a stream of server-sent events.

    The names in `headers` must be in lower case.
    """
    return status == 200 and headers.get("content-type", "").strip().lower().startswith("text/event-stream")


def library() -> Any:
    """The HTTP library in use: httpx2 if it is installed, else httpx; `KIMIPROBE_HTTP` names one of the two."""
    wanted = os.environ.get("KIMIPROBE_HTTP")
    if wanted in {"httpx", "httpx2"}:
        return importlib.import_module(wanted)
    try:
        return importlib.import_module("httpx2")
    except ModuleNotFoundError:
        return importlib.import_module("httpx")


def _encoded(request: HttpRequest, http: Any, core: Any) -> Any:
    """The request in the library's form.

    Raises RequestRejected or AccountError if it cannot be encoded, or would carry a key to another host.
    """
    _check_headers(request)
    url, content, credentials = _url(http, request.url), request.content, request.credentials
    if not url.host or url.scheme not in {"http", "https"} or url.userinfo:
        raise RequestRejected("bad_request", "not a URL that requests can go to", phase="send")
    if credentials and url.host not in LOOPBACK:
        _check_host(url, request.hosts)
    headers = {**_HEADERS, "Host": url.netloc.decode("ascii"), **request.headers}
    if content or request.method == "POST":
        headers["Content-Length"] = str(len(content))
    written = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    _log_filter.learn(credentials)
    return core.Request(request.method, _core_url(core, url), headers=written, content=content)


def _check_headers(request: HttpRequest) -> None:
    unwritable = [name for name, value in request.headers.items() if not (value.isascii() and value.isprintable())]
    if _CREDENTIALS.intersection(map(str.lower, unwritable)):
        raise AccountError("no_key", "the key holds a character that no key has", phase="send")
    if unwritable:
        raise RequestRejected("bad_request", "a header holds a character that no header may hold", phase="send")


def _check_host(url: Any, hosts: frozenset[str]) -> None:
    if url.scheme != "https":
        raise RequestRejected("bad_request", "a key goes over https only", phase="send")
    if url.host not in hosts:
        allowed = ", ".join(sorted(hosts)) or "no host"
        raise RequestRejected("bad_request", f"this key may go to {allowed}, not to {url.host}", phase="send")


def _core_url(core: Any, url: Any) -> Any:
    return core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _core_proxy(core: Any, proxy: Any) -> Any:
    """The proxy in the form of the library's connections; its URL may hold user and password."""
    return core.Proxy(url=_core_url(core, proxy.url), auth=proxy.raw_auth, headers=proxy.headers.raw)


@functools.lru_cache(maxsize=64)
def _url(http: Any, text: str) -> Any:
    """`text` as a URL of the library; an empty URL if `text` is not a URL."""
    try:
        return http.URL(text)
    except (http.InvalidURL, UnicodeError):
        return http.URL("")


def _checked_proxy(url: str) -> str:
    url = url.strip()
    with suppress(ValueError):  # an unclosed bracket, or a port that is not a number
        parts = urlsplit(url)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        if not url or (right and url.isascii() and url.isprintable()):
            return url
    raise ConfigError("must be http://host:port or https://host:port", where=PROXY_VARIABLE)
