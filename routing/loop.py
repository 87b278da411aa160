"""One event loop in a thread of its own, so that synchronous callers and any foreign loop can share clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from .errors import RouterClosed

T = TypeVar("T")
_Found: TypeAlias = list[Any]


class Loop(asyncio.SelectorEventLoop):
    """An event loop on which a hanging name server costs one request its deadline, and nobody else anything.

    asyncio looks names up in a small pool of threads: a few hanging look-ups stop all others, and the interpreter waits
    for them when it ends. Here each name has a daemon thread of its own, and whoever asks meanwhile shares it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[Any, ...], asyncio.Future[_Found]] = {}

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # asyncio's name
        proto: int = 0,
        flags: int = 0,
    ) -> _Found:
        """As `socket.getaddrinfo`, without blocking; cancelling it leaves the look-up to end by itself."""
        question = (host, port, family, type, proto, flags)
        if question not in self._lookups:
            self._lookups[question] = self.create_future()
            threading.Thread(target=self._look_up, args=(question,), name="kimiprobe-dns", daemon=True).start()
        return await asyncio.shield(self._lookups[question])

    def _look_up(self, question: tuple[Any, ...]) -> None:
        found: _Found | Exception
        try:
            found = socket.getaddrinfo(*question)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked
            found = error
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            self.call_soon_threadsafe(self._looked_up, question, found)

    def _looked_up(self, question: tuple[Any, ...], found: _Found | Exception) -> None:
        lookup = self._lookups.pop(question)
        if isinstance(found, Exception):
            lookup.set_exception(found)
            lookup.exception()  # seen, also where nobody waits any more
        else:
            lookup.set_result(found)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


_ROUNDS = 3
"""What is cancelled may begin a last thing, which is cancelled in turn."""


async def _cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class LoopThread:
    """Starts with the first `submit`; `close` cancels what is left and joins the thread, for good."""

    def __init__(self, name: str = "kimiprobe") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._thread: threading.Thread | None = None
        self._closed = self._lent = False
        self._farewell: Coroutine[Any, Any, None] | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; the future carries its result or exception. Raises RouterClosed after `close`."""
        # Within the lock: what is handed over before `close` takes the loop is cancelled by it, never forgotten.
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._started())
        work.close()
        raise RouterClosed("the loop of these requests was closed")

    def close(self, farewell: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel what runs, then run `farewell`, end the loop and join the thread. Calling it again does nothing."""
        with self._lock:
            loop, thread, first = self._loop, self._thread, not self._closed
            stopping = first and not self._lent  # a lent loop is stopped when it comes back
            self._closed = True
            if first:
                self._farewell = farewell
        if farewell is not None and (loop is None or not first):
            farewell.close()
        if loop is not None and thread is not None:
            if stopping:
                loop.call_soon_threadsafe(loop.stop)
            thread.join()

    @contextlib.contextmanager
    def lent(self) -> Iterator[Loop]:
        """The loop without its thread: within, the caller alone runs it. Raises RouterClosed after `close`."""
        with self._lock:
            if self._closed:
                raise RouterClosed("the loop of these requests was closed")
            loop, self._lent = self._started(), True
        assert self._thread is not None  # noqa: S101 - it was started with the loop
        try:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            yield loop
        finally:
            self._take_back(loop)

    def _take_back(self, loop: Loop) -> None:
        with self._lock:
            self._lent = False
            self._start(loop)
            if self._closed:  # meanwhile
                loop.call_soon_threadsafe(loop.stop)

    def _started(self) -> Loop:
        if self._loop is None:
            self._loop = Loop()
            self._start(self._loop)
        return self._loop

    def _start(self, loop: Loop) -> None:
        self._thread = threading.Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
        self._thread.start()

    def _run(self, loop: Loop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            while not (self._lent or self._closed):  # a stop that somebody left behind ends nothing
                loop.run_forever()
            if self._lent:
                return
            for _ in range(_ROUNDS):
                loop.run_until_complete(_cancelled(asyncio.all_tasks(loop)))
            if self._farewell is not None:
                loop.run_until_complete(self._farewell)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            if not self._lent:
                loop.close()
