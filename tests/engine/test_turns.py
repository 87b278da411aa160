"""Turns of a loop in the thread that judges, and Ctrl-C between them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pytest_kimiprobe.engine.turns import Turns


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


def test_ctrl_c_in_a_turn_is_heard_after_it(loop: asyncio.AbstractEventLoop) -> None:
    """No task is torn, and the turn ends early."""
    turns, done = Turns(loop), list[str]()

    async def interrupted() -> None:
        interrupt()
        done.append("to its end")

    with turns.interruptible():
        task = loop.create_task(interrupted())
        with pytest.raises(KeyboardInterrupt):
            turns.turn(60)
        assert (done, task.exception()) == (["to its end"], None)
        turns.turn()  # heard once


def test_a_turn_that_was_cut_short_leaves_no_end_behind(loop: asyncio.AbstractEventLoop) -> None:
    """Whoever runs the loop next runs it until it is done."""
    turns = Turns(loop)
    for seconds in (0.0, 0.01):
        loop.call_soon(loop.stop)
        turns.turn(seconds)
        loop.run_until_complete(asyncio.sleep(0.02))


def test_ctrl_c_between_turns_is_heard_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """As without turns; afterwards the signal has its former handler."""
    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Turns(loop).interruptible():
        interrupt()
    assert signal.getsignal(signal.SIGINT) is former


def test_another_handler_is_asked_as_before(loop: asyncio.AbstractEventLoop) -> None:
    """In a turn and between turns."""
    heard: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        turns = Turns(loop)
        with turns.interruptible():
            interrupt()
            loop.call_soon(interrupt)
            turns.turn(60)
        assert heard == [signal.SIGINT, signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, former)


def test_outside_the_main_thread_no_signal_is_touched(loop: asyncio.AbstractEventLoop) -> None:
    """Python hears signals in the main thread alone."""
    during: list[object] = []

    def work() -> None:
        with Turns(loop).interruptible():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(5)
    assert during == [signal.getsignal(signal.SIGINT)]
