"""Bounded HTTP: the room that chooses the HTTP library, and only when the first client is made.

httpx2, the maintained continuation of httpx, is taken where it is installed, httpx otherwise (docs/decisions.md); of
either its URLs, its certificates and the connections below its client (client.py). The defaults of both are unsafe for a
client that holds keys, so here: a total deadline, no redirects, no proxy or netrc from the environment, one layer of gzip
at most, caps on what is decoded (bounds.py). A key goes to its provider's hosts only, never over plain http except to this
machine, and is taken out of whatever comes back (redaction.py). Nothing is sent twice, except once where the server turns
out to have closed a kept connection before it answered.

`KIMIPROBE_PROXY` (`http://host:port`) names a proxy for all that leaves this machine.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from .bounds import MAX_BODY, MAX_STREAM, Gauge
from .client import PER_CLIENT, Client, Message, Sent
from .errors import AccountError, ConfigError, ExchangeError, RequestRejected
from .failures import Progress, forget_frames, timed_out
from .redaction import LogFilter
from .types import LOOPBACK

TIMEOUT_S = 600.0
PROXY_VARIABLE = "KIMIPROBE_PROXY"
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "Connection": "keep-alive", "User-Agent": "kimiprobe"}
_log_filter = LogFilter()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HttpRequest:
    """One request, key included; its repr shows the host alone. It may be sent often, and is checked once.

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
        self._shards: dict[_Place, list[Client]] = {}
        self._http: Any = None
        self._core: Any = None
        self._tls: ssl.SSLContext | None = None
        self._written: WeakKeyDictionary[HttpRequest, tuple[bool, Message]] = WeakKeyDictionary()
        self.reconnects: Counter[str] = Counter()

    @asynccontextmanager
    async def send(
        self, request: HttpRequest, *, shard: str, timeout_s: float | None = TIMEOUT_S, progress: Progress | None = None
    ) -> AsyncIterator[HttpResponse]:
        """Send, and give status and headers as soon as they are there; the body within the `async with`.

        `timeout_s` is total, from here to the end of the `async with`; None where the caller looks at the clock.
        `progress` shows how far it has come. Raises ProviderFailure for deadline, connection, TLS, protocol and size,
        RequestRejected and AccountError for what may not or cannot be sent.
        """
        progress = progress or Progress()
        sent: Sent | None = None
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                sent = await self._sent(request, shard, progress)
                yield self._response(sent)
        except TimeoutError as error:
            if timeout_s is None or not deadline.expired():
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
            self._core = importlib.import_module(self._http.__name__.replace("httpx", "httpcore"))
            self._tls = self._http.create_ssl_context()
            with suppress(ImportError):
                importlib.import_module("anyio._backends._asyncio")  # the library's locks are anyio's
            _keep_keys_out_of_logs(self._core.__name__)

    async def aclose(self) -> None:
        """Close all clients; what is on its way closes its connection when it ends."""
        clients = [client for shard in self._shards.values() for client in shard]
        self._shards.clear()
        await asyncio.gather(*(client.retire() for client in clients))

    async def _sent(self, request: HttpRequest, shard: str, progress: Progress) -> Sent:
        local, message = self._written.get(request) or self._write(request)
        place = _Place(shard, local)
        client = self._client(place)
        sent = await client.send(message, progress)
        if progress.stale:
            self.reconnects[shard] += 1
            await self._retire(place, client)
            sent = await self._new_client(place).send(message, progress)
        if isinstance(sent, ExchangeError):
            raise sent
        return sent

    def _write(self, request: HttpRequest) -> tuple[bool, Message]:
        """Whether the request stays on this machine, and it in the library's nouns."""
        self.warm()
        local = _checked(request, self._http)
        message = _message(request, self._http, self._core)
        _log_filter.learn(message.credentials)
        self._written[request] = (local, message)
        return local, message

    def _response(self, sent: Sent) -> HttpResponse:
        headers = sent.headers()
        stream = is_event_stream(sent.status, headers)
        gauge = Gauge(stream=stream, max_bytes=self._max_stream if stream else self._max_body)
        return HttpResponse(sent.status, headers, sent.chunks(gauge, headers.get("content-encoding", "")))

    def _client(self, place: _Place) -> Client:
        for client in self._shards.get(place, ()):
            if client.busy < PER_CLIENT:
                return client
        return self._new_client(place)

    def _new_client(self, place: _Place) -> Client:
        assert self._tls is not None  # noqa: S101 - for the type checker
        proxy = self._proxy and not place.local and _proxy(self._proxy, self._http, self._core)
        client = Client(self._core, self._tls, proxy or None)
        self._shards.setdefault(place, []).append(client)
        return client

    async def _retire(self, place: _Place, client: Client) -> None:
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
    local = url.host in LOOPBACK
    if keyed and not local and url.scheme != "https":
        raise RequestRejected("bad_request", "a key goes over https only", phase="send")
    if keyed and not local and url.host not in request.hosts:
        allowed = ", ".join(sorted(request.hosts)) or "no host"
        raise RequestRejected("bad_request", f"this key may go to {allowed}, not to {url.host}", phase="send")
    return local


def _message(request: HttpRequest, http: Any, core: Any) -> Message:
    """The request in the library's nouns."""
    url, content = _url(http, request.url), request.content
    headers = {**_HEADERS, "Host": url.netloc.decode("ascii"), **request.headers}
    if content or request.method == "POST":
        headers["Content-Length"] = str(len(content))
    try:
        written = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    except UnicodeEncodeError:
        raise RequestRejected("bad_request", "a header's name is not ASCII", phase="send") from None
    built = core.Request(request.method, _core_url(core, url), headers=written, content=content)
    return Message(built, request.credentials)


def _core_url(core: Any, url: Any) -> Any:
    return core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _proxy(text: str, http: Any, core: Any) -> Any:
    """The library's proxy; user and password may stand in its URL."""
    proxy = http.Proxy(text)
    return core.Proxy(url=_core_url(core, proxy.url), auth=proxy.raw_auth, headers=proxy.headers.raw)


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


def _keep_keys_out_of_logs(core_name: str) -> None:
    """At DEBUG the library logs response headers, in which a host may echo the key."""
    for part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"{core_name}.{part}").addFilter(_log_filter)
