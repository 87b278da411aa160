"""One connection under the HTTP library: what goes out together, what is held back, what is never taken for an answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpcore2
import pytest
import trustme
from waiting import until

from routing.errors import ProviderFailure
from routing.redaction import Secrets
from routing.transport import HttpRequest, Transport, _encoded
from routing.transport import connection as connection_module
from routing.transport.connection import _CHUNK, Connection, connected_socket
from routing.transport.event_loop import run
from routing.transport.failures import RequestProgress, failure_of

KEY = "sk-test-key-of-no-account"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@contextmanager
def server(speak: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that speaks so on each connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):  # the other side may have had enough
                speak(connection)

        threading.Thread(target=listen, daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def with_connection(port: int, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    """What `work` gives on a connection to the port."""

    async def all_of_it() -> Any:
        open_one = await Connection(httpcore2).connect_tcp("127.0.0.1", port)
        try:
            return await work(open_one)
        finally:
            await open_one.aclose()

    return run(all_of_it())


def test_head_and_body_go_out_together() -> None:
    """One packet instead of two; nothing is sent before a read."""
    pieces: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        pieces.append(connection.recv(1 << 16))
        connection.sendall(ANSWER)

    async def work(connection: Connection) -> bytes:
        await connection.write(b"head")
        await connection.write(b"body")
        assert not pieces
        return await connection.read(1 << 16) + await connection.read(1 << 16)

    with server(speak) as port:
        assert with_connection(port, work) == ANSWER
    assert pieces == [b"headbody"]


def test_all_bytes_are_read_before_the_end_of_the_connection() -> None:
    """In pieces as large as asked for, the last byte alone, then nothing, again and again."""

    async def work(connection: Connection) -> None:
        await until(lambda: connection.get_extra_info("is_readable"))
        read = [await connection.read(size) for size in (30, 1 << 16, 1 << 16)]
        assert read == [ANSWER[:30], ANSWER[30:-1], ANSWER[-1:]]
        assert [await connection.read(9), await connection.read(9)] == [b"", b""]

    with server(lambda connection: connection.sendall(ANSWER)) as port:
        with_connection(port, work)


def test_a_fast_sender_has_to_wait() -> None:
    """No more is kept here than one piece; the kernel has the rest, and all of it is read in the end."""
    whole = 20 << 20

    async def work(connection: Connection) -> int:
        most = came = 0
        while data := await connection.read(1 << 16):
            came += len(data)
            await asyncio.sleep(0)
            most = max(most, len(connection._received))
        assert most <= _CHUNK
        return came

    with server(lambda connection: connection.sendall(b"x" * whole)) as port:
        assert with_connection(port, work) == whole


def test_a_sender_that_always_has_more_leaves_turns_to_the_loop() -> None:
    """Deadlines and other requests need them, however small the pieces are."""

    async def work(connection: Connection) -> None:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count_turns())
        pieces = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection_module, "_CHUNK", 100)
            while await connection.read(100):
                pieces += 1
        counting.cancel()
        assert turns >= pieces // 2 > 1000

    with server(lambda connection: connection.sendall(b"x" * 200_000)) as port:
        with_connection(port, work)


def test_a_slow_reader_on_the_other_side_holds_up_whoever_sends() -> None:
    """The phase says so while it lasts."""
    go = threading.Event()

    def speak(connection: socket.socket) -> None:
        go.wait(10)
        while connection.recv(1 << 20):
            pass

    async def work(connection: Connection) -> None:
        connection.progress = RequestProgress()
        await connection.write(b"x" * (30 << 20))
        reading = asyncio.ensure_future(connection.read(1))
        await asyncio.sleep(0.05)
        assert (connection.progress.phase, reading.done()) == ("send", False)
        go.set()
        await until(lambda: connection.progress.phase == "headers")
        reading.cancel()

    with server(speak) as port:
        with_connection(port, work)


async def bodies(port: int, between: Callable[[Transport], Awaitable[object]], count: int = 2) -> list[bytes]:
    """What as many requests, one after the other, were answered."""
    transport, found = Transport(), []
    for _ in range(count):
        request = HttpRequest("GET", f"http://127.0.0.1:{port}/", {}, b"")
        async with transport.send(request, timeout_s=5) as response:
            found.append(b"".join([chunk async for chunk in response.chunks]))
        await between(transport)
    await transport.aclose()
    return found


class Talker:
    """A server that answers, and after the first answer says something by itself once it `may`."""

    def __init__(self, unasked: bytes) -> None:
        self.unasked, self.asked = unasked, 0
        self.may, self.has = threading.Event(), threading.Event()

    def speak(self, connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            self.asked += 1
            connection.sendall(ANSWER)
            if self.asked == 1:
                self.may.wait(5)
                connection.sendall(self.unasked)
                self.has.set()


async def at_once(_: Transport) -> None:
    """No turn of the loop between two requests."""


@pytest.mark.parametrize("unasked", [EVIL, b"H", EVIL + ANSWER])
def test_what_nobody_asked_for_is_no_answer(unasked: bytes) -> None:
    """A kept connection on which the server spoke by itself is not used again: its words would answer the next request."""
    talker = Talker(unasked)

    async def between(transport: Transport) -> None:
        talker.may.set()
        kept = next(iter(transport.warm().idle.values()))[0]
        await until(lambda: talker.asked > 1 or kept.get_extra_info("is_readable"))

    with server(talker.speak) as port:
        assert run(bodies(port, between)) == [b"ok", b"ok"]


def test_what_nobody_asked_for_is_no_answer_where_the_loop_had_no_turn_to_see_it() -> None:
    """The loop may be blocked while the server sends."""
    talker = Talker(EVIL)

    async def between(_: Transport) -> None:
        talker.may.set()
        talker.has.wait(5)

    with server(talker.speak) as port:
        assert run(bodies(port, between)) == [b"ok", b"ok"]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
TRAILED = CHUNKED[:-2] + b"X-Check: 1\r\n\r\n"
CONTINUED = b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER
FRAMINGS = [ANSWER, CHUNKED, TRAILED, CONTINUED]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("surplus", [EVIL, EVIL[:9], b"x", b"\n"])
@pytest.mark.parametrize("answer", FRAMINGS, ids=["length", "chunked", "trailers", "informational"])
def test_bytes_that_follow_an_answer_are_not_read_as_the_next(
    answer: bytes, surplus: bytes, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the answer says where it ends, a connection with bytes behind it is not used again."""
    monkeypatch.setenv("KIMIPROBE_HTTP", library)
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        while connection.recv(1 << 16):
            connection.sendall(answer + surplus)

    with server(speak) as port:
        assert run(bodies(port, at_once, 3)) == [b"ok"] * 3
    assert len(connections) == 3


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("answer", FRAMINGS, ids=["length", "chunked", "trailers", "informational"])
def test_a_connection_whose_answer_came_whole_is_used_again(
    answer: bytes, size: int, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one piece or in many."""
    monkeypatch.setenv("KIMIPROBE_HTTP", library)
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(1 << 16):
            for at in range(0, len(answer), size):
                connection.sendall(answer[at : at + size])

    with server(speak) as port:
        assert run(bodies(port, at_once, 5)) == [b"ok"] * 5
    assert len(connections) == 1


def test_bytes_behind_a_proxys_answer_are_not_read_as_if_they_had_come_under_tls() -> None:
    """They would be the answer of the host."""

    def speak(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n" + EVIL)
        connection.recv(1 << 16)

    async def ask(port: int) -> None:
        transport = Transport(proxy=f"http://127.0.0.1:{port}")
        request = HttpRequest("GET", "https://api.example/", {}, b"")
        try:
            async with transport.send(request, timeout_s=5):
                pass
        finally:
            await transport.aclose()

    with server(speak) as port, pytest.raises(ProviderFailure, match="tls_plaintext"):
        run(ask(port))


def test_bytes_before_the_handshake_are_never_read_as_if_they_had_come_under_tls() -> None:
    """A proxy, or an attacker on the way to it, could else answer in the host's name."""

    async def work(connection: Connection) -> None:
        await until(lambda: connection.get_extra_info("is_readable"))
        with pytest.raises(httpcore2.ConnectError) as caught:
            await connection.start_tls(ssl.create_default_context(), "api.example")
        assert failure_of(caught.value, connection.progress).detail.startswith("tls_plaintext")

    def speak(connection: socket.socket) -> None:
        connection.sendall(EVIL)
        connection.recv(1)

    with server(speak) as port:
        with_connection(port, work)


@pytest.mark.parametrize("turns", range(12))
def test_connecting_can_be_given_up_at_any_moment(turns: int) -> None:
    """No socket stays open, also one that was connected just then."""
    made: list[socket.socket] = []

    class Seen(socket.socket):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if threading.current_thread() is threading.main_thread():
                made.append(self)

    async def given_up() -> None:
        task = asyncio.ensure_future(connected_socket("127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            task.result().close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.001)

    with server(lambda connection: connection.recv(1)) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Seen)
        for _ in range(5):
            run(given_up())
    assert [sock.fileno() for sock in made] == [-1] * len(made)
    assert made or turns < 3


def test_a_mute_address_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is tried after a quarter of a second (RFC 8305), and the first is given up."""
    with server(lambda connection: connection.recv(1)) as port:
        mute = socket.socket()
        mute.bind(("127.0.0.1", 0))
        mute.listen(0)
        filling = [socket.socket() for _ in range(3)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(mute.getsockname())
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", where) for where in (mute.getsockname(), ("127.0.0.1", port))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
        with closing(run(connected_socket("two.example", 443))) as won:
            assert won.getpeername() == ("127.0.0.1", port)
        for one in (*filling, mute):
            one.close()


def test_a_name_whose_every_address_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio joins several errors in one text; the reason is still named."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]  # taken, then free: no server listens there
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.1", "127.0.0.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

    async def ask() -> None:
        transport = Transport()
        try:
            request = HttpRequest("GET", f"http://refusing.example:{port}/", {}, b"")
            async with transport.send(request, timeout_s=5):
                pass
        finally:
            await transport.aclose()

    with pytest.raises(ProviderFailure, match="connect_refused"):
        run(ask())


def test_several_hosts_of_one_provider_keep_their_connections() -> None:
    """One for each, however they alternate."""
    connections: list[socket.socket] = []

    def speak(connection: socket.socket) -> None:
        connections.append(connection)
        while connection.recv(1 << 16):
            connection.sendall(ANSWER)

    async def work() -> None:
        transport = Transport()
        for port in (one, two) * 5:
            request = HttpRequest("GET", f"http://127.0.0.1:{port}/", {}, b"")
            async with transport.send(request, timeout_s=5) as response:
                assert b"".join([chunk async for chunk in response.chunks]) == b"ok"
        await transport.aclose()

    with server(speak) as one, server(speak) as two:
        run(work())
    assert len(connections) == 2


def test_a_transport_that_is_closed_under_a_request_keeps_nothing_of_it() -> None:
    """What was on its way is delivered, and its connection closed."""
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(ANSWER)
        ended.set()

    async def work() -> None:
        transport = Transport()
        request = HttpRequest("GET", f"http://127.0.0.1:{port}/", {}, b"")
        async with transport.send(request, timeout_s=5) as response:
            await transport.aclose()
            assert b"".join([chunk async for chunk in response.chunks]) == b"ok"
        await until(ended.is_set)

    with server(speak) as port:
        run(work())


@pytest.mark.parametrize("begun", [1, 9, 30])
def test_a_request_is_not_sent_again_once_a_byte_of_its_answer_came(begun: int) -> None:
    """Even if it was less than a whole head: the server was working on it."""
    asked: list[bytes] = []

    def speak(connection: socket.socket) -> None:
        while head := connection.recv(1 << 16):
            asked.append(head)
            connection.sendall(ANSWER if len(asked) == 1 else ANSWER[:begun])
            if len(asked) > 1:
                return

    with server(speak) as port, pytest.raises(ProviderFailure, match="connection_cut"):
        run(bodies(port, at_once))
    assert len(asked) == 2


def test_an_encoded_request_shows_no_key() -> None:
    """It is a local of frames that an error may carry."""
    request = HttpRequest(
        "GET", "https://api.example/", {"Authorization": f"Bearer {KEY}"}, b"", frozenset({"api.example"})
    )
    encoded = _encoded(request, httpcore2, request.credentials)
    assert KEY.encode() in dict(encoded.headers)[b"Authorization"]
    assert KEY not in f"{request!r} {encoded!r} {Secrets({KEY})!r}"


def test_under_tls_too_whoever_sends_waits_for_a_slow_reader() -> None:
    """TLS accepts any number of bytes; the deadline must still say that the request was being sent."""
    authority, go = trustme.CA(), threading.Event()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("api.example").configure_cert(theirs)
    authority.configure_trust(ours)

    def speak(connection: socket.socket) -> None:
        with theirs.wrap_socket(connection, server_side=True):
            go.wait(10)

    async def work(connection: Connection) -> None:
        await connection.start_tls(ours, "api.example")
        connection.progress = RequestProgress()
        await connection.write(b"x" * (30 << 20))
        reading = asyncio.ensure_future(connection.read(1))
        await asyncio.sleep(0.3)
        assert (connection.progress.phase, reading.done()) == ("send", False)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        go.set()

    with server(speak) as port:
        with_connection(port, work)


@pytest.mark.parametrize("surplus", [b"", EVIL, b"x"])
@pytest.mark.parametrize("layers", [1, 2], ids=["TLS", "TLS in TLS"])
def test_under_tls_a_connection_is_used_again_unless_bytes_follow_an_answer(layers: int, surplus: bytes) -> None:
    """Session tickets that come with the first answer are not such bytes."""
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("api.example").configure_cert(theirs)
    authority.configure_trust(ours)

    async def work(connection: Connection) -> tuple[bytes, bool]:
        for _ in range(layers):
            await connection.start_tls(ours, "api.example")
        await connection.write(b"x" * 100_000)
        answer = b""
        while len(answer) < len(ANSWER):
            answer += await connection.read(len(ANSWER) - len(answer))
        return answer, bool(connection.get_extra_info("is_readable"))

    with server(lambda connection: answer_under_tls(connection, theirs, layers, surplus)) as port:
        assert with_connection(port, work) == (ANSWER, bool(surplus))


def answer_under_tls(connection: socket.socket, context: ssl.SSLContext, layers: int, surplus: bytes) -> None:
    """Answer a request of 100,000 bytes, and read until the client leaves."""
    with context.wrap_socket(connection, server_side=True) as outer:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inner = context.wrap_bio(incoming, outgoing, server_side=True)

        def through(work: Callable[[], Any]) -> Any:
            while True:
                try:
                    found = work()
                except ssl.SSLWantReadError:
                    found = None
                if outgoing.pending:
                    outer.sendall(outgoing.read())
                if found is not None:
                    return found
                incoming.write(outer.recv(1 << 16))

        def handshake() -> bool:
            inner.do_handshake()
            return True

        if layers == 2:
            through(handshake)
        count = 0
        while count < 100_000:
            count += len(through(lambda: inner.read(1 << 16)) if layers == 2 else outer.recv(1 << 16))
        through(lambda: inner.write(ANSWER + surplus)) if layers == 2 else outer.sendall(ANSWER + surplus)
        outer.recv(1)


def test_an_answer_that_is_cut_behind_a_proxy_is_not_a_refusal_of_the_proxy() -> None:
    """Once the answer has begun, the proxy has done its part; also without a tunnel."""

    def speak(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(ANSWER[:-1])

    async def ask(port: int) -> None:
        transport = Transport(proxy=f"http://127.0.0.1:{port}")
        request = HttpRequest("GET", "http://status.example/", {}, b"")
        try:
            async with transport.send(request, timeout_s=5) as response:
                assert [chunk async for chunk in response.chunks]
        finally:
            await transport.aclose()

    with server(speak) as port, pytest.raises(ProviderFailure, match="connection_cut"):
        run(ask(port))
