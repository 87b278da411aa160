"""Turns of an event loop in the thread that has other things to do as well.

Two threads that are both busy cost each other a fifth of their CPU: each waits for the interpreter that the other holds,
on another core (docs/decisions.md). So whoever judges answers runs the loop in between. While it is away for longer (a hook
that waits for a network, a terminal that was stopped) somebody else runs the loop: no request waits for that.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ROUNDS = 3
"""An answer takes a few rounds of the loop from the socket to its end."""
AWAY_S = 0.025
"""After which, at most twice of it, the loop runs elsewhere."""


class Turns:
    """Gives turns to a loop that nobody else runs; all but `_stand_in` belongs to one thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ending: asyncio.Handle | None = None
        """What ends the turn."""
        self._owner = threading.Lock()
        """Held by whoever runs the loop."""
        self._left: float | None = None
        """Since when the caller has been away."""
        self._over = threading.Event()

    def turn(self, seconds: float = 0.0) -> None:
        """Run the loop for so long; without a time, whatever is due."""
        with self._owner:
            if seconds:
                self._ending = self._loop.call_later(seconds, self._loop.stop)
            else:
                self._round(_ROUNDS)
            try:
                self._loop.run_forever()
            finally:
                if self._ending is not None:
                    self._ending.cancel()  # left over, it would stop somebody else's turn

    def _round(self, left: int) -> None:
        self._ending = self._loop.call_soon(self._round, left - 1) if left else self._loop.call_soon(self._loop.stop)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Within, the caller is busy with other things."""
        self._left = time.monotonic()
        try:
            yield
        finally:
            self._left = None
            while not self._owner.acquire(blocking=False):
                self._loop.call_soon_threadsafe(self._loop.stop)
                time.sleep(0.001)
            self._owner.release()

    @contextmanager
    def attended(self) -> Iterator[None]:
        """Within, somebody stands in for a caller who is away for long."""
        thread = threading.Thread(target=self._stand_in, name="kimiprobe-turns", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _stand_in(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._over.wait(AWAY_S):
            left = self._left
            if left is None or time.monotonic() - left < AWAY_S:
                continue
            with self._owner:
                if self._left == left:
                    self._loop.run_forever()


class Interrupts:
    """Ctrl-C, heard only while the caller is away: in a turn it would end whichever task was running."""

    def __init__(self) -> None:
        self._heard = self._open = False
        self._hear: Callable[[int, FrameType | None], object] | None = None
        """What Ctrl-C does elsewhere."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, it is kept; outside the main thread, and where nobody hears it anyway, nothing changes."""
        former = signal.getsignal(signal.SIGINT)
        if not callable(former) or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._hear = former
        signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)
            self._tell()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Within, it is heard at once, what was kept first."""
        self._open = True
        try:
            self._tell()
            yield
        finally:
            self._open = False

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._open and self._hear is not None:
            self._hear(number, frame)
        else:
            self._heard = True

    def _tell(self) -> None:
        if self._heard and self._hear is not None:
            self._heard = False
            self._hear(signal.SIGINT, None)
