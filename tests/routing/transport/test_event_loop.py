"""The loop thread: work from any thread, an end that leaves nothing behind, names looked up beside it."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

from routing.errors import RouterClosed
from routing.transport.event_loop import LoopThread, run


async def answer() -> int:
    """Something to do."""
    await asyncio.sleep(0)
    return 7


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], threading.Event]:
    """Questions to a name server that waits for the event, and knows nothing."""
    questions: list[Any] = []
    go = threading.Event()

    def look_up(*question: Any) -> Any:
        questions.append(question)
        go.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return questions, go


def test_work_of_many_threads_runs_on_one_loop() -> None:
    """Started with the first, ended with close; closing twice is closing."""
    loop = LoopThread("test-loop")
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: loop.submit(answer()).result(5), range(50))) == {7}
    assert sum(thread.name == "test-loop" for thread in threading.enumerate()) == 1
    loop.close()
    loop.close()
    assert not any(thread.name == "test-loop" for thread in threading.enumerate())


def test_closing_cancels_what_runs() -> None:
    """Its caller hears of it; nothing is left pending."""
    loop = LoopThread()
    waiting = loop.submit(asyncio.sleep(60))
    loop.submit(answer()).result(5)
    loop.close()
    with pytest.raises(CancelledError):
        waiting.result(5)
    gc.collect()


def test_after_closing_nothing_is_begun() -> None:
    """It does not start anew behind its owner's back; what was brought is not left unawaited."""
    loop = LoopThread("test-closed")
    loop.close()
    with pytest.raises(RouterClosed):
        loop.submit(answer())
    gc.collect()
    assert not any(thread.name == "test-closed" for thread in threading.enumerate())


def test_whatever_is_brought_while_it_closes_comes_to_an_end() -> None:
    """Done, cancelled or refused: no caller waits for ever."""
    for _ in range(20):
        loop, go = LoopThread("test-race"), threading.Barrier(5)

        def bring(loop: LoopThread = loop, go: threading.Barrier = go) -> str:
            go.wait(10)
            try:
                return str(loop.submit(answer()).result(10))
            except (CancelledError, RouterClosed) as error:
                return type(error).__name__

        with ThreadPoolExecutor(5) as pool:
            brought = [pool.submit(bring) for _ in range(4)]
            go.wait(10)
            closing = pool.submit(loop.close)
            loop.close()
            closing.result(10)
            assert {one.result(10) for one in brought} <= {"7", "CancelledError", "RouterClosed"}
        assert not any(thread.name == "test-race" for thread in threading.enumerate())
    gc.collect()


def test_the_last_work_runs_last() -> None:
    """After what was cancelled, and after what that began at its end."""
    order: list[str] = []
    behind: list[asyncio.Task[None]] = []

    async def works() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            order.append("cancelled")
            behind.append(asyncio.ensure_future(also()))

    async def also() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            order.append("begun at the end, cancelled")

    async def last_work() -> None:
        order.append("last")

    loop = LoopThread()
    loop.submit(works())
    loop.submit(answer()).result(5)
    loop.close(last_work())
    loop.close(last_work())
    assert order == ["cancelled", "begun at the end, cancelled", "last"]
    LoopThread().close(last_work())
    gc.collect()


def test_an_error_of_the_work_is_its_callers() -> None:
    """The loop goes on."""

    async def fails() -> None:
        raise KeyError("x")

    loop = LoopThread()
    with pytest.raises(KeyError):
        loop.submit(fails()).result(5)
    assert loop.submit(answer()).result(5) == 7
    loop.close()


def test_a_name_is_looked_up_once_for_all_who_ask(asked: tuple[list[Any], threading.Event]) -> None:
    """Each gets the outcome, an error too; the next question is asked anew."""
    questions, go = asked

    async def ask() -> Any:
        return await asyncio.get_running_loop().getaddrinfo("a.example", 443, type=socket.SOCK_STREAM)

    async def many() -> list[Any]:
        asking = [asyncio.ensure_future(ask()) for _ in range(5)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    outcomes = run(many())
    assert [type(outcome) for outcome in outcomes] == [socket.gaierror] * 5
    assert questions == [("a.example", 443, 0, socket.SOCK_STREAM, 0, 0)]
    with pytest.raises(socket.gaierror):
        run(ask())
    assert len(questions) == 2


def test_closing_does_not_wait_for_a_name(asked: tuple[list[Any], threading.Event]) -> None:
    """Nor does an outcome that comes late disturb anybody."""
    questions, go = asked
    loop = LoopThread()

    async def ask() -> Any:
        return await asyncio.get_running_loop().getaddrinfo("b.example", 443)

    waiting = loop.submit(ask())
    while not questions:
        loop.submit(answer()).result(5)
    loop.close()
    assert waiting.cancelled()
    go.set()
    for thread in threading.enumerate():
        if thread.name == "kimiprobe-dns":
            thread.join(5)
    gc.collect()


def test_a_real_name_is_found() -> None:
    """The counterpart, through the real resolver."""

    async def ask() -> Any:
        return await asyncio.get_running_loop().getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    assert any(row[4][0] in {"127.0.0.1", "::1"} for row in run(ask()))


def test_a_clock_that_a_test_froze_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers of a frozen clock would never be due, and deadlines that were set before would have passed."""

    async def now() -> float:
        return asyncio.get_running_loop().time()

    before = run(now())
    monkeypatch.setattr(time, "monotonic", lambda: 1.7e9)
    assert before < run(now()) < before + 60
