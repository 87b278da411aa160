"""Turns of an event loop in the thread that has other things to do as well.

Two threads that are both busy cost each other a third of their CPU: each waits for the interpreter that the other holds,
on another core (docs/decisions.md). So whoever judges answers runs the loop in between.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ROUNDS = 3
"""An answer takes a few rounds of the loop from the socket to its end."""


class Turns:
    """Gives turns to a loop that nobody else runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running = self._interrupted = False
        self._ending: asyncio.Handle | None = None
        """What ends the turn."""
        self._hear: Callable[[int, FrameType | None], object] | None = None
        """What Ctrl-C does elsewhere."""

    def turn(self, seconds: float = 0.0) -> None:
        """Run the loop for so long; without a time, whatever is due."""
        if seconds:
            self._ending = self._loop.call_later(seconds, self._loop.stop)
        else:
            self._round(_ROUNDS)
        self._running = True
        try:
            self._loop.run_forever()
        finally:
            self._running = False
            if self._ending is not None:
                self._ending.cancel()  # left over, it would stop somebody else's turn
        if self._interrupted and self._hear is not None:
            self._interrupted = False
            self._hear(signal.SIGINT, None)

    def _round(self, left: int) -> None:
        self._ending = self._loop.call_soon(self._round, left - 1) if left else self._loop.call_soon(self._loop.stop)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within, Ctrl-C is heard between turns: in one, it would end whichever task was running."""
        former = signal.getsignal(signal.SIGINT)
        if not callable(former) or threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self._running:
                self._interrupted = True
                self._loop.call_soon_threadsafe(self._loop.stop)
            else:
                former(number, frame)

        self._hear = former
        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)
