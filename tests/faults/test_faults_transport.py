"""The transport itself: clients and connections, deadlines and cancelling, what a caller may do to it."""

from __future__ import annotations

import asyncio
import gc
import importlib
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asking import KEY, SECOND, Asker
from faulty_server import FaultyServer, chat, event, head, reply
from waiting import until

from routing.errors import ProviderFailure, RequestRejected
from routing.transport import HttpRequest, Transport
from routing.transport.event_loop import run
from routing.transport.failures import RequestProgress
from routing.transport.pool import tls_settings

Faulty = Callable[..., FaultyServer]


def get(url: str, **headers: str) -> HttpRequest:
    """A request without a key."""
    return HttpRequest("GET", url, headers, b"")


async def body_of(transport: Transport, request: HttpRequest, **options: Any) -> bytes:
    """The whole body."""
    async with transport.send(request, **options) as response:
        return b"".join([chunk async for chunk in response.chunks])


def with_transport(work: Callable[[Transport], Awaitable[Any]]) -> Any:
    """Runs the work with a transport that is closed after it."""

    async def all_of_it() -> Any:
        transport = Transport()
        try:
            return await work(transport)
        finally:
            await transport.aclose()

    return run(all_of_it())


def test_a_kept_connection_is_used_again(faulty: Faulty) -> None:
    """One after another over one connection; side by side over as many as it takes."""
    server = faulty(reply(b"x" * 100_000))

    async def work(transport: Transport) -> None:
        for _ in range(5):
            assert len(await body_of(transport, get(server.url))) == 100_000
        assert server.connections == 1
        await asyncio.gather(*(body_of(transport, get(server.url)) for _ in range(3)))
        assert server.connections <= 4

    with_transport(work)


def test_concurrent_requests_have_a_connection_each(faulty: Faulty) -> None:
    """However many there are; a cancelled request keeps none, and the TLS context is one for all."""
    server = faulty("silent")

    async def work(transport: Transport) -> None:
        waiting = [asyncio.ensure_future(body_of(transport, get(server.url))) for _ in range(25)]
        await until(lambda: server.connections == len(waiting))
        pool = transport.warm()
        assert isinstance(pool.tls(), ssl.SSLContext)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not any(pool.idle.values())

    with_transport(work)


async def warmed(transport: Transport) -> None:
    transport.warm()


def test_certificates_are_read_once_and_only_for_https(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """Reading them takes tens of milliseconds. All event loops of a process share them."""
    core = importlib.import_module(library.replace("httpx", "httpcore"))
    real, made = core.default_ssl_context, list[ssl.SSLContext]()

    def make() -> ssl.SSLContext:
        made.append(real())
        return made[-1]

    servers = [faulty(reply(b"x")) for _ in range(3)]
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(core, "default_ssl_context", make)
    tls_settings.cache_clear()

    async def work(transport: Transport) -> None:
        for server in servers:
            async with transport.send(get(server.url)):
                pass
        assert len(transport.pool().idle) == 3
        assert made == []
        transport.warm()

    with_transport(work)
    assert len(made) == 1
    with_transport(warmed)
    assert len(made) == 1
    tls_settings.cache_clear()


def test_the_phases_of_an_exchange(faulty: Faulty) -> None:
    """Seen while it goes on, so that whoever gives up can say where."""
    server = faulty("slow_body")

    async def work(transport: Transport) -> None:
        progress = RequestProgress()
        assert progress.phase == "connect"
        async with transport.send(get(server.url), progress=progress) as response:
            assert (progress.phase, progress.fresh) == ("body", True)
            assert response.status == 200

    with_transport(work)


def test_a_deadline_of_the_callers_own_stays_its_own(faulty: Faulty) -> None:
    """`asyncio.timeout` around, and a TimeoutError raised inside, come out as they are."""
    server = faulty("slow_body")

    async def work(transport: Transport) -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):
                await body_of(transport, get(server.url))
        assert not isinstance(caught.value, ProviderFailure)
        with pytest.raises(TimeoutError, match="mine"):
            async with transport.send(get(server.url)):
                raise TimeoutError("mine")

    with_transport(work)
    assert server.left.wait(1)


@pytest.mark.parametrize(
    ("speak", "phase"),
    [("silent", "headers"), ("slow_headers", "headers"), ("slow_body", "body"), ("slow_stream", "body")],
)
def test_cancelling_closes_the_connection(faulty: Faulty, speak: str, phase: str) -> None:
    """At any point, and at once; nothing is left for the garbage collector to complain of."""
    server = faulty(speak)

    async def work(transport: Transport) -> None:
        progress = RequestProgress()
        task = asyncio.ensure_future(body_of(transport, get(server.url), progress=progress))
        await until(lambda: progress.phase == phase)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_transport(work)
    assert server.left.wait(1)
    gc.collect()


def test_leaving_early_closes_the_connection(faulty: Faulty) -> None:
    """Whoever has read enough need not read on; the next request has a connection of its own."""
    server = faulty("infinite_stream")

    async def work(transport: Transport) -> None:
        for _ in range(2):
            async with transport.send(get(server.url)) as response:
                async for chunk in response.chunks:
                    assert chunk
                    break

    with_transport(work)
    assert server.left.wait(1)
    assert server.connections == 2
    gc.collect()


def test_a_closed_transport_can_be_closed_again_and_used_anew(faulty: Faulty) -> None:
    """Its clients are made on demand."""
    server = faulty(reply(b"x"))

    async def work(transport: Transport) -> None:
        await transport.aclose()
        assert await body_of(transport, get(server.url)) == b"x"
        await transport.aclose()
        assert await body_of(transport, get(server.url)) == b"x"

    with_transport(work)
    assert server.connections == 2


def test_headers_are_read_in_lower_case_and_said_twice_are_joined(faulty: Faulty) -> None:
    """As HTTP has it (RFC 9110, 5.3)."""
    server = faulty(reply(b"x", "X-One: a", "X-ONE: b"))

    async def work(transport: Transport) -> None:
        async with transport.send(get(server.url)) as response:
            assert response.headers["x-one"] == "a, b"

    with_transport(work)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://127.0.0.1/x", "http://", "http://user:pw@127.0.0.1/", "http://[::1"]
)
def test_what_is_no_url_is_ours(url: str) -> None:
    """It is told before anything is connected."""
    with pytest.raises(RequestRejected, match="not a URL"):
        with_transport(lambda transport: body_of(transport, get(url)))


def test_a_header_that_would_be_two(faulty: Faulty) -> None:
    """A line break in a header is refused here, by name."""
    server = faulty(reply(b"x"))
    request = HttpRequest("GET", server.url, {"X-A": "b\r\nX-C: d"}, b"")
    with pytest.raises(RequestRejected, match="a header holds a character"):
        with_transport(lambda transport: body_of(transport, request))
    assert server.connections == 0


def test_a_stream_flows_at_once(faulty: Faulty) -> None:
    """An event is passed on when it comes, not when the next one does."""
    second = threading.Event()

    def speak(line: Any) -> None:
        line.request()
        line.send(head(kind="text/event-stream"), event({"n": 1}))
        second.wait(5)
        line.send(event({"n": 2}))

    async def work(transport: Transport) -> list[bytes]:
        chunks = []
        request = HttpRequest("POST", faulty(speak).url, {"Authorization": f"Bearer {KEY}"}, b"{}")
        async with transport.send(request, timeout_s=5) as response:
            async for chunk in response.chunks:
                chunks.append(chunk)
                if b"".join(chunks) == event({"n": 1}):
                    second.set()
        return chunks

    assert b"".join(with_transport(work)) == event({"n": 1}) + event({"n": 2})


def test_the_library_that_is_named_is_taken(faulty: Faulty, asker: Asker, library: str) -> None:
    """And the user agent is ours, not the library's."""
    server = faulty(reply(chat()))
    assert asker.ask(server.url).answer
    assert asker.transport.warm().core.__name__ == library.replace("httpx", "httpcore")
    assert server.requests[0].headers["user-agent"] == "kimiprobe"
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_the_library_is_chosen_once_a_transport(
    faulty: Faulty, asker: Asker, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """What the environment says later changes nothing: clients and exceptions of two libraries never mix."""
    server = faulty(reply(chat()))
    assert asker.ask(server.url).answer
    monkeypatch.setenv("KIMIPROBE_HTTP", "httpx" if library == "httpx2" else "httpx2")
    assert asker.ask(server.url, endpoint=SECOND).answer
    assert asker.transport.warm().core.__name__ == library.replace("httpx", "httpcore")
    assert server.connections == 1
