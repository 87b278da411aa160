"""Event loop in a background thread, so that synchronous callers and any other event loop can share connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from ..errors import RouterClosed

T = TypeVar("T")
_Addresses: TypeAlias = list[Any]
_ROUNDS = 3
"""How often all tasks are cancelled when a loop ends: a cancelled task may start another one."""


class EventLoop(asyncio.SelectorEventLoop):
    """Event loop that resolves host names in daemon threads; concurrent requests for the same name share one thread.

    asyncio uses a small thread pool: a few look-ups that hang would stop all others, and the interpreter would wait for
    them when it exits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[Any, ...], asyncio.Future[_Addresses]] = {}

    def time(self) -> float:
        """Seconds of the system's monotonic clock. Libraries that freeze time for a test do not replace this call."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> _Addresses:
        """As `socket.getaddrinfo`, without blocking. Cancelling the call does not end the look-up."""
        question = (host, port, family, type, proto, flags)
        if question not in self._lookups:
            self._lookups[question] = self.create_future()
            threading.Thread(target=self._look_up, args=(question,), name="kimiprobe-dns", daemon=True).start()
        return await asyncio.shield(self._lookups[question])

    def _look_up(self, question: tuple[Any, ...]) -> None:
        found: _Addresses | Exception
        try:
            found = socket.getaddrinfo(*question)
        except Exception as error:  # noqa: BLE001  # raised to those that wait
            found = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self.call_soon_threadsafe(self._looked_up, question, found)

    def _looked_up(self, question: tuple[Any, ...], found: _Addresses | Exception) -> None:
        lookup = self._lookups.pop(question)
        if isinstance(found, Exception):
            lookup.set_exception(found)
            lookup.exception()  # mark as retrieved: all that waited may have been cancelled
        else:
            lookup.set_result(found)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new `EventLoop`, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(work)


class LoopThread:
    """Event loop in a daemon thread that starts with the first `submit` and ends with `close`."""

    def __init__(self, name: str = "kimiprobe") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: EventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._last_work: Coroutine[Any, Any, None] | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; the future has its result or exception. Raises RouterClosed after `close`."""
        # Within the lock: `close` cancels all work that was submitted before it, and forgets none.
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._started())
        work.close()
        raise RouterClosed("the loop of these requests was closed")

    def close(self, last_work: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel all tasks, run `last_work`, close the loop and join the thread.

        A second call does not run its `last_work`; it only waits until the thread has ended.
        """
        with self._lock:
            loop, thread, first = self._loop, self._thread, not self._closed
            self._closed = True
            if first:
                self._last_work = last_work
        if last_work is not None and (loop is None or not first):
            last_work.close()
        if loop is not None and thread is not None:
            if first:
                loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> EventLoop:
        if self._loop is None:
            self._loop = EventLoop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name=self._name, daemon=True)
            self._thread.start()
        return self._loop

    def _run(self, loop: EventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            for _ in range(_ROUNDS):
                loop.run_until_complete(_cancelled(asyncio.all_tasks(loop)))
            if self._last_work is not None:
                loop.run_until_complete(self._last_work)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
