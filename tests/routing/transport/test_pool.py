"""How many connections there are at most, and who is blamed if none is to be had."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server, socket

import pytest
from waiting import until

from pytest_kimiprobe.simulator import Persona, Scenario, Simulator
from routing.errors import RequestRejected
from routing.transport import HttpRequest, Transport
from routing.transport import pool as pool_module
from routing.transport.event_loop import run

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Counted:
    """A server that counts its open connections, and answers when `may` is set."""

    def __init__(self) -> None:
        self.open = self.most = self.made = 0
        self.may = threading.Event()
        self._lock = threading.Lock()

    def speak(self, connection: socket) -> None:
        with self._lock:
            self.open, self.made = self.open + 1, self.made + 1
            self.most = max(self.most, self.open)
        with connection:
            try:
                while connection.recv(1 << 16):
                    self.may.wait(10)
                    connection.sendall(ANSWER)
            except OSError:
                pass
        with self._lock:
            self.open -= 1


@contextmanager
def server(counted: Counted) -> Iterator[str]:
    with closing(create_server(("127.0.0.1", 0), backlog=512)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=counted.speak, args=(connection,), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(2)


async def get(transport: Transport, url: str, timeout_s: float = 10.0) -> bytes:
    async with transport.send(HttpRequest("GET", url, {}, b""), timeout_s=timeout_s) as response:
        return b"".join([chunk async for chunk in response.chunks])


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "most_connections", lambda: 3)


@pytest.mark.usefixtures("three")
def test_requests_beyond_the_most_connections_wait_their_turn() -> None:
    """All of them are answered, over three connections."""
    counted = Counted()

    async def work(url: str) -> list[bytes]:
        transport = Transport()
        asking = [asyncio.ensure_future(get(transport, url)) for _ in range(20)]
        await until(lambda: counted.open == 3)
        counted.may.set()
        found = await asyncio.gather(*asking)
        await transport.aclose()
        return found

    with server(counted) as url:
        assert run(work(url)) == [b"ok"] * 20
    assert (counted.most, counted.made) == (3, 3)


@pytest.mark.usefixtures("three")
def test_an_idle_connection_makes_room_for_another_host() -> None:
    """Kept connections count too."""
    hosts = [Counted() for _ in range(5)]

    async def work(urls: list[str]) -> None:
        transport = Transport()
        for url in urls * 2:
            assert await get(transport, url) == b"ok"
            assert sum(map(len, transport.pool().idle.values())) <= 3
        await transport.aclose()

    for host in hosts:
        host.may.set()
    with (
        server(hosts[0]) as a,
        server(hosts[1]) as b,
        server(hosts[2]) as c,
        server(hosts[3]) as d,
        server(hosts[4]) as e,
    ):
        run(work([a, b, c, d, e]))


@pytest.mark.usefixtures("three")
def test_a_request_that_gets_no_connection_in_time_blames_no_host() -> None:
    """The error is of class request, and a cancelled request gives its turn to the next."""
    counted = Counted()

    async def work(url: str) -> RequestRejected:
        transport = Transport()
        busy = [asyncio.ensure_future(get(transport, url)) for _ in range(3)]
        await until(lambda: counted.open == 3)
        with pytest.raises(RequestRejected, match="all connections that this program may have were in use") as caught:
            await get(transport, url, timeout_s=0.05)
        next_one = asyncio.ensure_future(get(transport, url))
        busy[0].cancel()
        counted.may.set()
        assert await next_one == b"ok"
        await asyncio.gather(*busy, return_exceptions=True)
        await transport.aclose()
        return caught.value

    with server(counted) as url:
        error = run(work(url))
    assert (error.reason, error.error_class, error.retryable) == ("local_failure", "request", True)


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.chdir(tmp_path)
    with Simulator(Scenario(default=Persona("slow", first_token_ms=100.0))) as hosts:
        for name, value in hosts.environment().items():
            monkeypatch.setenv(name, value.replace("127.0.0.1", "localhost"))
        yield hosts


def printed(code: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on descriptors")
def test_many_requests_under_a_low_limit_of_descriptors_are_all_answered(simulator: Simulator) -> None:
    """400 concurrent requests in a process that may open 256 files."""
    found = printed("""
        import asyncio, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        from routing import Router
        router = Router.load()
        async def main():
            replies = await asyncio.gather(*(router.acomplete("What is 2 + 2?") for _ in range(400)))
            print(len(replies), router.status().parked)
        asyncio.run(main())
    """)
    assert found == "400 ()"


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on descriptors")
def test_without_a_free_descriptor_the_error_is_ours(simulator: Simulator) -> None:
    """No host is blamed or parked, however often it happens; nothing was sent, so it costs nothing."""
    found = printed("""
        import os, resource
        from routing import AllAttemptsFailed, Router
        router = Router.load()
        router.warm()
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        try:
            while True:
                taken.append(os.dup(0))
        except OSError:
            pass
        seen = set()
        for _ in range(8):
            try:
                router.complete("What is 2 + 2?", timeout=5)
            except AllAttemptsFailed as error:
                seen |= {(one.reason, one.error_class, one.cost_usd) for one in error.attempts}
        for one in taken:
            os.close(one)
        print(seen, router.status().parked, router.complete("What is 2 + 2?").text != "")
    """)
    assert found == "{('local_failure', 'request', Decimal('0'))} () True"
