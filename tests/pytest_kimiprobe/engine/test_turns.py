"""Turns of a loop in the thread that judges, and Ctrl-C between them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pytest_kimiprobe.engine.turns import Interrupts, Turns


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_turn_does_what_is_due_and_does_not_wait(loop: asyncio.AbstractEventLoop) -> None:
    """Also what that makes due, a few rounds on; what is due later stays."""
    done: list[str] = []
    loop.call_soon(lambda: loop.call_soon(done.append, "next round"))
    loop.call_later(3600, done.append, "in an hour")
    Turns(loop).turn()
    assert done == ["next round"]


def test_a_turn_with_a_time_takes_it(loop: asyncio.AbstractEventLoop) -> None:
    """What becomes due meanwhile is done."""
    done: list[str] = []
    loop.call_later(0.005, done.append, "meanwhile")
    began = loop.time()
    Turns(loop).turn(0.02)
    assert done == ["meanwhile"]
    assert loop.time() - began >= 0.019


def test_ctrl_c_in_a_turn_is_heard_once_the_caller_is_away(loop: asyncio.AbstractEventLoop) -> None:
    """No task is torn."""
    turns, interrupts, done = Turns(loop), Interrupts(), list[str]()

    async def interrupted() -> None:
        interrupt()
        done.append("to its end")

    with interrupts.held():
        task = loop.create_task(interrupted())
        turns.turn()
        assert (done, task.exception()) == (["to its end"], None)
        with pytest.raises(KeyboardInterrupt), interrupts.let_through():
            pytest.fail("not heard")
        with interrupts.let_through():  # heard once
            pass


def test_ctrl_c_while_the_caller_is_away_is_heard_at_once() -> None:
    """As without turns; afterwards the signal has its former handler."""
    former = signal.getsignal(signal.SIGINT)
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.held(), interrupts.let_through():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is former


def test_ctrl_c_that_was_kept_to_the_end_is_heard_there() -> None:
    """When all that it must not interrupt is over."""
    reached: list[str] = []

    def work() -> None:
        with Interrupts().held():
            interrupt()
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["the end"]


def test_another_handler_is_asked_as_before() -> None:
    """Kept or let through."""
    heard: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        interrupts = Interrupts()
        with interrupts.held():
            interrupt()
            assert heard == []
            with interrupts.let_through():
                interrupt()
        assert heard == [signal.SIGINT, signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, former)


def test_outside_the_main_thread_no_signal_is_touched() -> None:
    """Python hears signals in the main thread alone."""
    during: list[object] = []

    def work() -> None:
        with Interrupts().held():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert during == [signal.getsignal(signal.SIGINT)]


def test_while_the_caller_is_away_for_long_somebody_else_runs_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    """And nobody does any more when the caller is back."""
    turns, by, waited = Turns(loop), list[str](), threading.Event()

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
            by.append(threading.current_thread().name)
        waited.set()

    task = loop.create_task(work())
    with turns.attended():
        for _ in range(20):
            with turns.away():
                pass  # not for long
        assert by == []
        with turns.away():
            assert waited.wait(5)
        assert not loop.is_running()
        turns.turn(0.001)
    assert by == ["kimiprobe-turns"] * 3
    assert task.done()
    assert not any(thread.name == "kimiprobe-turns" for thread in threading.enumerate())


def test_a_turn_that_was_cut_short_leaves_no_end_behind(loop: asyncio.AbstractEventLoop) -> None:
    """Whoever runs the loop next runs it until it is done."""
    turns = Turns(loop)
    for seconds in (0.0, 0.01):
        loop.call_soon(loop.stop)
        turns.turn(seconds)
        assert loop.run_until_complete(asyncio.sleep(0.02, "done")) == "done"
